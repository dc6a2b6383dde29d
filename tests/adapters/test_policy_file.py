"""Is policy.toml read strictly, trusted only from the right hands, and taken in again when it changes?"""

import asyncio
import os
from pathlib import Path

import pytest

from noded.adapters.policy_file import PolicyFile, follow, read_policy
from noded.adapters.roles import Members
from noded.model.inputs import PolicyRead
from nodespec.manifest import LIMITLESS, Autonomy, Levels
from nodespec.tables import ManifestError
from tests.adapters.looped import looped, until
from tests.fakes.clock import FakeClock
from tests.fakes.inbox import FakeInbox

WHOLE = """
[roles]
viewer = ["group:users", "uid:1000"]
operator = ["user:anna", "gid:44"]
admin = []

[autonomy]
replace = "approve"
regenerate = "off"

[autonomy.catalog]
tune = "observe"

[autonomy.basket]
"""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="giving files away needs root")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    return tmp_path / "policy.toml"


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o644)
    return path


def test_no_file_means_the_defaults(path: Path) -> None:
    found = read_policy(path)
    assert found.members == Members(("*",), ("group:noded-operator",), ("group:noded-admin",))
    assert (found.caps, found.caps_of, found.held) == (LIMITLESS, (), False)
    assert read_policy(written(path, "")) == found


def test_a_whole_file(path: Path) -> None:
    found = read_policy(written(path, WHOLE))
    assert found.members == Members(("group:users", "uid:1000"), ("user:anna", "gid:44"), ())
    act = Autonomy.ACT
    assert found.caps == Levels(act, act, act, Autonomy.APPROVE, Autonomy.OFF)
    assert found.caps_of == (
        ("basket", LIMITLESS),
        ("catalog", Levels(act, act, Autonomy.OBSERVE, act, act)),
    )


ENTRY = 'expected "*", or user:, group:, uid: or gid: with a name or number'
BAD = [
    ('[roles]\nviewr = ["*"]', "roles.viewr: unknown key; nearest known key: roles.viewer"),
    ('[roles]\nadmin = "root"', "roles.admin: expected a list"),
    ('[roles]\nadmin = ["root"]', f"roles.admin[0]: {ENTRY}"),
    ('[roles]\nadmin = ["*x"]', f"roles.admin[0]: {ENTRY}"),
    ('[roles]\nadmin = ["user:"]', f"roles.admin[0]: {ENTRY}"),
    ('[roles]\nadmin = ["user:a b"]', f"roles.admin[0]: {ENTRY}"),
    ('[roles]\nadmin = ["uid:root"]', f"roles.admin[0]: {ENTRY}"),
    ('[roles]\nadmin = ["uid:4294967295"]', f"roles.admin[0]: {ENTRY}"),
    ('[roles]\nadmin = ["uid:-1"]', f"roles.admin[0]: {ENTRY}"),
    ("[roles]\nadmin = [1000]", f"roles.admin[0]: {ENTRY}"),
    ("roles = 1", "roles: expected a table"),
    ('[autonomy]\nreplace = "never"', "autonomy.replace: expected one of off, observe, advise, approve, act"),
    ('[autonomy]\nrestrt = "act"', "autonomy.restrt: unknown key; nearest known key: autonomy.restart"),
    ('[autonomy.replace]\nrestart = "act"', "autonomy.replace: expected one of off"),
    (
        '[autonomy.Catalog]\nrestart = "act"',
        "autonomy.Catalog: expected a kind of step, or the name of a node",
    ),
    ('[autonomy.catalog]\nrun = "act"', "autonomy.catalog.run: unknown key"),
    ("autonomy = []", "autonomy: expected a table"),
    ("[control]\nadmins = [1]", "control: unknown key; known keys here: roles, autonomy"),
    ("[roles", "not valid TOML"),
    ("#" * 70_000, "longer than 64 KiB"),
]


