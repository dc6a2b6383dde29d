"""Is the chronicle kept within its limits, and never in the way of supervision?"""

import asyncio
import os
import resource
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from noded.adapters.sqlite_chronicle import WAITING, SqliteChronicle
from noded.ports import Entry, Unavailable
from tests.adapters.looped import looped


def entry(number: int, text: str = "") -> Entry:
    return Entry(float(number), "catalog", "", "input", "Woken", text or f"text {number}", "{}")


@contextmanager
def opened(path: Path, **limits: float) -> Iterator[SqliteChronicle]:
    chronicle = SqliteChronicle(path, **limits)  # type: ignore[arg-type]
    try:
        yield chronicle
    finally:
        chronicle.close()


def texts(path: Path) -> list[str]:
    with sqlite3.connect(path) as base:
        return [text for (text,) in base.execute("select text from entry order by sequence")]


def test_closing_writes_what_waits_and_it_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with opened(path) as chronicle:
        chronicle.add([entry(1)])
    with opened(path) as chronicle:
        chronicle.add([entry(2)])
        found = asyncio.run(chronicle.read("", "", 0, 10))
    assert [(e.sequence, e.text) for e in found] == [(1, "text 1"), (2, "text 2")]


def test_only_so_many_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with opened(path, most=100) as chronicle:
        for first in range(1, 2101, 100):
            chronicle.add([entry(number) for number in range(first, first + 100)])
    kept = texts(path)
    assert kept[-1] == "text 2100"
    assert len(kept) <= 300  # trimmed at every thousandth


def test_only_so_old_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with opened(path, age=500.0) as chronicle:
        for first in range(1, 2001, 100):
            chronicle.add([entry(number) for number in range(first, first + 100)])
    assert texts(path)[0] == "text 1500"


