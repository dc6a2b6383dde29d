"""Does a damaged file never lead to wrong bytes or a stop, and is what it held told?"""

import os
import random
import shutil
import sqlite3
from functools import partial
from pathlib import Path

import pytest

from nodemesh.adapters.aside import all_kept, put_aside
from nodemesh.adapters.log_file import LogFile
from nodemesh.adapters.log_note import read_end
from nodemesh.adapters.log_reading import STUBBORN, Reading
from nodemesh.adapters.log_salvage import salvage
from nodemesh.adapters.sqlite_errors import Damaged
from nodemesh.adapters.sqlite_log import SqliteLog
from nodemesh.model.frame import Stored
from nodemesh.ports import NotFound, Refused, Unavailable
from tests.adapters.looped import looped
from tests.nodemesh.adapters.stored_frames import all_of, frame

LIMIT = 200_000


class Later:
    time = 0.0

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return self.time


LAST = 60
KINDS = (("placed",), ("paid",), ("paid", "sent"))


def wanted() -> list[Stored]:
    sizes = (60, 400, 9_000, 30_000)
    return [
        frame(n, f"shop.{n % 3}", first=n, types=KINDS[n % 3], size=sizes[n % 4]) for n in range(1, LAST + 1)
    ]


async def opened(state: Path) -> SqliteLog:
    return await SqliteLog.open(state / "log", state / "aside", limit=LIMIT)


async def written(state: Path, crashed: bool) -> None:
    """Some sealed files, and one that was being written or is sealed as well."""
    log = await opened(state / "all")
    for each in wanted():
        await log.append([each])
    # Behind what is being sealed: nothing changes while it is copied.
    await log.drop(0)
    if crashed:
        shutil.copytree(state / "all/log", state / "log")
    await log.close()
    if not crashed:
        shutil.copytree(state / "all/log", state / "log")


def harm(path: Path, dice: random.Random) -> str:
    data = bytearray(path.read_bytes())
    how = dice.choice(("byte", "byte", "byte", "block", "zeros", "cut", "empty", "longer"))
    at = dice.randrange(len(data))
    if how == "byte":
        data[at] ^= 1 << dice.randrange(8)
    elif how == "block":
        data[at : at + 512] = dice.randbytes(len(data[at : at + 512]))
    elif how == "zeros":
        data[at : at + 4096] = bytes(len(data[at : at + 4096]))
    elif how == "cut":
        del data[at:]
    elif how == "empty":
        data.clear()
    else:
        data += dice.randbytes(300)
    path.write_bytes(data)
    return f"{how} at {at} of {path.name}"


async def judge(state: Path, expected: dict[int, Stored]) -> None:
    log = await opened(state)
    try:
        types = ("paid", "sent")
        some = await all_of(log, types=types)
        every = await all_of(log, most=50_000)
        assert all(each == expected[each.position] for each in every)
        told = {n for lost in log.lost for n in range(lost.first, min(lost.last, LAST) + 1)}
        held = {each.position for each in every}
        gone = {n for n in expected if n >= log.span.oldest} - held - told
        assert all(n > log.span.newest for n in gone), f"{sorted(gone)} are neither there nor told"
        matching = [each for each in every if set(types) & set(each.head.types)]
        assert {each.position for each in some} >= {each.position for each in matching}
        assert all(each == expected[each.position] for each in some)
        for number in (1, 20, 59, 60):
            try:
                assert await log.find(f"shop.{number % 3}", number) == expected[number]
            except NotFound:
                assert number not in held
        assert all(last <= LAST for last in log.streams.values())
        log.begin_above(LAST)
        fresh = frame(log.span.newest + 1)
        await log.append([fresh])
        assert (await all_of(log, fresh.position)) == [fresh]
    finally:
        await log.close()


@pytest.mark.parametrize("crashed", [False, True], ids=["closed", "crashed"])
@looped
async def test_no_damage_leads_to_wrong_bytes_or_a_stop(tmp_path: Path, crashed: bool) -> None:
    await written(tmp_path, crashed)
    await damaged_over_and_over(tmp_path, random.randrange(10**6), 20)


@pytest.mark.soak
@pytest.mark.parametrize("crashed", [False, True], ids=["closed", "crashed"])
def test_no_damage_of_many(tmp_path: Path, crashed: bool) -> None:
    import asyncio

    async def run() -> None:
        await written(tmp_path, crashed)
        await damaged_over_and_over(tmp_path, random.randrange(10**6), 1500)

    asyncio.run(run())


