"""What must hold for every registry, on disk and in memory?"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from noded.adapters.sqlite_registry import LARGEST_VALUE, SqliteRegistry
from noded.ports import Change, Conflict, NotFound, Record, Refused, Registry, Unavailable
from tests.adapters.looped import looped
from tests.fakes.registry import FakeRegistry


@dataclass(slots=True)
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True, slots=True)
class World:
    make: Callable[[], Registry]
    clock: Clock


@pytest.fixture(params=["fake", "sqlite"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    clock = Clock()
    made: list[SqliteRegistry] = []

    def sqlite() -> Registry:
        made.append(SqliteRegistry(tmp_path / "registry.db", clock, history=50))
        return made[-1]

    yield World(sqlite if request.param == "sqlite" else lambda: FakeRegistry(clock, history=50), clock)
    for registry in made:
        asyncio.run(registry.close())


async def take(changes: AsyncIterator[Change], count: int) -> list[Change]:
    async with asyncio.timeout(5):
        return [await anext(changes) for _ in range(count)]


@looped
async def test_what_was_put_is_read(world: World) -> None:
    registry = world.make()
    assert await registry.get("nodes/catalog") is None
    assert await registry.put("nodes/catalog", b"\x00one") == 1
    assert await registry.put("nodes/catalog", b"two") == 2
    assert await registry.get("nodes/catalog") == Record("nodes/catalog", b"two", 2)


@looped
async def test_list_is_in_key_order_and_names_its_revision(world: World) -> None:
    registry = world.make()
    for key in ("nodes/b", "nodes/a", "other", "nodes/a/x", "nodes0"):
        await registry.put(key, key.encode())
    found, revision = await registry.list("nodes/")
    assert [record.key for record in found] == ["nodes/a", "nodes/a/x", "nodes/b"]
    assert revision == 5
    assert len((await registry.list(""))[0]) == 5
    assert await registry.list("none") == ((), 5)


@looped
async def test_a_prefix_is_taken_literally(world: World) -> None:
    registry = world.make()
    await registry.put("a_b", b"")
    await registry.put("axb", b"")
    await registry.put("a/~".replace("~", "z"), b"")
    assert [record.key for record in (await registry.list("a_"))[0]] == ["a_b"]
    assert [record.key for record in (await registry.list("a/z"))[0]] == ["a/z"]


@looped
async def test_compare_and_swap(world: World) -> None:
    registry = world.make()
    first = await registry.put("a", b"1", expected=0)
    with pytest.raises(Conflict, match="expected revision 0, found 1"):
        await registry.put("a", b"2", expected=0)
    with pytest.raises(Conflict):
        await registry.put("b", b"2", expected=first)
    second = await registry.put("a", b"2", expected=first)
    with pytest.raises(Conflict):
        await registry.delete("a", expected=first)
    assert await registry.get("a") == Record("a", b"2", second)
    assert second == 2  # a refused write raises no revision


@looped
async def test_delete(world: World) -> None:
    registry = world.make()
    with pytest.raises(NotFound):
        await registry.delete("a")
    revision = await registry.put("a", b"1")
    assert await registry.delete("a", expected=revision) == 2
    assert await registry.get("a") is None
    assert await registry.put("a", b"2", expected=0) == 3


@looped
async def test_a_hundred_increments_at_once_are_all_counted(world: World) -> None:
    registry = world.make()
    await registry.put("count", b"0")

    async def increment() -> None:
        while True:
            record = await registry.get("count")
            assert record is not None
            try:
                await registry.put("count", b"%d" % (int(record.value) + 1), expected=record.revision)
            except Conflict:
                continue
            return

    await asyncio.gather(*(increment() for _ in range(100)))
    record = await registry.get("count")
    assert record == Record("count", b"100", 101)


@looped
async def test_a_watch_tells_everything_after_its_revision_in_order(world: World) -> None:
    registry = world.make()
    await registry.put("a/1", b"one")
    await registry.put("b", b"not watched")
    await registry.put("a/2", b"two")
    await registry.delete("a/1")
    expected = [Change("a/1", b"one", 1), Change("a/2", b"two", 3), Change("a/1", None, 4)]
    for after in range(5):
        changes = registry.watch("a/", after)
        rest = [change for change in expected if change.revision > after]
        assert await take(changes, len(rest)) == rest
        assert await nothing_more(changes)


async def nothing_more(changes: AsyncIterator[Change]) -> bool:
    try:
        async with asyncio.timeout(0.05):
            await anext(changes)
    except TimeoutError:
        return True
    return False


@looped
async def test_a_waiting_watch_sees_a_burst_without_gaps(world: World) -> None:
    registry = world.make()
    watches = [asyncio.create_task(take(registry.watch("", 0), 40)) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.gather(*(registry.put(f"k{n % 7}", b"%d" % n) for n in range(40)))
    for watch in watches:
        assert [change.revision for change in await watch] == list(range(1, 41))


@looped
async def test_a_watch_from_a_forgotten_or_future_revision_is_a_conflict(world: World) -> None:
    registry = world.make()
    for number in range(60):
        await registry.put("a", b"%d" % number)
    assert (await take(registry.watch("", 10), 1))[0].revision == 11
    with pytest.raises(Conflict, match="list again"):
        await take(registry.watch("", 9), 1)
    with pytest.raises(Conflict):
        await take(registry.watch("b", 61), 1)


@looped
async def test_a_lease_takes_its_records_with_it(world: World) -> None:
    registry = world.make()
    lease = await registry.grant(10.0)
    await registry.put("host/a", b"1", lease=lease)
    await registry.put("host/b", b"1", lease=lease)
    await registry.put("kept", b"1")
    world.clock.now += 9.9
    assert await registry.get("host/a") == Record("host/a", b"1", 1, lease)
    watch = asyncio.create_task(take(registry.watch("host/", 3), 2))
    await asyncio.sleep(0.05)
    world.clock.now += 0.2
    assert await watch == [Change("host/a", None, 4), Change("host/b", None, 5)]
    assert [record.key for record in (await registry.list(""))[0]] == ["kept"]
    with pytest.raises(NotFound):
        await registry.renew(lease)
    with pytest.raises(NotFound):
        await registry.put("host/a", b"1", lease=lease)


@looped
async def test_a_renewed_lease_lives_on(world: World) -> None:
    registry = world.make()
    lease = await registry.grant(10.0)
    await registry.put("a", b"1", lease=lease)
    for _ in range(3):
        world.clock.now += 9
        assert await registry.renew(lease) == 10.0
    assert await registry.get("a") is not None


@looped
async def test_a_record_leaves_its_lease_when_it_is_written_without(world: World) -> None:
    registry = world.make()
    lease = await registry.grant(10.0)
    await registry.put("a", b"1", lease=lease)
    await registry.put("a", b"2")
    await registry.revoke(lease)
    assert await registry.get("a") == Record("a", b"2", 2)


@looped
async def test_a_revoked_lease_is_over_and_may_be_revoked_again(world: World) -> None:
    registry = world.make()
    lease = await registry.grant(10.0)
    await registry.put("a", b"1", lease=lease)
    await registry.revoke(lease)
    await registry.revoke(lease)
    await registry.revoke(12345)
    assert await registry.list("") == ((), 2)
    assert await registry.grant(10.0) != lease


@pytest.mark.parametrize("key", ["", "a b", "a\n", "ä", "x" * 513, "a;b", "a\x00"])
@looped
async def test_a_wrong_key_is_refused(world: World, key: str) -> None:
    registry = world.make()
    for call in (registry.get(key), registry.put(key, b""), registry.delete(key)):
        with pytest.raises(Refused, match="key"):
            await call
    assert (await registry.list(""))[1] == 0


@looped
async def test_sizes_at_their_limits(world: World) -> None:
    registry = world.make()
    await registry.put("x" * 512, b"v" * LARGEST_VALUE)
    with pytest.raises(Refused, match="1048577"):
        await registry.put("a", b"v" * (LARGEST_VALUE + 1))
    with pytest.raises(Refused):
        await registry.list("a b")
    with pytest.raises(Refused):
        await anext(registry.watch("a b", 0))


@pytest.mark.parametrize("ttl", [0.0, -1.0, float("nan"), float("inf"), 90_000.0])
@looped
async def test_a_wrong_time_to_live_is_refused(world: World, ttl: float) -> None:
    with pytest.raises(Refused, match="lease"):
        await world.make().grant(ttl)


@looped
async def test_a_closed_registry_is_unavailable_also_to_a_waiting_watch(world: World) -> None:
    registry = world.make()
    watch = asyncio.create_task(take(registry.watch("", 0), 1))
    await asyncio.sleep(0.02)
    await registry.close()
    await registry.close()
    with pytest.raises(Unavailable):
        await watch
    with pytest.raises(Unavailable):
        await registry.get("a")
