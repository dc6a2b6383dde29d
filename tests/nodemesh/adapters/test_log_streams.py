"""How long is the end of a stream remembered, over files and lives?"""

from dataclasses import dataclass
from pathlib import Path

from nodemesh.adapters.sqlite_log import SqliteLog
from nodemesh.adapters.stream_ends import AGAIN, SILENT, StreamEnds
from tests.adapters.looped import looped
from tests.nodemesh.adapters.stored_frames import frame


@dataclass(slots=True)
class Times:
    up: float = 1000.0
    date: float = 1_000_000.0

    def now(self) -> float:
        return self.up

    def wall(self) -> float:
        return self.date

    def pass_by(self, seconds: float) -> None:
        self.up += seconds
        self.date += seconds


async def opened(state: Path, times: Times, limit: int = 100_000) -> SqliteLog:
    return await SqliteLog.open(state / "log", state / "aside", times, limit)


@looped
async def test_it_outlives_the_file_that_held_its_frames(tmp_path: Path) -> None:
    times = Times()
    log = await opened(tmp_path, times)
    await log.append([frame(1, "shop.1", 1, 40), frame(2, "bank.1", 1, 2)])
    for position in range(3, 30):
        await log.append([frame(position, "shop.2", position - 2, size=20_000)])
    assert await log.drop(20) > 0
    assert log.span.oldest > 2
    for _ in range(2):
        assert dict(log.streams) == {"shop.1": 40, "bank.1": 2, "shop.2": 27}
        await log.close()
        times.up = 5.0
        log = await opened(tmp_path, times)
    await log.close()


@looped
async def test_it_is_forgotten_after_a_silent_day(tmp_path: Path) -> None:
    times = Times()
    log = await opened(tmp_path, times)
    await log.append([frame(1, "shop.1", 1, 40)])
    times.pass_by(SILENT - 10.0)
    await log.append([frame(2, "shop.2", 1)])
    await log.close()
    log = await opened(tmp_path, times)
    assert dict(log.streams) == {"shop.1": 40, "shop.2": 1}
    await log.close()
    times.pass_by(20.0)
    log = await opened(tmp_path, times)
    times.pass_by(AGAIN + 1.0)
    await log.append([frame(3, "shop.2", 2)])
    assert dict(log.streams) == {"shop.2": 2}
    await log.close()


def test_many_silent_ones_do_not_stay_in_memory() -> None:
    times = Times()
    ends = StreamEnds(times)
    for day in range(3):
        ends.take([frame(n, f"shop.{day}-{n}") for n in range(1, 10_001)])
        times.pass_by(SILENT + 1.0)
    assert len(ends.last) <= 20_000
    assert set(ends.last) >= {f"shop.2-{n}" for n in range(1, 10_001)}


def test_a_date_that_is_set_forward_forgets_nobody_who_spoke_just_now() -> None:
    times = Times()
    ends = StreamEnds(times)
    ends.take([frame(1, "shop.1")])
    times.date += 30 * SILENT
    assert [row[:2] for row in ends.rows()] == [("shop.1", 1)]
    again = StreamEnds(times)
    again.restore(ends.rows())
    assert again.last == {"shop.1": 1}


def test_a_date_that_is_set_between_two_lives_forgets_nobody() -> None:
    times = Times()
    ends = StreamEnds(times)
    ends.take([frame(1, "shop.1")])
    rows = ends.rows()
    for shift in (30 * SILENT, -60 * SILENT):
        times.date += shift
        ends = StreamEnds(times)
        ends.restore(rows)
        assert ends.last == {"shop.1": 1}
    times.pass_by(SILENT + 1.0)
    assert ends.rows() == []


@looped
async def test_a_damaged_file_still_says_how_far_its_streams_came(tmp_path: Path) -> None:
    times = Times()
    log = await opened(tmp_path, times)
    await log.append([frame(n, "shop.1", n, size=3000) for n in range(1, 21)])
    await log.append([frame(21, "bank.1", 1, 7), frame(22, "bank.2", 1, size=9000)])
    await log.close()
    path = tmp_path / "log/00000001.db"
    data = bytearray(path.read_bytes())
    at = data.index(b"shop.1 10 ")
    data[at + 20] ^= 1
    path.write_bytes(data)
    path.with_suffix(".end").unlink()
    for _ in range(2):
        log = await opened(tmp_path, times)
        assert dict(log.streams) == {"shop.1": 20, "bank.1": 7, "bank.2": 1}
        await log.close()
    data[20_000:] = b""
    path = next((tmp_path / "log").glob("*.db"))
    path.write_bytes(data)
    log = await opened(tmp_path, times)
    assert all(last <= 20 for last in log.streams.values())
    await log.close()


@looped
async def test_what_is_missing_of_a_stream_is_found_over_files_and_lives(tmp_path: Path) -> None:
    log = await opened(tmp_path, Times(), 300_000)
    await log.append([frame(1, "shop.1", 2)])
    await log.append([frame(2, "shop.1", 3, 2), frame(3, "bank.1", 9)])
    position, sequence = 3, 6
    while len(list((tmp_path / "log").glob("*.db"))) < 2:
        position, sequence = position + 1, sequence + 1
        await log.append([frame(position, "shop.1", sequence, size=30_000)])
    # Refused between the end of a file and the beginning of the next.
    lost = sequence + 1
    await log.append([frame(position + 1, "shop.1", lost + 1)])
    for _ in range(2):
        assert list(await log.gaps("shop.1")) == [(1, 1), (5, 6), (lost, lost)]
        assert list(await log.gaps("bank.1")) == [(1, 8)]
        assert list(await log.gaps("bank.2")) == []
        await log.close()
        log = await opened(tmp_path, Times(), 300_000)
    await log.close()


@looped
async def test_where_a_stream_went_on_further_nothing_is_missing(tmp_path: Path) -> None:
    log = await opened(tmp_path, Times(), 300_000)
    await log.append([frame(1, "shop.1", 1), frame(2, "shop.1", 10**12)])
    assert list(await log.gaps("shop.1")) == []
    await log.close()
