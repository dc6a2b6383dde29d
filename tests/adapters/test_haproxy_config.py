"""Is the text of haproxy.cfg accepted by the real program, and bad input by nobody?"""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from noded.adapters.haproxy_config import NAME_SLOTS, config, write_maps
from tests.adapters.running_haproxy import program

GOOD: dict[str, Any] = {
    "socket": Path("/run/noded/haproxy.sock"),
    "ports": [(8081, 8090)],
    "bind": "127.0.0.1",
    "maps": Path("/run/noded/maps"),
}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"bind": ""},
        {"bind": "*"},
        {"ports": [(8081, 8081), (9000, 9010)]},
        {"ports": [(20_000, 24_095)]},
        {"group": "root"},
        {"timeout": 5},
        {"tcp_ports": [(9100, 9110), (9200, 9200)]},
    ],
)
def test_haproxy_accepts_it_without_a_warning(tmp_path: Path, change: dict[str, Any]) -> None:
    write_maps(tmp_path)
    text = config(**{**GOOD, "maps": tmp_path, "socket": tmp_path / "s", **change})
    (tmp_path / "haproxy.cfg").write_text(text)
    done = subprocess.run(
        [program(), "-c", "-f", str(tmp_path / "haproxy.cfg")], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "[" not in done.stderr, "a line such as [WARNING] or [ALERT]"


def test_every_port_has_a_slot_and_a_bind() -> None:
    text = config(**{**GOOD, "ports": [(9000, 9001), (8081, 8082)], "group": "noded", "timeout": 7})
    slots = [line for line in text.splitlines() if line.startswith("backend ")]
    names = [f"s{port}" for port in (8081, 8082, 9000, 9001)] + [f"n{number}" for number in range(NAME_SLOTS)]
    assert slots[2:] == [
        *(f"backend {name} from requests" for name in names),
        *(f"backend c{name} from canaries" for name in names),
    ]
    assert "mode tcp" not in text
    assert "bind 127.0.0.1:8081-8082\n" in text
    assert "bind 127.0.0.1:9000-9001\n" in text
    assert "stats socket /run/noded/haproxy.sock mode 660 level admin group noded\n" in text
    assert "timeout server 7s\n" in text


def test_ports_for_connections_have_slots_of_their_own() -> None:
    text = config(**{**GOOD, "tcp_ports": [(9100, 9101)]})
    slots = [line for line in text.splitlines() if line.startswith("backend t")]
    assert slots == ["backend t9100 from connections", "backend t9101 from connections"]
    assert "bind 127.0.0.1:9100-9101\n" in text


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tcp_ports": [(10, 9)]}, "tcp_ports: .*10-9"),
        ({"ports": [(9000, 9010)], "tcp_ports": [(9010, 9020)]}, "ports and tcp_ports: 9010-9020 overlaps"),
        ({"ports": []}, "ports: expected at least one range"),
        ({"ports": [(0, 10)]}, "ports: .*0-10"),
        ({"ports": [(10, 9)]}, "ports: .*10-9"),
        ({"ports": [(65_530, 65_536)]}, "ports: .*65536"),
        ({"ports": [(1, 10), (10, 20)]}, "ports: 10-20 overlaps"),
        ({"ports": [(1, 5000)]}, "ports: expected at most 4096 ports in all, got 5000"),
        ({"socket": Path("relative.sock")}, "socket: expected an absolute path"),
        ({"socket": Path("/run/a b")}, "socket: "),
        ({"maps": Path("/run/x\nglobal")}, "maps: "),
        ({"bind": "127.0.0.1:80\n  bind *"}, "bind: "),
        ({"group": "no group"}, "group: "),
        ({"timeout": 0}, "timeout: "),
    ],
)
def test_wrong_arguments_are_named(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        config(**{**GOOD, **change})


def test_maps_are_empty_again_at_every_start(tmp_path: Path) -> None:
    write_maps(tmp_path / "maps")
    (tmp_path / "maps/names.map").write_text("s1.pinned.0 old\n")
    write_maps(tmp_path / "maps")
    assert [path.read_text() for path in sorted((tmp_path / "maps").iterdir())] == ["", "", ""]
