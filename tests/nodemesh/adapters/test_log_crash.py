"""Is every acknowledged frame there and whole after a sudden end, at any moment?"""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nodemesh.adapters.sqlite_log import SqliteLog
from nodemesh.model.frame import Stored
from tests.adapters.looped import looped
from tests.nodemesh.adapters.stored_frames import all_of, frame

ROOT = Path(__file__).parents[3]
ROUNDS = 6
LIMIT = 400_000
ENVIRONMENT = {"PYTHONPATH": f"{ROOT}:{ROOT / 'daemon'}:{ROOT / 'proto'}", "PYTHONDONTWRITEBYTECODE": "1"}
# Groups of different sizes, files small enough that one is begun and one is sealed at any moment.
CHILD = """
import asyncio, random, sys
from pathlib import Path
from nodemesh.adapters.sqlite_log import SqliteLog
from tests.nodemesh.adapters.stored_frames import frame

async def main():
    state, seed = Path(sys.argv[1]), int(sys.argv[2])
    dice = random.Random(seed)
    log = await SqliteLog.open(state / "log", state / "aside", limit=int(sys.argv[3]))
    print("open", log.span.newest, len(log.lost), flush=True)
    while True:
        first = log.span.newest + 1
        group = [frame(first + n, size=dice.choice((100, 3000, 30_000))) for n in range(dice.randint(1, 8))]
        await log.append(group)
        print(log.span.newest, flush=True)
        if dice.random() < 0.1:
            await log.drop(log.span.newest - 150)

asyncio.run(main())
"""


def killed(state: Path, seed: int, seconds: float) -> int:
    """The last position that the child had acknowledged before it was killed."""
    command = [sys.executable, "-c", CHILD, str(state), str(seed), str(LIMIT)]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        opened = child.stdout.readline().split()
        assert opened[0] == "open"
        assert opened[2] == "0"
        time.sleep(seconds)
        os.kill(child.pid, signal.SIGKILL)
        lines = child.stdout.read().split("\n")[:-1]
    return int(lines[-1]) if lines else int(opened[1])


def of_child(stored: Stored) -> bool:
    """Is it whole? Sizes are the child's choice, the rest follows from the position."""
    return stored == frame(stored.position, size=len(stored.data))


def check(state: Path, acknowledged: int) -> tuple[int, int]:
    async def look() -> tuple[int, int]:
        log = await SqliteLog.open(state / "log", state / "aside", limit=LIMIT)
        try:
            assert log.lost == ()
            assert log.span.newest >= acknowledged
            found = await all_of(log)
            assert [each.position for each in found] == list(range(log.span.oldest, log.span.newest + 1))
            assert all(of_child(each) for each in found)
            assert log.streams["shop.1"] == log.span.newest
            return log.span.oldest, log.span.newest
        finally:
            await log.close()

    return asyncio.run(look())


def rounds(state: Path, seed: int, number: int) -> None:
    dice = random.Random(seed)
    for turn in range(number):
        acknowledged = killed(state, seed + turn, dice.uniform(0.0, 0.25))
        # Most lives begin with what the last one left, some with what somebody closed properly.
        if dice.random() < 0.4 or turn == number - 1:
            check(state, acknowledged)


def test_what_was_acknowledged_survives_a_kill_at_any_moment(tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    rounds(tmp_path, seed, ROUNDS)


@pytest.mark.soak
def test_what_was_acknowledged_survives_many_kills(tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    rounds(tmp_path, seed, 200)


def test_a_kill_while_it_closes_or_opens_loses_nothing(tmp_path: Path) -> None:
    acknowledged = killed(tmp_path, 7, 0.3)
    for delay in (0.0, 0.002, 0.01):
        killed(tmp_path, 7, delay)
    _, newest = check(tmp_path, acknowledged)
    assert check(tmp_path, newest)[1] == newest


@looped
async def test_half_made_files_are_swept_away(tmp_path: Path) -> None:
    log = await SqliteLog.open(tmp_path / "log", tmp_path / "aside", limit=LIMIT)
    await log.append([frame(1)])
    await log.close()
    for name in ("00000002.new", "00000002.new-journal", "00000009.end", "00000009.db-wal"):
        (tmp_path / "log" / name).write_bytes(b"half")
    log = await SqliteLog.open(tmp_path / "log", tmp_path / "aside", limit=LIMIT)
    try:
        assert sorted(os.listdir(tmp_path / "log")) == ["00000001.db", "00000001.end"]
        assert await all_of(log) == [frame(1)]
        assert log.lost == ()
    finally:
        await log.close()
