"""Is the record on disk whole lines, numbered upwards, also when the disk is full?"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from noded.adapters.aside import put_aside
from noded.adapters.segment_ring import SegmentRing
from noded.ports import Unavailable
from tests.adapters.looped import looped
from tests.mounts import needs_mounts, on_a_small_disk

ROOT = Path(__file__).parents[2]

# Beyond its limit a file takes a part of a write, then no more: what a full disk does, for this process only.
FULL = """
import asyncio, resource, signal, sys
from pathlib import Path
from noded.adapters.segment_ring import SegmentRing
from noded.ports import Unavailable
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
ring = SegmentRing(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
ring.rotate("header")
ring.append("I fits")
ring.flush()
{then}
"""


def with_full_disk(folder: Path, then: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", FULL.format(then=then), str(folder)],
        env={"PYTHONPATH": f"{ROOT / 'daemon'}:{ROOT / 'proto'}", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def attempt(call: str) -> str:
    return f"try:\n    {call}\nexcept Unavailable as error:\n    print(error)\n"


def test_a_full_disk_is_told_and_leaves_whole_lines(tmp_path: Path) -> None:
    then = (
        "ring.append('I ' + 'x' * 200)\n"
        + attempt("ring.flush()")
        + "ring.append('I next')\nring.flush()\nasyncio.run(ring.sync())\n"
    )
    (told,) = with_full_disk(tmp_path / "ring", then)
    assert told == f"cannot write the journal in {tmp_path / 'ring'}: File too large"
    (segment,) = SegmentRing(tmp_path / "ring").segments()
    assert segment.read_text() == "header\nI fits\nI next\n"


def test_a_sync_tells_of_a_full_disk_too(tmp_path: Path) -> None:
    then = "ring.append('x' * 200)\n" + attempt("asyncio.run(ring.sync())") + "asyncio.run(ring.sync())\n"
    assert len(with_full_disk(tmp_path / "ring", then)) == 1


def test_a_segment_whose_header_does_not_fit_is_not_left_behind(tmp_path: Path) -> None:
    then = attempt("ring.rotate('h' * 200)") + attempt("ring.append('x'); ring.flush()")
    told = with_full_disk(tmp_path / "ring", then)
    assert [line.rpartition(": ")[2] for line in told] == ["File too large", "no segment is open"]
    assert [path.name for path in (tmp_path / "ring").iterdir()] == ["00000001.jsonl"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(Unavailable, match="Permission denied"):
        SegmentRing(tmp_path / "ring")


def test_a_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "ring").write_text("")
    with pytest.raises(Unavailable, match=r"cannot write the journal in .*: File exists"):
        SegmentRing(tmp_path / "ring")


def test_a_folder_that_went_away_is_told(tmp_path: Path) -> None:
    ring = SegmentRing(tmp_path / "ring")
    (tmp_path / "ring").rmdir()
    with pytest.raises(Unavailable, match="No such file"):
        ring.rotate("header")


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    ring = SegmentRing(tmp_path / "ring")
    ring.rotate("header")
    (segment,) = ring.segments()
    assert segment.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "ring").stat().st_mode & 0o777 == 0o700


def test_numbers_go_on_after_a_restart_and_are_never_used_twice(tmp_path: Path) -> None:
    for _ in range(3):
        SegmentRing(tmp_path).rotate("header")
    newest = SegmentRing(tmp_path).segments()[-1]
    assert newest.name == "00000003.jsonl"
    put_aside(newest)
    ring = SegmentRing(tmp_path)
    ring.rotate("header")
    assert [path.name for path in ring.segments()] == ["00000001.jsonl", "00000002.jsonl", "00000004.jsonl"]


def test_other_files_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    for name in ("notes.jsonl", ".hidden"):
        (tmp_path / name).write_text("mine")
    ring = SegmentRing(tmp_path, kept=0)
    for _ in range(4):
        ring.rotate("header")
    assert [path.name for path in ring.segments()] == ["00000003.jsonl", "00000004.jsonl"]
    assert (tmp_path / "notes.jsonl").read_text() == "mine"


@looped
async def test_descriptors_do_not_pile_up(tmp_path: Path) -> None:
    ring = SegmentRing(tmp_path)
    ring.rotate("header")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        ring.rotate("header")
        await ring.sync()
    assert len(os.listdir("/proc/self/fd")) == before


ROOM = """
import asyncio, sys
from pathlib import Path
from noded.adapters.segment_ring import SegmentRing
from noded.adapters.state_disk import MIB, StateDisk
from noded.ports import Unavailable
folder = Path(sys.argv[1])
disk = StateDisk(folder / "ballast", MIB)
ring = SegmentRing(folder / "ring", make_room=disk.give_up)
ring.rotate("header")
disk.lacking()
filler = (folder / "filler").open("wb", buffering=0)
try:
    while filler.write(bytes(4096)):
        pass
except OSError:
    pass
for line in range(2000):
    ring.append(f"I {line} " + "x" * 1000)
    try:
        asyncio.run(ring.sync())
    except Unavailable as error:
        print(line, "No space left" in str(error), (folder / "ballast").exists())
        break
(segment,) = ring.segments()
lines = segment.read_text().splitlines()
assert [line.split()[1] for line in lines[1:]] == [str(number) for number in range(line)], "whole lines"
filler.truncate(0)
ring.rotate("next")
assert [path.read_text().splitlines()[0] for path in ring.segments()] == ["header", "next"]
"""


@needs_mounts
def test_a_full_disk_is_given_the_ballast_before_anything_is_lost(tmp_path: Path) -> None:
    told = on_a_small_disk(tmp_path, "6m", [sys.executable, "-c", ROOM, str(tmp_path)]).split()
    assert 900 < int(told[0]) < 1100, "a mebibyte of lines was still written"
    assert told[1:] == ["True", "False"]