async def damaged_over_and_over(folder: Path, seed: int, rounds: int) -> None:
    expected = {each.position: each for each in wanted()}
    for turn in range(rounds):
        dice = random.Random(seed + turn)
        state = folder / "state"
        shutil.copytree(folder / "log", state / "log")
        files = [
            p for p in sorted((state / "log").iterdir()) if not p.name.endswith("-shm") and p.stat().st_size
        ]
        done = harm(dice.choice(files), dice)
        print(f"seed {seed + turn}: {done}")
        await judge(state, expected)
        # What it found in the first life stays so in the next.
        log = await opened(state)
        try:
            again = await all_of(log)
            assert all(each.position > LAST or each == expected[each.position] for each in again)
        finally:
            await log.close()
        shutil.rmtree(state)


def harm_frame(path: Path, position: int) -> bytes:
    """The bytes of the file then."""
    data = bytearray(path.read_bytes())
    data[data.index(f"shop.{position % 3} {position} ".encode())] ^= 1
    path.write_bytes(data)
    return bytes(data)


@looped
async def test_a_damaged_file_is_put_aside_and_what_is_whole_is_served(tmp_path: Path) -> None:
    await written(tmp_path, crashed=False)
    files = sorted((tmp_path / "log").glob("*.db"), key=lambda path: int(path.stem))
    first, following = int(files[-3].stem), int(files[-2].stem)
    harmed = first + 1
    assert first < harmed < following - 1
    data = harm_frame(files[-3], harmed)
    for _ in range(2):
        log = await opened(tmp_path)
        try:
            found = await all_of(log)
            assert found == [each for each in wanted() if each.position != harmed]
            with pytest.raises(NotFound):
                await log.find(f"shop.{harmed % 3}", harmed)
            assert (await log.find(f"shop.{(first + 2) % 3}", first + 2)).position == first + 2
            if log.lost:
                (lost,) = log.lost
                assert (lost.first, lost.last, lost.frames) == (harmed, harmed, 1)
                assert "CRC-32" in lost.why
                kept = tmp_path / "aside" / Path(lost.file).name
                assert lost.file == str(kept)
                assert kept.read_bytes() == data
                assert "CRC-32" in kept.with_name(kept.name + ".why").read_text()
            assert not list((tmp_path / "log/whole").glob("*"))
        finally:
            await log.close()
    (told,) = all_kept(tmp_path / "aside")
    assert (told.lost, told.path.read_bytes()) == (1, data), "told by each life, until somebody removes it"
    assert "CRC-32" in told.why
    told.path.with_name(told.path.name + ".why").write_bytes(b"\xff\x00lost many\nlost 9 frames\n")
    (told,) = all_kept(tmp_path / "aside")
    assert told.lost == 9
    told.path.unlink()
    assert not all_kept(tmp_path / "aside") and not all_kept(tmp_path / "never")


@looped
async def test_who_asks_first_is_answered_from_what_is_whole(tmp_path: Path) -> None:
    await written(tmp_path, crashed=False)
    path = sorted((tmp_path / "log").glob("*.db"), key=lambda path: int(path.stem))[-3]
    first = int(path.stem)
    harm_frame(path, first)
    log = await opened(tmp_path)
    try:
        assert (await log.find(f"shop.{(first + 1) % 3}", first + 1)).position == first + 1
    finally:
        await log.close()


@looped
async def test_a_sudden_end_while_what_is_whole_is_saved_loses_nothing_more(tmp_path: Path) -> None:
    await written(tmp_path, crashed=False)
    path = sorted((tmp_path / "log").glob("*.db"), key=lambda path: int(path.stem))[-3]
    first, end = int(path.stem), read_end(path)
    assert end is not None
    harm_frame(path, first + 1)
    assert salvage(path, end.last, ()) == [(first, first), (first + 2, end.last)]
    steps = [shutil.copytree(tmp_path / "log", tmp_path / "one/log")]
    put_aside(path, tmp_path / "aside", "for a test")
    path.with_suffix(".end").unlink()
    steps.append(shutil.copytree(tmp_path / "log", tmp_path / "two/log"))
    for name in (f"{first + 2:08}.end", f"{first + 2:08}.db"):
        (tmp_path / f"log/whole/{first:08}/{name}").rename(tmp_path / "log" / name)
    steps.append(shutil.copytree(tmp_path / "log", tmp_path / "three/log"))
    for state in [step.parent for step in steps]:
        log = await opened(state)
        try:
            assert await all_of(log) == [each for each in wanted() if each.position != first + 1]
            assert not list((state / "log/whole").glob("*"))
        finally:
            await log.close()


