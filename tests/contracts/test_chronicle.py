"""What must hold for every chronicle, on disk and in memory?"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from noded.adapters.sqlite_chronicle import SqliteChronicle
from noded.ports import Chronicle, Entry
from tests.adapters.looped import looped
from tests.fakes.chronicle import FakeChronicle


@pytest.fixture(params=["fake", "sqlite"])
def chronicle(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Chronicle]:
    if request.param == "fake":
        yield FakeChronicle()
        return
    real = SqliteChronicle(tmp_path / "journal.db")
    yield real
    real.close()


def entry(number: int, node: str = "catalog", subject: str = "") -> Entry:
    return Entry(float(number), node, subject, "action", "Conclusion", f"text {number} ü", '{"a":1}')


async def texts(
    chronicle: Chronicle, node: str = "", subject: str = "", after: int = 0, limit: int = 100
) -> list[str]:
    return [e.text.split()[1] for e in await chronicle.read(node, subject, after, limit)]


@looped
async def test_what_was_added_is_read_in_order(chronicle: Chronicle) -> None:
    wanted = [entry(number) for number in range(1, 6)]
    chronicle.add(wanted[:2])
    chronicle.add(wanted[2:])
    found = await chronicle.read("", "", 0, 100)
    assert [replace(e, sequence=0) for e in found] == wanted
    assert [e.sequence for e in found] == sorted({e.sequence for e in found})
    assert all(e.sequence > 0 for e in found)


@looped
async def test_the_newest_are_read_oldest_first(chronicle: Chronicle) -> None:
    chronicle.add([entry(number) for number in range(1, 11)])
    assert await texts(chronicle, limit=3) == ["8", "9", "10"]
    assert await texts(chronicle, limit=0) == []


@looped
async def test_node_and_subject_filter(chronicle: Chronicle) -> None:
    chronicle.add([entry(1), entry(2, "ticker"), entry(3, subject="catalog-1"), entry(4, "", "catalog-1")])
    assert await texts(chronicle, "catalog") == ["1", "3"]
    assert await texts(chronicle, "ticker") == ["2"]
    assert await texts(chronicle, "", "catalog-1") == ["3", "4"]
    assert await texts(chronicle, "catalog", "catalog-1") == ["3"]
    assert await texts(chronicle, "cat%") == []
    assert await texts(chronicle, "' or 1=1 --") == []
    assert await texts(chronicle) == ["1", "2", "3", "4"]


@looped
async def test_following_reads_each_entry_once(chronicle: Chronicle) -> None:
    seen: list[Entry] = []
    for number in range(1, 5):
        chronicle.add([entry(number), entry(number, "ticker")])
        seen += await chronicle.read("catalog", "", seen[-1].sequence if seen else 0, 100)
    assert [e.at for e in seen] == [1.0, 2.0, 3.0, 4.0]
    assert await chronicle.read("", "", 10**9, 100) == ()


@looped
async def test_nothing_is_an_answer(chronicle: Chronicle) -> None:
    chronicle.add([])
    assert await chronicle.read("catalog", "", 0, 10) == ()
