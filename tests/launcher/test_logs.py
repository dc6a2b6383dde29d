"""Does an instance's output stay small while the instance goes on writing, without a whole line lost?"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.launcher.lab import Client, Lab, lab, until
from tests.mounts import needs_mounts, on_a_small_disk

PAGE = 4096
NUMBERS = "import itertools,time\nfor n in itertools.count():\n print(f'{n:015}', flush=n % 64 == 0)"
COUNTS = "import time\nfor n in range(20000): print(f'{n:015}')\nprint('end', flush=True); time.sleep(1000)"


@pytest.fixture(scope="module")
def room() -> Iterator[Lab]:
    yield from lab(cgroups="none")


@pytest.fixture
def client(room: Lab) -> Iterator[Client]:
    made = room.client()
    yield made
    made.close()


def log_of(room: Lab, instance: str) -> Path:
    return Path(room.settings["logs"]) / instance.partition(".")[0] / f"{instance}.log"


def started(room: Lab, client: Client, instance: str, script: str) -> Path:
    client.do("start", **room.order(instance, "/usr/bin/python3", "-c", script))
    return log_of(room, instance)


def end(client: Client, instance: str) -> None:
    client.do("kill", instance=instance)
    client.do("remove", instance=instance)


def lines(path: Path) -> list[str]:
    """Of what is still held, the whole ones."""
    text = path.read_bytes().lstrip(b"\0").decode()
    return text.split("\n")[1:-1]


def test_the_beginning_is_given_back_and_the_newest_lines_stay(room: Lab, client: Client) -> None:
    path = started(room, client, "talker.1", COUNTS)
    until(lambda: path.exists() and path.read_bytes().endswith(b"end\n"), "all it prints")
    size = path.stat().st_size
    found = client.do("trim", instance="talker.1", keep=10 * PAGE)
    assert found["how"] == "punched"
    assert path.stat().st_size == size
    assert path.stat().st_blocks * 512 == found["held"] <= 11 * PAGE
    kept = lines(path)
    assert kept[-2:] == [f"{19999:015}", "end"] and len(kept) > 2400
    assert kept[:-1] == [f"{n:015}" for n in range(20001 - len(kept), 20000)]
    assert client.do("trim", instance="talker.1", keep=20 * PAGE) == {"how": "kept", "held": found["held"]}
    end(client, "talker.1")


def test_who_writes_meanwhile_loses_no_line(room: Lab, client: Client) -> None:
    path = started(room, client, "talker.2", NUMBERS)
    until(lambda: path.exists() and path.stat().st_size > 50 * PAGE, "some lines")
    for _ in range(20):
        client.do("trim", instance="talker.2", keep=16 * PAGE)
        time.sleep(0.01)
    found = lines(path)
    first = int(found[0])
    assert found == [f"{n:015}" for n in range(first, first + len(found))]
    end(client, "talker.2")


def test_what_an_ended_instance_printed_is_removed_on_order(room: Lab, client: Client) -> None:
    path = started(room, client, "talker.3", "print('last words')")
    client.exited("talker.3")
    assert client.do("trim", instance="talker.3", keep=0)["how"] == "kept", "less than a page"
    client.do("discard", instance="talker.3")
    assert not path.exists()
    kind, text = client.refused("discard", instance="talker.3")
    assert (kind, text) == ("not_found", "cannot discard talker.3: no output of talker.3 is kept")
    client.do("remove", instance="talker.3")


def test_a_running_instance_keeps_its_output(room: Lab, client: Client) -> None:
    path = started(room, client, "talker.4", "import time; time.sleep(1000)")
    assert client.refused("discard", instance="talker.4") == (
        "conflict",
        "cannot discard talker.4: it still runs",
    )
    assert path.exists()
    end(client, "talker.4")


@pytest.mark.parametrize("op", ["trim", "discard"])
def test_nothing_but_the_instances_own_file_is_touched(room: Lab, client: Client, op: str) -> None:
    more = {"keep": 0} if op == "trim" else {}
    path = started(room, client, "talker.5", "import time; time.sleep(1000)")
    end(client, "talker.5")
    other = room.home / "precious"
    other.write_bytes(b"x" * 10 * PAGE)
    path.unlink()
    path.symlink_to(other)
    if op == "trim":
        assert client.refused(op, instance="talker.5", **more)[0] == "unavailable"
    else:
        client.do(op, instance="talker.5")
    assert other.stat().st_size == 10 * PAGE
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    kind, _ = client.refused("trim", instance="talker.5", keep=0)
    assert kind in ("refused", "unavailable")
    path.unlink()


@pytest.mark.parametrize("keep", [-1, "all", None, 1.5])
def test_a_bad_size_is_refused(room: Lab, client: Client, keep: object) -> None:
    kind, text = client.refused("trim", instance="talker.9", keep=keep)
    assert kind == "refused" and "keep" in text


CUT = """
import ctypes, errno, os, sys
from pathlib import Path
from launcher import logs
class Old:
    def fallocate64(self, *words):
        ctypes.set_errno(errno.EOPNOTSUPP)
        return -1
logs._LIBC = Old()
folder = Path(sys.argv[1]) / "talker"
folder.mkdir()
path = folder / "talker.1.log"
writer = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
os.write(writer, b"x" * 100_000)
assert logs.trim(sys.argv[1], "talker.1", 8192) == {"how": "cut", "held": 0}
os.write(writer, b"next")
print(path.read_bytes())
"""


def test_where_a_file_can_have_no_hole_it_is_cut(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CUT, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "b'next'\n", done.stderr


FULL = """
import os, sys
from pathlib import Path
from launcher import folders
logs = Path(sys.argv[1]) / "logs"
logs.mkdir()
with (logs / "filler").open("wb", buffering=0) as filler:
    try:
        while filler.write(bytes(4096)):
            pass
    except OSError:
        pass
for number in range(100_000):
    try:
        (logs / f"f{number}").touch()
    except OSError:
        break
log = folders.open_log_or_nothing(str(logs), "talker", "talker.1", 0)
print(os.fstat(log).st_rdev == os.stat("/dev/null").st_rdev)
"""


@needs_mounts
def test_on_a_full_disk_an_instance_starts_all_the_same(tmp_path: Path) -> None:
    """What it prints is lost; that it runs is more."""
    command = [sys.executable, "-c", FULL, str(tmp_path)]
    assert on_a_small_disk(tmp_path, "1m,nr_inodes=40", command) == "True\n"
