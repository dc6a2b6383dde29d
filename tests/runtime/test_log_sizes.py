"""Is what nodes print kept within bounds, and is what stays the newest?"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from noded.model.log_file import LogFile
from noded.model.state import HostState
from noded.runtime.log_sizes import LogSizes
from nodespec.host import LogsPart
from tests.adapters.looped import looped
from tests.adapters.sdk import wait
from tests.fakes.clock import FakeClock
from tests.fakes.logs import FakeLogs
from tests.runtime.nouns import host, instance, node

MIB = 2**20
LIMITS = LogsPart(size=16 * MIB, kept=2, age=1000.0)


def file(name: str, held: int = 4096, age: float = 100.0) -> LogFile:
    return LogFile(name.partition(".")[0], name, held, age)


@asynccontextmanager
async def kept_small(
    logs: FakeLogs, state: HostState | None = None, looks: int = 1
) -> AsyncIterator[LogSizes]:
    """While it has looked so many times and once more, so that everything the last look asked for is done."""
    sizes = LogSizes(lambda: state or HostState(), FakeClock(1000.0), logs, LIMITS)
    task = asyncio.ensure_future(sizes.watch())
    try:
        await wait(lambda: logs.looks > looks, "looks")
        yield sizes
        assert not task.done()
    finally:
        task.cancel()


@looped
async def test_what_is_too_long_is_trimmed_a_good_part_at_a_time() -> None:
    logs = FakeLogs(file("a.1", 17 * MIB), file("b.1", 16 * MIB))
    async with kept_small(logs) as sizes:
        assert logs.trimmed == [("a.1", 12 * MIB)]
        assert sizes.told == ()


@looped
async def test_of_ended_instances_the_newest_stay_and_none_too_old() -> None:
    logs = FakeLogs(*(file(f"a.{number}") for number in range(8, 13)), file("b.1", age=1001.0))
    async with kept_small(logs, host(node("a", instance("a.12")))):
        assert sorted(logs.files) == ["a.10", "a.11", "a.12"], "one runs, two ended ones stay"


@looped
async def test_what_was_written_to_just_now_may_run_and_stays() -> None:
    logs = FakeLogs(*(file(f"worker.{number}", age=5.0) for number in range(9)))
    async with kept_small(logs):
        assert len(logs.files) == 9


@looped
async def test_one_that_still_runs_is_no_reason_to_stop() -> None:
    logs = FakeLogs(file("a.1"), file("a.2"), file("a.3"), file("a.4"))
    logs.running = {"a.2"}
    async with kept_small(logs) as sizes:
        assert sorted(logs.files) == ["a.2", "a.3", "a.4"]
        assert sizes.told == ()


@pytest.mark.parametrize("others", [0, 50 * MIB])
@looped
async def test_a_disk_that_fills_makes_all_outputs_shorter(others: int) -> None:
    names = [f"a.{number}" for number in range(1, 9)]
    logs = FakeLogs(*(file(name, 12 * MIB) for name in names), disk=105 * MIB + others, other=others)
    async with kept_small(logs, host(node("a", *map(instance, names)))) as sizes:
        free, total = logs.room()
        assert free >= total // 10
        assert sorted(logs.files) == names
    assert sizes.told == () or "kept shorter" in sizes.told[0]


@looped
async def test_a_disk_filled_by_others_leaves_the_newest_lines() -> None:
    logs = FakeLogs(file("a.1", 12 * MIB), disk=100 * MIB, other=88 * MIB)
    async with kept_small(logs, host(node("a", instance("a.1")))) as sizes:
        assert 64 * 1024 * 3 // 4 <= logs.files["a.1"].held < 4 * MIB
        assert sizes.told == () or "MiB free" in sizes.told[0]


@looped
async def test_a_file_system_without_holes_is_told() -> None:
    logs = FakeLogs(file("a.1", 17 * MIB))
    logs.has_holes = False
    async with kept_small(logs) as sizes:
        assert "cut to nothing" in sizes.told[0]


@looped
async def test_trouble_is_told_once_and_over_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    logs = FakeLogs(file("a.1", 20 * MIB))
    logs.is_away = True
    async with kept_small(logs, looks=1) as sizes:
        assert sizes.told == ("logs cannot be kept small: cannot look at the logs",)
        logs.is_away = False
        await wait(lambda: sizes.told == (), "good news")
        assert logs.trimmed
    assert caplog.text.count("cannot be kept small") == 1
