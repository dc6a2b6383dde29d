"""Do the packages hold what a host needs, and do the programs accept the settings that come with them?"""

import os
import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from launcher.settings import read_settings as read_launcher
from noded.config import Settings
from noded.config import read_settings as read_noded
from tests.packaging import units

ROOT = units.ROOT
ETC = ROOT / "packaging/etc"
DEBIAN = ROOT / "packaging/debian"
# Who else gives out uids: Debian and adduser, systemd (dynamic users, containers), subordinate uids.
TAKEN = ((0, 65535), (100_000, 2**32 - 1))


def build(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "packaging/deb/build.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def launcher_toml(tmp_path: Path) -> Path:
    """As packaged, but for a host that has no user noded."""
    me = f"{os.geteuid()}"
    text = (ETC / "launcher.toml").read_text("utf-8")
    text = text.replace('peers = ["noded"]', f"peers = [{me}]").replace(
        'group = "noded"', f"group = {os.getegid()}"
    )
    path = tmp_path / "launcher.toml"
    path.write_text(text)
    return path


def test_noded_accepts_its_settings() -> None:
    found = read_noded(ETC / "noded.toml")
    assert found.paths == Settings().paths
    assert found.proxy == replace(Settings().proxy, tcp_ports=((8164, 8179),))
    env = dict(found.nodes.env)
    assert env["PYTHONPATH"] == "/usr/lib/noded/sdk"
    assert found.regenerate.command == ("/usr/lib/noded/bin/noded-regenerate",)


def test_the_launcher_accepts_its_settings_and_they_fit_noded(launcher_toml: Path) -> None:
    found, noded = read_launcher(launcher_toml), read_noded(ETC / "noded.toml")
    assert found.socket == noded.paths.launcher
    assert found.run == f"{noded.paths.run}/i"
    assert found.logs == noded.paths.logs
    assert found.data == f"{noded.paths.state}/data"
    assert found.users == (noded.regenerate.user,)
    (user,) = units.settings("noded.service")["Service.User"]
    assert noded.regenerate.user == user, "it reads the evidence that noded wrote"


def test_secrets_lie_in_a_folder_of_their_own_that_only_root_enters(launcher_toml: Path) -> None:
    """Whoever may apply manifests could read private keys of the host's other programs below /etc."""
    (place,) = read_launcher(launcher_toml).secrets
    made = (units.UNITS / "noded.tmpfiles").read_text().splitlines()
    assert ["d", place, "0700", "root", "root", "-"] in [line.split() for line in made]


def test_no_dynamic_uid_belongs_to_somebody_else(launcher_toml: Path) -> None:
    dynamic = read_launcher(launcher_toml).dynamic
    assert dynamic
    assert not [one for one in TAKEN if dynamic[0] <= one[1] and one[0] <= dynamic[1]]


def test_nodes_get_groups_below_the_holder() -> None:
    found = tomllib.loads((ETC / "launcher.toml").read_text("utf-8"))
    (slice_,) = units.settings("noded-nodes.service")["Service.Slice"]
    assert found["cgroup"] == f"/sys/fs/cgroup/{slice_}/noded-nodes.service"


def test_the_policy_that_comes_along_says_nothing() -> None:
    assert tomllib.loads((ETC / "policy.toml").read_text("utf-8")) == {}


def test_every_unit_is_packaged() -> None:
    text = (ROOT / "packaging/deb/build.py").read_text("utf-8")
    found = re.search(r"^UNITS = \((.*?)\)$", text, re.MULTILINE | re.DOTALL)
    assert found
    assert set(re.findall(r'"([^"]+)"', found[1])) == set(units.NAMES)


def test_every_folder_the_units_need_is_made() -> None:
    made = {
        line.split()[1]
        for line in (units.UNITS / "noded.tmpfiles").read_text().splitlines()
        if line[0] == "d"
    }
    (writes,) = units.settings("noded.service")["Service.ReadWritePaths"]
    assert set(writes.split()) <= made


def test_every_user_the_units_name_is_made() -> None:
    lines = [
        line.split() for path in units.UNITS.glob("*.sysusers") for line in path.read_text().splitlines()
    ]
    made = {line[1] for line in lines if line and line[0] == "u"}
    named = {user for name in units.NAMES for user in units.settings(name).get("Service.User", [])}
    assert named == made


def test_the_holder_and_the_proxy_are_not_restarted_by_an_upgrade() -> None:
    (line,) = [line for line in (DEBIAN / "rules").read_text().splitlines() if "--no-stop-on-upgrade" in line]
    assert {word for word in line.split() if word.endswith(".service")} == {
        "noded-nodes.service",
        "noded-proxy.service",
    }


@pytest.mark.parametrize("version", ["1.0/../../x", "one", "", "-1", "1.0 ", "1_0"])
def test_refuses_a_version_that_is_none(version: str) -> None:
    done = build(f"--version={version}")
    assert done.returncode == 1
    assert "expected a version of Debian" in done.stderr