def test_a_batch_that_passes_a_thousand_is_trimmed_too(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with opened(path, most=10) as chronicle:
        chronicle.add([entry(number) for number in range(1, 1501)])
    assert len(texts(path)) == 10


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads take turns at every step, so that a race is met in seconds."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty")
def test_nothing_is_lost_between_two_threads(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with opened(path) as chronicle:
        for number in range(1, 3001):
            chronicle.add([entry(number)])
            if number % 3 == 0:
                asyncio.run(chronicle.read("", "", number, 1))
                time.sleep(0.0005)  # now the writer sleeps, and is woken by the next one
        assert len(asyncio.run(chronicle.read("", "", 0, 9999))) == 3000
    assert texts(path) == [f"text {number}" for number in range(1, 3001)]


BROKEN = {"text": b"this was never a database, " * 100, "head": b"SQLite format 3\0" + bytes(5000)}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_damaged_file_is_put_aside(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(content)
    with opened(path) as chronicle:
        chronicle.add([entry(1)])
    assert texts(path) == ["text 1"]
    (aside,) = tmp_path.glob("journal.db.corrupt-*")
    assert aside.read_bytes() == content


def test_damage_that_shows_only_later_is_put_aside_too(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with opened(path) as chronicle:
        chronicle.add([entry(number, "x" * 500) for number in range(1, 200)])
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + os.urandom(len(whole) - 8192))
    with opened(path) as chronicle:
        for number in (1, 2, 3):
            chronicle.add([entry(number)])
            asyncio.run(chronicle.read("", "", 10**9, 1))  # written by now
    assert texts(path) == ["text 1", "text 2", "text 3"], "also the one that met the damage"
    assert list(tmp_path.glob("journal.db.corrupt-*"))


def test_damage_that_only_a_reader_finds_is_put_aside_and_told_once(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with opened(path) as chronicle:
        chronicle.add([entry(number, "x" * 500) for number in range(1, 400)])
    whole = path.read_bytes()
    page = len(whole) // 2 // 4096 * 4096
    path.write_bytes(whole[:page] + os.urandom(8 * 4096) + whole[page + 8 * 4096 :])
    with opened(path) as chronicle:
        with pytest.raises(Unavailable, match="malformed"):
            asyncio.run(chronicle.read("", "", 0, 9999))
        chronicle.add([entry(1)])
        assert [e.text for e in asyncio.run(chronicle.read("", "", 0, 9999))] == ["text 1"]
    assert list(tmp_path.glob("journal.db.corrupt-*"))


def test_a_place_that_cannot_be_opened_is_told_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path / "later/journal.db") as chronicle:
        chronicle.add([entry(1)])
        with pytest.raises(Unavailable, match=r"cannot read .*unable to open database file"):
            asyncio.run(chronicle.read("", "", 0, 1))
        chronicle.add([entry(2)])
        (tmp_path / "later").mkdir()
    assert texts(tmp_path / "later/journal.db") == ["text 1", "text 2"]
    assert caplog.text.count("entries wait") == 1


def test_a_folder_of_its_name_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with opened(tmp_path / "folder") as chronicle, pytest.raises(Unavailable, match="unable to open"):
        asyncio.run(chronicle.read("", "", 0, 1))
    assert (tmp_path / "folder").is_dir()


@looped
async def test_what_a_full_disk_does_not_take_waits_for_room(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with opened(path) as chronicle:
        chronicle.add([entry(1)])
        assert len(await chronicle.read("", "", 0, 10)) == 1
        with limited_to(16 * 1024):
            chronicle.add([entry(2, "x" * 100_000)])
            assert len(await chronicle.read("", "", 0, 10)) == 1
            chronicle.add([entry(3)])
        assert len(await chronicle.read("", "", 0, 10)) == 3, "who asks is answered with what waited"
    assert texts(path) == ["text 1", "x" * 100_000, "text 3"]


def test_no_more_waits_than_fits_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "later/journal.db"
    with opened(path) as chronicle:
        for first in range(0, WAITING + 3000, 1000):
            chronicle.add([entry(number) for number in range(first, first + 1000)])
        path.parent.mkdir()
    found = texts(path)
    assert (len(found), found[-1]) == (WAITING, f"text {WAITING + 2999}")


@pytest.mark.parametrize("damage", ["header", "page", "truncated", "no table"])
def test_any_damage_costs_the_past_and_nothing_else(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "journal.db"
    with opened(path) as chronicle:
        chronicle.add([entry(number, "x" * 500) for number in range(1, 400)])
    if damage == "no table":
        with sqlite3.connect(path) as base:
            base.execute("drop table entry")
            base.execute("create table entry (sequence integer primary key)")
    else:
        whole = path.read_bytes()
        first, last = {"header": (0, 100), "page": (4096, 12288), "truncated": (0, 0)}[damage]
        harmed = whole[:first] + os.urandom(last - first) + whole[last:]
        path.write_bytes(harmed[:20_000] if damage == "truncated" else harmed)
    with opened(path) as chronicle:
        for number in (1, 2, 3):
            chronicle.add([entry(number)])
            with suppress(Unavailable):
                asyncio.run(chronicle.read("", "", 0, 1000))
        assert [e.text for e in asyncio.run(chronicle.read("", "", 0, 9))][-1] == "text 3"


@contextmanager
def limited_to(size: int) -> Iterator[None]:
    """No file of this process grows beyond: what a full disk does."""
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        signal.signal(signal.SIGXFSZ, ignored)


@looped
async def test_text_that_cannot_be_written_loses_its_batch_only(tmp_path: Path) -> None:
    with opened(tmp_path / "journal.db") as chronicle:
        chronicle.add([entry(1, "half a pair \ud800")])
        assert await chronicle.read("", "", 0, 10) == ()
        chronicle.add([entry(2)])
        assert [e.text for e in await chronicle.read("", "", 0, 10)] == ["text 2"]


@looped
async def test_somebody_else_may_read_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with opened(path) as chronicle:
        chronicle.add([entry(1)])
        await chronicle.read("", "", 0, 1)
        assert texts(path) == ["text 1"]
        chronicle.add([entry(2)])
        assert len(await chronicle.read("", "", 0, 10)) == 2
