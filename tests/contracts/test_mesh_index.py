"""What must hold for every index of the mesh, on disk and in memory?"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from nodemesh.adapters.sqlite_index import SqliteIndex
from nodemesh.model.cursor import Cursor, Dead, Trial
from nodemesh.model.frame import Address
from nodemesh.ports import Index
from tests.adapters.looped import looped
from tests.fakes.mesh_index import FakeIndex

Make = Callable[[], AbstractAsyncContextManager[Index]]
TRIALS = {Address(6, 3): Trial(2, 100.5, "boom ü", "1.2.0", True), Address(9, 0): Trial(1, 1e9)}
CURSOR = Cursor(5, {6: 2**511 + 9, 9: 1}, TRIALS, ((7, 8), (11, 4000)))


@pytest.fixture(params=["fake", "sqlite"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    @asynccontextmanager
    async def made() -> AsyncIterator[Index]:
        index: Index
        if request.param == "fake":
            index = FakeIndex()
        else:
            index = await SqliteIndex.open(tmp_path / "index.db", tmp_path / "aside", 1)
        try:
            yield index
        finally:
            await index.close()

    return made


def letter(position: int, place: int = 0, node: str = "shop", reason: str = "boom ü") -> Dead:
    return Dead(node, Address(position, place), 5, reason, 1000.25, "1.2.0")


@looped
async def test_nothing_is_an_answer(make: Make) -> None:
    async with make() as index:
        assert dict(await index.cursors()) == {}
        assert list(await index.dead("shop", 10)) == []
        await index.save({}, ())
        await index.forget("shop")
        await index.drop_dead([letter(1)])


@looped
async def test_cursors_are_replaced_one_by_one(make: Make) -> None:
    async with make() as index:
        await index.save({"shop": CURSOR, "bank": Cursor(1)}, ())
        assert dict(await index.cursors()) == {"shop": CURSOR, "bank": Cursor(1)}
        await index.save({"shop": Cursor(12)}, ())
        assert dict(await index.cursors()) == {"shop": Cursor(12), "bank": Cursor(1)}


@looped
async def test_dead_letters_are_kept_in_the_order_of_the_log(make: Make) -> None:
    async with make() as index:
        pairs = [(letter(n, p), f"frame {n} {p}".encode()) for n, p in ((9, 0), (3, 5), (3, 1), (10, 0))]
        await index.save({"shop": Cursor(4)}, pairs[:2])
        await index.save({}, [*pairs[2:], (letter(1, 0, "bank"), b"\0")])
        wanted = [pairs[2], pairs[1], pairs[0], pairs[3]]
        assert list(await index.dead("shop", 10)) == wanted
        assert list(await index.dead("shop", 3)) == wanted[:3]
        assert list(await index.dead("bank", 10)) == [(letter(1, 0, "bank"), b"\0")]
        assert list(await index.dead("sho", 10)) == []


@looped
async def test_a_letter_that_comes_again_replaces_itself(make: Make) -> None:
    async with make() as index:
        await index.save({}, [(letter(3), b"once")])
        await index.save({}, [(letter(3, reason="again"), b"twice")])
        assert list(await index.dead("shop", 10)) == [(letter(3, reason="again"), b"twice")]


@looped
async def test_letters_can_be_dropped(make: Make) -> None:
    async with make() as index:
        await index.save({}, [(letter(n), b"x") for n in (1, 2, 3)])
        await index.drop_dead(
            [letter(1), letter(3, reason="other words"), letter(2, 1), letter(2, 0, "bank")]
        )
        assert [dead.address.position for dead, _ in await index.dead("shop", 10)] == [2]


@looped
async def test_a_forgotten_node_leaves_nothing_and_others_stay(make: Make) -> None:
    async with make() as index:
        both = [(letter(1), b"x"), (letter(1, 0, "bank"), b"y")]
        await index.save({"shop": CURSOR, "bank": Cursor(3)}, both)
        await index.forget("shop")
        assert dict(await index.cursors()) == {"bank": Cursor(3)}
        assert list(await index.dead("shop", 10)) == []
        assert list(await index.dead("bank", 10)) == both[1:]


@looped
async def test_letters_are_counted_found_and_turned_over_page_by_page(make: Make) -> None:
    async with make() as index:
        assert dict(await index.count_dead()) == {}
        pairs = [(letter(n, p), f"{n} {p}".encode()) for n in (3, 4) for p in (0, 2)]
        await index.save({}, [*pairs, (letter(3, 0, "bank"), b"y")])
        assert dict(await index.count_dead()) == {"shop": 4, "bank": 1}
        assert await index.letter("shop", Address(3, 2)) == pairs[1]
        assert await index.letter("shop", Address(3, 1)) is None
        assert await index.letter("bank", Address(4, 0)) is None
        assert list(await index.dead("shop", 2, Address(3, 0))) == pairs[1:3]
        assert list(await index.dead("shop", 9, Address(4, 2))) == []


@looped
async def test_what_was_left_behind_stays_known(make: Make) -> None:
    async with make() as index:
        cursor = Cursor(9, {4: 5}, {}, ((12, 14),), {"order.paid": 3}, 20, 2)
        await index.save({"shop": cursor}, ())
        assert dict(await index.cursors()) == {"shop": cursor}
        await index.harden()
        assert cursor.least == 3