@pytest.mark.parametrize(("text", "told"), BAD, ids=[told[:40] for _, told in BAD])
def test_every_mistake_is_told_with_its_place(path: Path, text: str, told: str) -> None:
    with pytest.raises(ManifestError) as refused:
        PolicyFile(written(path, text))
    assert f"{path}: " in str(refused.value)
    assert told in str(refused.value)


def test_a_file_that_others_can_write_is_no_authority(path: Path) -> None:
    written(path, WHOLE)
    for mode in (0o664, 0o646):
        path.chmod(mode)
        with pytest.raises(ManifestError, match=f"the file can be written by others .mode {mode:04o}."):
            read_policy(path)
    path.chmod(0o600)
    path.parent.chmod(0o777)
    with pytest.raises(ManifestError, match="its folder can be written by others"):
        read_policy(path)


@as_root
def test_a_file_of_somebody_else_is_no_authority(path: Path) -> None:
    os.chown(written(path, WHOLE), 64301, 0)
    with pytest.raises(ManifestError, match="the file belongs to uid 64301"):
        read_policy(path)


def test_a_link_a_pipe_and_a_folder_are_no_policy(path: Path, tmp_path: Path) -> None:
    path.symlink_to("/etc/hostname")
    with pytest.raises(ManifestError, match="cannot be read"):
        read_policy(path)
    path.unlink()
    os.mkfifo(path, 0o600)
    with pytest.raises(ManifestError, match="not a file"):
        read_policy(path)
    path.unlink()
    path.mkdir(0o700)
    with pytest.raises(ManifestError, match=r"not a file|cannot be read"):
        read_policy(path)


def test_a_change_counts_once_the_file_rests(path: Path) -> None:
    file = PolicyFile(path)
    assert not file.look()
    written(path, '[roles]\nviewer = ["uid:1"]\n')
    assert not file.look()  # somebody may still be writing
    written(path, '[roles]\nviewer = ["uid:1"]\n[autonomy]\ntune = "off"\n')
    assert not file.look()
    assert file.look()
    assert file.allowed.members.viewer == ("uid:1",)
    assert file.told(5.0) == PolicyRead(
        5.0, Levels(Autonomy.ACT, Autonomy.ACT, Autonomy.OFF, Autonomy.ACT, Autonomy.ACT), False, ()
    )
    assert not file.look()
    path.unlink()
    assert [file.look(), file.look()] == [False, True]
    assert file.allowed.members == Members()


def test_pause_counts_at_once(path: Path) -> None:
    file = PolicyFile(path)
    (path.parent / "PAUSE").touch()
    assert file.look()
    assert file.allowed.held
    assert PolicyFile(path).allowed.held
    (path.parent / "PAUSE").unlink()
    assert file.look()
    assert not file.allowed.held


def test_a_broken_file_later_leaves_the_last_good_one_and_alarms(path: Path) -> None:
    file = PolicyFile(written(path, WHOLE))
    before = file.allowed
    written(path, "[roles]\nadmin = [1]\n")
    assert [file.look(), file.look()] == [False, False]
    assert file.allowed == before
    assert "the last good policy is used: " in file.alarm
    assert "roles.admin[0]" in file.alarm
    (path.parent / "PAUSE").touch()
    assert file.look(), "a halt counts whatever else is wrong"
    written(path, WHOLE)
    file.look(), file.look()
    assert file.alarm == ""


def test_rights_that_were_loosened_later_alarm_too(path: Path) -> None:
    file = PolicyFile(written(path, WHOLE))
    path.chmod(0o666)
    file.look(), file.look()
    assert "can be written by others" in file.alarm


@looped
async def test_what_is_allowed_is_told_at_once_and_after_a_change(path: Path) -> None:
    inbox = FakeInbox()
    task = asyncio.create_task(follow(PolicyFile(path), FakeClock(), inbox))

    async def told(count: int) -> bool:
        return len(inbox.facts) == count

    await until(lambda: told(1))
    (path.parent / "PAUSE").touch()
    await until(lambda: told(2))
    task.cancel()
    assert [fact.held for fact in inbox.all(PolicyRead)] == [False, True]
