"""Are the wheels of a node unpacked once, as nobody, the same each time, and is everything else told?"""

import hashlib
import io
import json
import os
import pwd
import re
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nodeapi.v1 import control_pb2 as pb
from nodectl import environment, wheels
from nodectl.environment import made
from nodectl.failures import Failure
from nodespec.environment import RECORD, SITE, Files
from nodespec.manifest import NodeSpec
from nodespec.release import pack, unpack
from tests.nodectl.wheelhouse import PYTHON, SYSTEM_PYTHON, House, house

SPEC = NodeSpec("shop", "1.0", ("./start",), requirements="requirements.txt")


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[House]:
    with house() as found:
        for name, value in found.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        yield found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "shop"
    place.mkdir()
    (place / "node.toml").write_text(
        '[node]\nname = "shop"\nversion = "1.0"\nrun = ["./start"]\nrequirements = "requirements.txt"\n'
    )
    return place


@pytest.fixture
def needing(shelf: House, folder: Path) -> Path:
    greet = {"greet/__init__.py": "def main():\n    print('hello')\n"}
    lines = shelf.add("greet", "1.0", greet, {"greet": "greet:main"}) + shelf.add(
        "other", "2", {"other.py": ""}
    )
    (folder / "requirements.txt").write_text(lines)
    return folder


def failure(call: Callable[[], object]) -> str:
    with pytest.raises(Failure) as refused:
        call()
    return refused.value.text


def kept(tmp_path: Path) -> Path:
    (place,) = (tmp_path / "cache/noded/environments").iterdir()
    return place


