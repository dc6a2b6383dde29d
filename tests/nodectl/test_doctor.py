"""Does `doctor` say what is wrong and what to do, also when noded is down?"""

import socket
from pathlib import Path
from typing import Any

import grpc
import pytest

from nodeapi.v1 import control_pb2 as pb


def checks(*results: tuple[str, str, str, str]) -> pb.CheckHostResponse:
    given = [
        pb.Check(name=name, result=result, found=found, advice=do) for name, result, found, do in results
    ]
    return pb.CheckHostResponse(checks=given)


def test_a_host_that_is_well(desk: Any) -> None:
    desk.control.answers["CheckHost"] = checks(("cgroups", "ok", "v2", ""), ("disk", "ok", "20 GiB free", ""))
    assert desk("doctor").stdout.splitlines() == [
        f"ok       noded    0.1.0 answers at {desk.socket}",
        "ok       cgroups  v2",
        "ok       disk     20 GiB free",
        "all 3 checks are ok",
    ]
    assert [one["result"] for one in desk.json("doctor")] == ["ok", "ok", "ok"]


def test_what_is_wrong_comes_with_what_to_do(desk: Any) -> None:
    desk.control.answers["CheckHost"] = checks(
        ("psi", "warning", "the kernel tells no pressure", "boot with psi=1"),
        ("proxy", "failed", "nobody listens\x1b[2J at the socket\nport 8100 is taken", "start it"),
    )
    assert desk("doctor", expect=1).stdout.splitlines()[1:] == [
        "warning  psi    the kernel tells no pressure",
        "                do: boot with psi=1",
        "failed   proxy  nobody listens at the socket",
        "                port 8100 is taken",
        "                do: start it",
        "1 failed, 1 warning, 3 checks in all",
    ]
    assert desk.json("doctor", expect=1)[2]["advice"] == "start it"


def test_a_warning_alone_is_no_failure(desk: Any) -> None:
    desk.control.answers["CheckHost"] = checks(("psi", "warning", "none", "boot with psi=1"))
    assert desk("doctor").stdout.endswith("0 failed, 1 warning, 2 checks in all\n")


NONE = "No such file or directory"


class Host:
    """A host without noded: its settings, its launcher's socket, a systemctl that says what it is told."""

    def __init__(self, desk: Any, folder: Path) -> None:
        self._desk, self._folder = desk, folder
        self.config, self.launcher = folder / "noded.toml", desk.socket.parent / "l"
        self.config.write_text(f'[paths]\nlauncher = "{self.launcher}"\n')
        self.says(noded="inactive")

    def says(self, **states: str) -> None:
        cases = "".join(f"{name.replace('_', '-')}.service) echo {says};;\n" for name, says in states.items())
        program = self._folder / "bin/systemctl"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\ncase "$2" in\n{cases}*) echo active;;\nesac\n')
        program.chmod(0o755)

    def doctor(self, *words: str, expect: int = 1) -> list[str]:
        result = self._desk(
            *("--socket", str(self._folder / "none"), "doctor", "--config", str(self.config), *words),
            expect=expect,
        )
        return [line for line in result.stdout.splitlines() if not line.startswith("   ")]


@pytest.fixture
def down(desk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    return Host(desk, tmp_path)


def test_noded_is_down_and_the_rest_is_well(down: Host, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as launcher:
        launcher.bind(str(down.launcher))
        launcher.listen()
        assert down.doctor() == [
            f"failed   noded                   cannot reach noded at {tmp_path}/none: {NONE}",
            f"ok       noded.toml              {down.config} is valid",
            f"ok       launcher                {down.launcher} answers",
            "ok       noded-nodes.service     active",
            "ok       noded-launcher.service  active",
            "ok       noded-proxy.service     active",
            "ok       noded-mesh.service      active",
            "failed   noded.service           inactive",
            "2 failed, 0 warnings, 8 checks in all",
        ]


def test_mistakes_in_the_settings_are_told_all(down: Host) -> None:
    down.config.write_text('[paths]\nlanucher = "/x"\n[proxy]\nbind = 7\n')
    lines = down.doctor()
    assert lines[1].startswith(f"failed   noded.toml              {down.config}: paths.lanucher: unknown key")
    assert lines[2].startswith("failed   launcher                /run/noded-launcher/launcher.sock: ")


def test_settings_that_are_not_there(down: Host) -> None:
    down.config.unlink()
    assert any("every setting has its default" in line for line in down.doctor())


def test_a_launcher_that_does_not_answer(down: Host) -> None:
    (row,) = [line for line in down.doctor() if "launcher  " in line]
    assert row == f"failed   launcher                {down.launcher}: No such file or directory"


@pytest.mark.parametrize("word", ["unknown", "offline", ""])
def test_without_systemd_units_are_no_matter(down: Host, word: str) -> None:
    names = ("noded", "noded_nodes", "noded_launcher", "noded_proxy", "noded_mesh")
    down.says(**dict.fromkeys(names, word))
    assert not [line for line in down.doctor() if ".service" in line]


def test_an_older_noded_cannot_check(desk: Any, down: Host) -> None:
    desk.control.refusals["CheckHost"] = (grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
    output = desk("doctor", "--config", str(down.config), expect=1).stdout
    assert "does not know the order; it is older than this nodectl (0.1.0)" in output
    assert "noded.toml" in output


def test_versions_that_differ_are_a_warning(desk: Any) -> None:
    desk.control.answers["CheckHost"] = checks()
    desk.control.version = "0.0.9"
    output = desk("doctor").stdout
    assert "warning  noded  0.0.9 answers at" in output and "; nodectl is 0.1.0" in output