@looped
async def test_a_disk_that_does_not_answer_damages_nothing_for_a_while() -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_READ
    busy = sqlite3.OperationalError("database is locked")
    busy.sqlite_errorcode = sqlite3.SQLITE_BUSY
    clock = Later()
    file = LogFile(Path("/nowhere/00000001.db"), 9, is_sealed=True, is_verified=True)
    reading = Reading(lambda: (), clock)

    def fail(with_: Exception) -> None:
        raise with_

    try:
        for _ in range(3):
            for each in (error, busy, PermissionError(13, "no")):
                with pytest.raises(Unavailable):
                    await reading.ask(file, partial(fail, each))
        await reading.ask(file, lambda: None)
        clock.time += STUBBORN + 1.0
        with pytest.raises(Unavailable):
            await reading.ask(file, partial(fail, error))
        clock.time += STUBBORN + 1.0
        with pytest.raises(Unavailable):
            await reading.ask(file, partial(fail, busy))
        with pytest.raises(Damaged):
            await reading.ask(file, partial(fail, error))
    finally:
        reading.close()


@looped
async def test_a_file_that_is_damaged_while_it_is_written_ends_there(tmp_path: Path) -> None:
    log = await opened(tmp_path)
    try:
        await log.append([frame(n, size=3000) for n in range(1, 11)])
        wal = tmp_path / "log/00000001.db-wal"
        data = bytearray(wal.read_bytes())
        for at in range(3000, len(data) - 8, 8192 + 24):
            data[at : at + 8] = b"damaged!"
        with open(wal, "r+b") as file:
            file.write(data)
        assert await all_of(log) == []
        assert [(lost.first, lost.last) for lost in log.lost] == [(1, 10)]
        await log.append([frame(11)])
        assert await all_of(log) == [frame(11)]
    finally:
        await log.close()
    log = await opened(tmp_path)
    assert await all_of(log) == [frame(11)]
    await log.close()


@looped
async def test_no_position_of_a_lost_file_is_given_again(tmp_path: Path) -> None:
    log = await opened(tmp_path)
    await log.append([frame(n) for n in range(1, 11)])
    await log.close()
    (tmp_path / "log/00000001.db").write_bytes(b"")
    (tmp_path / "log/00000001.end").unlink()
    newest = 0
    for _ in range(3):
        log = await opened(tmp_path)
        assert log.span.newest > 10
        assert newest in (0, log.span.newest)
        newest = log.span.newest
        await log.close()
    log = await opened(tmp_path)
    await log.append([frame(newest + 1)])
    assert await all_of(log) == [frame(newest + 1)]
    await log.close()


@looped
async def test_damaged_files_do_not_fill_the_disk(tmp_path: Path) -> None:
    for _ in range(6):
        log = await opened(tmp_path)
        await log.append([frame(log.span.newest + 1)])
        await log.close()
        for path in (tmp_path / "log").glob("*.db"):
            path.write_bytes(b"not a log")
    log = await opened(tmp_path)
    await log.close()
    assert len([name for name in os.listdir(tmp_path / "aside") if name.endswith(".db")]) == 3
    assert len(os.listdir(tmp_path / "aside")) == 6


@looped
async def test_a_log_of_a_later_version_is_refused_and_not_touched(tmp_path: Path) -> None:
    log = await opened(tmp_path)
    await log.append([frame(1)])
    await log.close()
    path = tmp_path / "log/00000001.db"
    data = bytearray(path.read_bytes())
    data[63] += 1
    data[71] += 1
    path.write_bytes(data)
    with pytest.raises(Refused, match=r"1\.db: format 2, this noded-mesh knows 1; start the noded-mesh"):
        await opened(tmp_path)
    assert path.read_bytes() == data


@looped
async def test_a_damaged_note_does_not_hide_a_file(tmp_path: Path) -> None:
    log = await opened(tmp_path)
    await log.append([frame(n) for n in range(1, 11)])
    await log.close()
    for text in (b"", b"{}", b"[1]", b'{"last": 1, "size": 1, "crc": 1, "sum": 1}', b"\xff" * 5000):
        (tmp_path / "log/00000001.end").write_bytes(text)
        log = await opened(tmp_path)
        assert len(await all_of(log)) == 10
        assert log.lost == ()
        await log.close()
