"""Who commits, and when is the WAL written back?"""

import asyncio
import time
from pathlib import Path
from threading import current_thread, main_thread

from nodemesh.adapters.log_file import WAL
from nodemesh.adapters.log_turn import SLOW, WARY, Turn
from nodemesh.adapters.sqlite_log import BRIEF, SqliteLog
from tests.adapters.looped import looped
from tests.nodemesh.adapters.stored_frames import all_of, frame, frames


@looped
async def test_one_at_a_time_has_the_turn() -> None:
    turn = Turn()
    assert turn.try_here() and not turn.try_here()
    later = turn.later(current_thread)
    await asyncio.sleep(0.02)
    assert not later.done()
    turn.release()
    assert later.result(5) is not main_thread()
    assert await turn.take(lambda: turn.try_here()) is False
    turn.close()


def test_after_a_slow_commit_the_loop_makes_none_for_a_while() -> None:
    turn = Turn()
    turn.took(SLOW / 2)
    assert turn.try_here()
    turn.release()
    began = time.monotonic()
    turn.took(2 * SLOW)
    assert not turn.try_here()
    while not turn.try_here():
        assert time.monotonic() < began + 5
        time.sleep(0.005)
    assert time.monotonic() - began >= 2 * SLOW * WARY
    turn.close()


@looped
async def test_small_and_large_commits_come_in_order_and_survive(tmp_path: Path) -> None:
    wanted = []
    log = await SqliteLog.open(tmp_path / "log", tmp_path / "aside")
    for position in range(1, 200):
        wanted.append(frame(position, size=BRIEF + 1 if position % 7 == 0 else 300))
        await log.append(wanted[-1:])
        assert log.span.newest == position
    assert await all_of(log) == wanted
    await log.close()
    again = await SqliteLog.open(tmp_path / "log", tmp_path / "aside")
    assert await all_of(again) == wanted and again.lost == ()
    await again.close()


@looped
async def test_the_wal_stays_short(tmp_path: Path) -> None:
    log = await SqliteLog.open(tmp_path / "log", tmp_path / "aside")
    for first in range(1, 121, 4):
        await log.append(frames(first, first + 3, size=100_000))
        await asyncio.sleep(0)
    assert log.span.newest == 120
    wal = next((tmp_path / "log").glob("*.db-wal"))
    assert 0 < wal.stat().st_size < 3 * WAL
    assert len(await all_of(log)) == 120
    await log.close()