def test_what_a_release_gets(needing: Path) -> None:
    files = made(needing, SPEC, PYTHON)
    assert sorted(files) == [
        RECORD,
        f"{SITE}/bin/greet",
        *(
            f"{SITE}/greet-1.0.dist-info/{name}"
            for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt")
        ),
        f"{SITE}/greet/__init__.py",
        *(f"{SITE}/other-2.dist-info/{name}" for name in ("METADATA", "RECORD", "WHEEL")),
        f"{SITE}/other.py",
    ]
    script, executable = files[f"{SITE}/bin/greet"]
    assert executable and script.startswith(b"#!/usr/bin/env python3\n")
    assert b"INSTALLER" not in files[f"{SITE}/greet-1.0.dist-info/RECORD"][0]
    record = json.loads(files[RECORD][0])
    version = subprocess.run([PYTHON, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
                             capture_output=True, text=True, check=True).stdout.strip()  # fmt: skip
    assert record["python"] == version and record["built_with"].startswith("pip ")
    assert sorted(path.name for path in needing.iterdir()) == ["node.toml", "requirements.txt"]


def test_the_same_each_time_and_it_runs(
    needing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = pack(needing, made(needing, SPEC, PYTHON))
    again = pack(needing, made(needing, SPEC, PYTHON))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    anew = pack(needing, made(needing, SPEC, PYTHON))
    assert first == again == anew
    release = tmp_path / "release"
    unpack(first.blob, release)
    site = str(release / SITE)
    env = {"PATH": f"{site}/bin:/usr/bin:/bin", "PYTHONPATH": site, "PYTHONDONTWRITEBYTECODE": "1"}
    said = subprocess.run(["greet"], env=env, capture_output=True, text=True, check=True, timeout=30).stdout
    assert said == "hello\n"


def test_it_is_unpacked_once(needing: Path, shelf: House, tmp_path: Path) -> None:
    files = made(needing, SPEC, PYTHON)
    for path in shelf.folder.iterdir():
        path.unlink()
    assert made(needing, SPEC, PYTHON) == files
    place = kept(tmp_path)
    assert stat.S_IMODE(place.parent.stat().st_mode) == stat.S_IMODE(place.stat().st_mode) == 0o700


@pytest.mark.parametrize("damage", ["change", "remove", "digest", "writable"])
def test_what_was_kept_and_is_damaged_is_built_again(needing: Path, tmp_path: Path, damage: str) -> None:
    files = made(needing, SPEC, PYTHON)
    place = kept(tmp_path)
    module = place / "tree" / SITE / "other.py"
    match damage:
        case "change":
            module.write_text("import evil")
        case "remove":
            module.unlink()
        case "digest":
            (place / "digest").write_bytes(b"\xff")
        case _:
            module.write_text("import evil")
            place.chmod(0o777)
    assert made(needing, SPEC, PYTHON) == files
    assert module.read_text() == "" and kept(tmp_path) == place


def test_a_cache_of_somebody_else_is_not_used(
    needing: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = made(needing, SPEC, PYTHON)
    place = kept(tmp_path)
    place.parent.chmod(0o777)
    (place / "tree" / SITE / "other.py").write_text("import evil")
    assert made(needing, SPEC, PYTHON) == files
    assert "is not yours alone" in capsys.readouterr().err


def test_a_cache_that_cannot_be_written(needing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                        capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert f"{SITE}/other.py" in made(needing, SPEC, PYTHON)
    assert "what was unpacked is not kept" in capsys.readouterr().err


def test_the_cache_does_not_grow_without_end(tmp_path: Path) -> None:
    place = tmp_path / "environments"
    place.mkdir()
    for number in range(environment.KEPT + 5):
        (place / str(number)).mkdir()
        os.utime(place / str(number), (number, number))
    environment._clear(place, place / "new")
    assert sorted(path.name for path in place.iterdir()) == sorted(
        str(5 + n) for n in range(environment.KEPT)
    )


def test_a_node_without_requirements_needs_nothing(folder: Path) -> None:
    assert made(folder, NodeSpec("shop", "1.0", ("./start",)), "/nowhere") == {}


def test_a_hash_that_is_another(needing: Path) -> None:
    text = (needing / "requirements.txt").read_text()
    (needing / "requirements.txt").write_text(re.sub("[0-9a-f]{64}", "0" * 64, text))
    said = failure(lambda: made(needing, SPEC, PYTHON))
    assert "DO NOT MATCH THE HASHES" in said


def test_a_wheel_that_is_not_there(needing: Path) -> None:
    line = f"nowhere==1 --hash=sha256:{'0' * 64}\n"
    (needing / "requirements.txt").write_text(line)
    assert "nowhere==1" in failure(lambda: made(needing, SPEC, PYTHON))


def test_sources_are_not_built(shelf: House, folder: Path) -> None:
    """Building one would run its code."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        text = b"raise SystemExit('it was run')"
        member = tarfile.TarInfo("evil-1/setup.py")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    (shelf.folder / "evil-1.tar.gz").write_bytes(packed.getvalue())
    digest = hashlib.sha256(packed.getvalue()).hexdigest()
    (folder / "requirements.txt").write_text(f"evil==1 --hash=sha256:{digest}\n")
    said = failure(lambda: made(folder, SPEC, PYTHON))
    assert "No matching distribution" in said and "it was run" not in said


def test_requirements_that_are_not_pinned(needing: Path) -> None:
    (needing / "requirements.txt").write_text("greet\n-e .\n")
    said = failure(lambda: made(needing, SPEC, PYTHON)).splitlines()
    assert [line.split(": ")[:2] for line in said] == [
        ["requirements.txt", "line 1"],
        ["requirements.txt", "line 2"],
    ]


def test_a_python_that_is_none(needing: Path, tmp_path: Path) -> None:
    assert "cannot run /nowhere" in failure(lambda: made(needing, SPEC, "/nowhere"))
    assert "is no Python" in failure(lambda: made(needing, SPEC, "/bin/true"))
    assert "is no Python" in failure(lambda: made(needing, SPEC, "/bin/false"))


@pytest.mark.parametrize("says", ["5", "[1, 2]", "{}", "", "null"])
def test_a_python_that_says_something_else(needing: Path, says: str) -> None:
    with house() as place:
        path = place.folder / "python"
        path.write_text(f"#!/bin/sh\necho '{says}'\n")
        path.chmod(0o755)
        assert "is no Python" in failure(lambda: made(needing, SPEC, str(path)))


def test_a_python_without_pip(needing: Path) -> None:
    place = needing.parent / "bare"
    subprocess.run(
        [PYTHON, "-m", "venv", "--without-pip", place], check=True, timeout=60, capture_output=True
    )
    for above in [place, *place.parents][:4]:
        above.chmod(0o755)
    said = failure(lambda: made(needing, SPEC, str(place / "bin/python3")))
    assert said.endswith("has no pip") or "Permission denied" in said


def test_pip_that_hangs_is_ended(tmp_path: Path) -> None:
    with wheels._scratch() as scratch:
        words = ["/bin/sh", "-c", "sleep 60 & echo $!; sleep 60"]
        said = failure(lambda: wheels._run(words, scratch, 0.5))
    assert "were not there within" in said
    assert not scratch.exists()


def test_too_much_output_and_too_much_on_disk() -> None:
    with wheels._scratch() as scratch:
        assert "printed more" in failure(lambda: wheels._run(["/usr/bin/yes"], scratch, 20))
        hole = ["/usr/bin/truncate", "-s", str(wheels.LARGEST + 1), "large"]
        wheels._run(hole, scratch, 5)
        assert "hold more" in failure(lambda: wheels._run(["/bin/sleep", "60"], scratch, 20))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_root_becomes_nobody_for_it() -> None:
    look = "import os; print(os.getresuid(), os.getresgid(), os.getgroups(), sorted(os.environ), os.getcwd())"
    with wheels._scratch() as scratch:
        code, said = wheels._run([PYTHON, "-I", "-c", look], scratch, 20)
        owner = pwd.getpwnam("nobody")
        ids = f"{(owner.pw_uid,) * 3} {(owner.pw_gid,) * 3} []"
        assert code == 0 and said.startswith(ids)
        assert str(scratch / "work") in said
        write = f"open({str(scratch / 'requirements.txt')!r}, 'w')"
        assert wheels._run([PYTHON, "-I", "-c", write], scratch, 20)[0] == 1


def test_only_where_to_fetch_from_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_TARGET", "/etc")
    monkeypatch.setenv("PYTHONPATH", "/etc")
    monkeypatch.setenv("SECRET", "x")
    monkeypatch.setenv("PIP_INDEX_URL", "https://example.org")
    with wheels._scratch() as scratch:
        _, said = wheels._run(["/usr/bin/env"], scratch, 20)
    names = {line.partition("=")[0] for line in said.splitlines()}
    assert "PIP_INDEX_URL" in names
    assert not {"PIP_TARGET", "PYTHONPATH", "SECRET"} & names


def test_a_place_that_became_a_link_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "site").symlink_to("/etc")
    assert "left a link" in failure(lambda: wheels._taken_back(tmp_path))


@pytest.mark.parametrize(
    ("script", "found"),
    [
        (b"#!/usr/bin/python3\nx", b"#!/usr/bin/env python3\nx"),
        (b"#!/usr/bin/python3.11 -I\nx", b"#!/usr/bin/env python3\nx"),
        (b"#!/bin/sh\n'''exec' /long/python \"$0\" \"$@\"\n' '''\nx", b"#!/usr/bin/env python3\nx"),
        (b"#!/bin/sh\necho", b"#!/bin/sh\necho"),
        (b"\x7fELF", b"\x7fELF"),
        (b"", b""),
    ],
)
def test_scripts_take_the_python_of_the_node(script: bytes, found: bytes) -> None:
    assert wheels._movable(script, "/usr/bin/python3") == found


@pytest.mark.skipif(PYTHON != SYSTEM_PYTHON, reason="python3-pip is not installed")
def test_the_own_python_is_not_the_default(needing: Path) -> None:
    """Nodes do not run in the environment of nodectl."""
    assert wheels.find_python("") == wheels.find_python("python3")
    assert wheels.find_python("").path == SYSTEM_PYTHON != sys.executable
    files: Files = made(needing, SPEC)
    assert RECORD in files


def test_plan_and_apply_send_it_and_validate_only_looks(desk: Any, needing: Path) -> None:
    desk.control.apply_answer = pb.ApplyResponse(node="shop", effect=pb.EFFECT_NONE, to_version="1.0")
    assert desk("validate", str(needing)).stdout.endswith(", 2 wheels to be unpacked\n")
    found = desk.json("validate", str(needing))
    assert found["wheels"] == 2 and "digest" not in found
    assert "unpacking 2 wheels for Python" in desk("plan", str(needing), "--python", PYTHON).stderr
    planned = b"".join(part.chunk for part in desk.control.applied)
    assert "unpacking" not in desk("apply", str(needing), "--python", PYTHON).stderr
    sent = b"".join(part.chunk for part in desk.control.applied)
    assert sent == planned == pack(needing, made(needing, SPEC, PYTHON)).blob


@pytest.mark.parametrize("verb", ["validate", "plan", "apply"])
def test_requirements_that_pin_nothing_are_not_sent(desk: Any, needing: Path, verb: str) -> None:
    (needing / "requirements.txt").write_text("greet>=1\n")
    said = desk(verb, str(needing), expect=2).stderr
    assert "requirements.txt: line 1: expected name==version" in said
    (needing / "requirements.txt").unlink()
    assert "got no file requirements.txt" in desk(verb, str(needing), expect=2).stderr
    assert desk.control.calls == []
