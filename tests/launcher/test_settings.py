"""Is launcher.toml read strictly, with every mistake told at once?"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.__main__ import main
from launcher.settings import BadSettings, Settings, read_settings
from tests.launcher.lab import DEADLINE, PACKAGE

LEAST = 'socket = "/run/l.sock"\nrun = "/run/i"\nlogs = "/var/log/n"\ndata = "/var/lib/n"\n'


def read(tmp_path: Path, text: str | bytes) -> Settings:
    path = tmp_path / "launcher.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_settings(path)


def mistakes(tmp_path: Path, text: str | bytes) -> list[str]:
    with pytest.raises(BadSettings) as caught:
        read(tmp_path, text)
    prefix = f"{tmp_path}/launcher.toml: "
    lines = str(caught.value).splitlines()
    assert all(line.startswith(prefix) for line in lines)
    return [line.removeprefix(prefix) for line in lines]


def test_least_settings(tmp_path: Path) -> None:
    settings = read(tmp_path, LEAST)
    assert settings.peers == {os.geteuid()}
    assert (settings.group, settings.users, settings.dynamic) == (os.getegid(), (), None)
    assert (settings.cgroup, settings.cgroups) == ("noded", "auto")
    assert (settings.secrets, settings.write) == (("/etc",), ("/srv",))


def test_all_settings(tmp_path: Path) -> None:
    more = 'peers = ["nobody", 7]\ngroup = "root"\nusers = ["noded", 64101]\ndynamic = [64200, 64999]\n'
    settings = read(
        tmp_path, LEAST + more + 'cgroup = "/sys/fs/cgroup/noded.slice/a@b:c.service"\ncgroups = "v2"'
    )
    assert settings.peers == {65534, 7, os.geteuid()}
    assert settings.group == 0
    assert settings.users == ("noded", "64101")
    assert settings.dynamic == (64200, 64999)
    assert (settings.cgroup, settings.cgroups) == ("/sys/fs/cgroup/noded.slice/a@b:c.service", "v2")


def test_roots_of_secrets_and_folders(tmp_path: Path) -> None:
    settings = read(tmp_path, LEAST + 'secrets = []\nwrite = ["/srv/a", "/var/b"]\n')
    assert (settings.secrets, settings.write) == ((), ("/srv/a", "/var/b"))


@pytest.mark.parametrize(
    ("line", "start"),
    [
        ('peers = "root"', "peers: 'root', expected a list of uids or names"),
        ('peers = ["no-such-user-1"]', "peers: ['no-such-user-1'], expected"),
        ("peers = [-1]", "peers: [-1]"),
        ("peers = [4294967295]", "peers: "),
        ('group = "no-such-group"', "group: 'no-such-group', expected a gid"),
        ("group = 1.5", "group: 1.5"),
        ('users = ["root"]', "users: ['root'], expected a list of user names or uids, root not"),
        ("users = [0]", "users: [0]"),
        ('users = ["dynamic"]', "users: ['dynamic']"),
        ('users = [""]', "users: ['']"),
        ("users = [true]", "users: [True]"),
        ("dynamic = [0, 5]", "dynamic: [0, 5], expected [lowest uid, highest uid], without 0"),
        ("dynamic = [9, 5]", "dynamic: [9, 5]"),
        ("dynamic = [5]", "dynamic: [5]"),
        ("dynamic = 5", "dynamic: 5"),
        ('cgroup = ""', "cgroup: ''"),
        ('cgroup = "../other"', "cgroup: '../other'"),
        ('cgroup = "a/../b"', "cgroup: 'a/../b'"),
        ('cgroups = "v3"', "cgroups: 'v3', expected one of auto, v2, hybrid, v1, none"),
        ("cgroups = ['v2']", "cgroups: ['v2']"),
        ('secrets = "/etc"', "secrets: '/etc', expected a list of absolute paths"),
        ('secrets = ["etc"]', "secrets: ['etc']"),
        ('secrets = ["/"]', "secrets: ['/']"),
        ('write = ["/srv/../etc"]', "write: ['/srv/../etc']"),
        ('write = ["/srv/"]', "write: ['/srv/']"),
        ("write = [1]", "write: [1]"),
        ('sockt = "/x"', "'sockt': unknown key; did you mean socket?"),
        ("zzz = 1", "'zzz': unknown key; known: "),
        ("[run_as]\nuser = 'x'", "'run_as': unknown key"),
    ],
)
def test_single_mistakes(tmp_path: Path, line: str, start: str) -> None:
    (told,) = mistakes(tmp_path, f"{LEAST}{line}\n")
    assert told.startswith(start)


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    text = f'socket = "/{"s" * 107}"\nrun = "i"\nlogs = 5\ngroup = []\nextra = 1\n'
    told = mistakes(tmp_path, text)
    assert [line.partition(":")[0] for line in told] == ["socket", "run", "logs", "data", "group", "'extra'"]
    assert "expected an absolute path of at most 107 bytes" in told[0]
    assert told[3] == "data: missing, expected an absolute path"


def test_nodes_may_not_become_a_peer_by_chance(tmp_path: Path) -> None:
    (told,) = mistakes(tmp_path, f"{LEAST}peers = [64300]\ndynamic = [64200, 64999]\n")
    assert told == "dynamic: [64200, 64999] contains uid 64300 of peers; its nodes could command the launcher"


@pytest.mark.parametrize("text", ["socket = ", b"\xff\xfe", "a = " + "[" * 5000, 'run = "a"\nrun = "b"'])
def test_what_is_no_toml(tmp_path: Path, text: str | bytes) -> None:
    assert mistakes(tmp_path, text)[0].startswith("not TOML: ")


def test_file_missing_or_too_large(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "#" * (256 * 1024 + 1)) == ["larger than 262144 bytes"]
    with pytest.raises(BadSettings, match=r"nowhere\.toml: cannot be read: No such file"):
        read_settings(tmp_path / "nowhere.toml")
    with pytest.raises(BadSettings, match="cannot be read: Is a directory"):
        read_settings(tmp_path)


def test_bad_settings_end_the_launcher_with_2(tmp_path: Path) -> None:
    (tmp_path / "launcher.toml").write_text("run = 1\n")
    command = [sys.executable, "-m", "launcher", "--config", str(tmp_path / "launcher.toml")]
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 4
    assert main(["--config", str(tmp_path / "nowhere.toml")]) == 2
