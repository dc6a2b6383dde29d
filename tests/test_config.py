"""Is every mistake in noded.toml told with its place, what was expected and what was found?"""

import os
import re
from pathlib import Path

import pytest

from noded.config import Settings, folders, read_settings
from nodespec.tables import ManifestError

WHOLE = """
[host]
name = "web1"

[paths]
state = "/srv/noded"
run = "/run/n"
logs = "/var/log/n"
launcher = "/run/l.sock"

[proxy]
socket = "/run/p.sock"
maps = "/run/maps"
ports = ["8100-8163", "9000"]
tcp_ports = ["8164-8179"]
bind = "0.0.0.0"

[nodes]
ports = "21000-21009"
env = { PATH = "/bin", LANG = "C.UTF-8" }

[regenerate]
command = ["python3", "-m", "regenerator"]
env = {}
python = "/usr/bin/python3.11"
user = "worker"

[metrics]
listen = "[::1]:9464"

[control]
admins = [1000, 0]

[journal]
age = "12h"
entries = 5000
ring = "16M"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "noded.toml"


def mistakes(path: Path, text: str | bytes) -> list[str]:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ManifestError) as refusal:
        read_settings(path)
    lines = str(refusal.value).splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines)
    return [line.removeprefix(f"{path}: ") for line in lines]


def test_every_key_is_read(path: Path) -> None:
    path.write_text(WHOLE.replace("[::1]", "::1"))
    found = read_settings(path)
    assert found.host.name == "web1"
    assert (found.paths.state, found.paths.launcher) == ("/srv/noded", "/run/l.sock")
    assert found.proxy.ports == ((8100, 8163), (9000, 9000))
    assert found.proxy.tcp_ports == ((8164, 8179),)
    assert found.nodes.ports == (21000, 21009)
    assert found.nodes.env == (("PATH", "/bin"), ("LANG", "C.UTF-8"))
    assert found.regenerate.command == ("python3", "-m", "regenerator")
    assert found.metrics.listen == "::1:9464"
    assert found.control.admins == (1000, 0)
    assert (found.journal.age, found.journal.entries, found.journal.ring) == (43_200.0, 5000, 16 * 2**20)


def test_an_empty_file_is_all_defaults(path: Path) -> None:
    path.write_text("")
    found = read_settings(path)
    assert found == Settings()
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,63}", found.host.name)


def test_folders_follow_the_paths(path: Path) -> None:
    path.write_text('[paths]\nstate = "/s"\nrun = "/r"\n')
    found = folders(read_settings(path))
    assert {name: str(place) for name, place in found.items()} == {
        "ring": "/s/ring",
        "chronicle": "/s/journal.db",
        "registry": "/s/registry.db",
        "releases": "/s/releases",
        "evidence": "/s/evidence",
        "audit": "/s/audit",
        "lock": "/s/lock",
        "ballast": "/s/ballast",
        "control": "/r/control.sock",
        "notify": "/r/notify",
        "instances": "/r/i",
    }


BAD = [
    ("host", "name", '"-web"', "a host name"),
    ("host", "name", '""', "a host name"),
    ("host", "name", "7", "a host name"),
    ("host", "name", '"web 1"', "a host name"),
    ("paths", "state", '"state"', "an absolute path"),
    ("paths", "run", '""', "an absolute path"),
    ("paths", "logs", '["/a"]', "an absolute path"),
    ("proxy", "ports", "8100", "a list of port ranges"),
    ("proxy", "ports", "[]", "a list of port ranges"),
    ("proxy", "ports", "[8100]", "a list of port ranges"),
    ("proxy", "ports", '["8163-8100"]', "a list of port ranges"),
    ("proxy", "ports", '["0-10"]', "a list of port ranges"),
    ("proxy", "ports", '["65000-65536"]', "a list of port ranges"),
    ("proxy", "ports", '["8100-"]', "a list of port ranges"),
    ("proxy", "ports", '["8100-8110", "8105"]', "none overlapping"),
    ("proxy", "tcp_ports", "8164", "a list of port ranges"),
    ("proxy", "tcp_ports", '["8164-8170", "8170"]', "none overlapping"),
    ("proxy", "bind", '"localhost"', "an IP address"),
    ("proxy", "bind", '"1.2.3"', "an IP address"),
    ("proxy", "bind", '"127.0.0.1:80"', "an IP address"),
    ("nodes", "ports", '["20000-20999"]', "a port range"),
    ("nodes", "env", '{ "A B" = "1" }', "a table of environment variables"),
    ("nodes", "env", '{ NODED_NODE = "1" }', "none named NODED_*"),
    ("nodes", "env", '{ NOTIFY_SOCKET = "1" }', "none named NODED_*"),
    ("nodes", "env", "{ A = 1 }", "a table of environment variables"),
    ("nodes", "env", '"A=1"', "a table of environment variables"),
    ("regenerate", "command", "[]", "a command"),
    ("regenerate", "command", '[""]', "a command"),
    ("regenerate", "command", '"noded-regenerate"', "a command"),
    ("regenerate", "user", '"a user"', "a user name"),
    ("metrics", "listen", '"127.0.0.1"', "an IP address and a port"),
    ("metrics", "listen", '"127.0.0.1:99999"', "an IP address and a port"),
    ("metrics", "listen", '"127.0.0.1:0"', "an IP address and a port"),
    ("metrics", "listen", '"999.0.0.1:80"', "an IP address and a port"),
    ("metrics", "listen", '"localhost:9464"', "an IP address and a port"),
    ("metrics", "listen", "9464", "an IP address and a port"),
    ("metrics", "listen", "true", "an IP address and a port"),
    ("control", "admins", '["root"]', "a list of uids"),
    ("control", "admins", "[-1]", "a list of uids"),
    ("control", "admins", "[4294967295]", "a list of uids"),
    ("control", "admins", "[true]", "a list of uids"),
    ("control", "admins", "0", "a list of uids"),
    ("journal", "age", '"a day"', "a duration"),
    ("journal", "age", "-1", "a duration"),
    ("journal", "entries", "-5", "a whole number from 1000"),
    ("journal", "entries", "1.5", "a whole number from 1000"),
    ("journal", "ring", '"64 MB"', "a size"),
]


@pytest.mark.parametrize(("table", "key", "value", "expected"), BAD)
def test_a_bad_value(path: Path, table: str, key: str, value: str, expected: str) -> None:
    (told,) = mistakes(path, f"[{table}]\n{key} = {value}\n")
    assert told.startswith(f"{table}.{key}: expected ")
    assert expected in told
    assert ", got " in told


UNKNOWN = [
    ("[proxy]\nsockets = '/a'\n", "proxy.sockets: unknown key; nearest known key: proxy.socket"),
    ("[contol]\nadmins = []\n", "contol: unknown key; nearest known key: control"),
    ("[paths]\nlisten = 'off'\n", "paths.listen: unknown key; nearest known key: metrics.listen"),
    ("[metrics]\nring = 1\n", "metrics.ring: unknown key; "),
    ("state = '/a'\n", "state: unknown key; nearest known key: "),
    ("[registry]\nkind = 'etcd'\n", "registry: not yet supported"),
    ("[tls]\n", "tls: not yet supported"),
]


@pytest.mark.parametrize(("text", "told"), UNKNOWN, ids=[text.split("\n")[0] for text, _ in UNKNOWN])
def test_an_unknown_key_names_the_nearest(path: Path, text: str, told: str) -> None:
    (found,) = mistakes(path, text)
    assert found.startswith(told)


def test_all_mistakes_at_once(path: Path) -> None:
    found = mistakes(path, '[host]\nname = 7\ncolour = "red"\n[metrics]\nlisten = "x"\n[journal]\nage = []\n')
    assert [line.partition(":")[0] for line in sorted(found)] == [
        "host.colour",
        "host.name",
        "journal.age",
        "metrics.listen",
    ]


def test_ports_of_instances_are_not_those_of_the_proxy(path: Path) -> None:
    (told,) = mistakes(path, '[proxy]\nports = ["20990-21010"]\n')
    assert "[nodes] ports and [proxy] ports share ports of 20990-21010" in told


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[proxy]\ntcp_ports = ["8160-8170"]\n', "[proxy] tcp_ports share ports of 8100-8163"),
        ('[proxy]\ntcp_ports = ["20000"]\n', "[nodes] ports and [proxy] ports share ports of 20000-20000"),
        ('[proxy]\ntcp_ports = ["8200"]\n', "[nodes] sockets share ports of 8200-8231"),
    ],
)
def test_ports_for_connections_are_a_range_of_their_own(path: Path, text: str, says: str) -> None:
    (told,) = mistakes(path, text)
    assert says in told


def test_a_host_may_have_no_ports_for_connections(path: Path) -> None:
    path.write_text("[proxy]\ntcp_ports = []\n")
    assert read_settings(path).proxy.tcp_ports == ()


NOT_TOML = [
    ("[host\n", "line 1, column 6: not valid TOML"),
    ('[host]\nname = "a\n', "not valid TOML"),
    ("[host]\n[host]\n", "not valid TOML"),
    (b"# \xff\n", "line 1: not UTF-8 text"),
    (b"\0", "not valid TOML"),
    ("# " + "x" * 70_000, "longer than 64 KiB"),
    (b"# " + b"x" * 2_000_000, "longer than 64 KiB"),
]


@pytest.mark.parametrize(("text", "told"), NOT_TOML, ids=range(len(NOT_TOML)))
def test_what_is_not_toml(path: Path, text: str | bytes, told: str) -> None:
    (found,) = mistakes(path, text)
    assert told in found


def test_a_table_that_is_a_value(path: Path) -> None:
    (found,) = mistakes(path, 'host = "web1"\n')
    assert found.startswith("host: expected a table")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "none.toml", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(ManifestError, match=f"{path}: cannot be read: {why}"):
            read_settings(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(path: Path) -> None:
    path.write_text("")
    path.chmod(0)
    with pytest.raises(ManifestError, match="cannot be read: Permission denied"):
        read_settings(path)
