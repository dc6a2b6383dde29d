"""Are actions of a node done in order, those of others meanwhile, and traffic before everything?"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from noded.model.actions import (
    Action,
    ActivateInstance,
    KillInstance,
    Note,
    RemoveInstance,
    RenewShare,
    StartInstance,
)
from noded.runtime.lanes import Lanes
from tests.adapters.looped import looped, until
from tests.runtime.nouns import installed, route, start


class Slow:
    """Does actions only when the test lets it."""

    def __init__(self) -> None:
        self.begun: list[Action] = []
        self.done: list[Action] = []
        self.dropped: list[tuple[Action, str]] = []
        self.fails: type[Action] | None = None
        self._all = False
        self._may: dict[str, asyncio.Event] = {}

    async def __call__(self, action: Action) -> None:
        self.begun.append(action)
        if not self._all:
            await self._gate(action).wait()
        if self.fails and isinstance(action, self.fails):
            raise RuntimeError("a mistake of ours")
        self.done.append(action)

    def _gate(self, action: Action) -> asyncio.Event:
        return self._may.setdefault(f"{action.node} {type(action).__name__}", asyncio.Event())

    def let(self, action: Action) -> None:
        self._gate(action).set()

    def let_all(self) -> None:
        self._all = True
        for gate in self._may.values():
            gate.set()

    def drop(self, action: Action, why: str) -> None:
        self.dropped.append((action, why))


@asynccontextmanager
async def lanes() -> AsyncIterator[tuple[Lanes, Slow]]:
    slow = Slow()
    async with asyncio.TaskGroup() as group:
        made = Lanes(group, slow, slow.drop)
        yield made, slow
        slow.let_all()


async def begun(slow: Slow, count: int) -> None:
    async def enough() -> bool:
        return len(slow.begun) >= count

    await until(enough)


def kill(node: str = "catalog", number: int = 1) -> KillInstance:
    return KillInstance(node, f"{node}.{number}", "why")


@looped
async def test_work_of_one_node_is_done_in_order() -> None:
    async with lanes() as (made, slow):
        wanted = [start(number=1), kill(number=2), start(number=3), kill(number=4)]
        for action in wanted:
            made.submit(action)
        await begun(slow, 1)
        await asyncio.sleep(0.01)
        assert slow.begun == wanted[:1]
        slow.let(start())
        slow.let(kill())
        await begun(slow, 4)
    assert slow.done == wanted
    assert made.idle


@looped
async def test_nodes_do_not_wait_for_each_other() -> None:
    async with lanes() as (made, slow):
        for node in ("a", "b", "c"):
            made.submit(start(node))
        await begun(slow, 3)
        slow.let(start("c"))

        async def third() -> bool:
            return slow.done == [start("c")]

        await until(third)


@looped
async def test_traffic_never_waits_for_work() -> None:
    async with lanes() as (made, slow):
        made.submit(start())
        await begun(slow, 1)
        made.submit(installed())
        slow.let(installed())
        await begun(slow, 2)

        async def routed() -> bool:
            return slow.done == [installed()]

        await until(routed)


@looped
async def test_traffic_of_one_node_is_done_in_order() -> None:
    async with lanes() as (made, slow):
        renew = RenewShare("catalog", route(), "the lease")
        made.submit(installed())
        made.submit(renew)
        await begun(slow, 1)
        await asyncio.sleep(0.01)
        assert slow.begun == [installed()]


@looped
async def test_a_route_drops_the_starts_it_makes_pointless() -> None:
    async with lanes() as (made, slow):
        made.submit(kill())
        for number in (2, 3, 4):
            made.submit(start(number=number))
        made.submit(kill(number=2))
        made.submit(start("ticker", 2))
        await begun(slow, 2)
        made.submit(installed(cancels=("catalog.2", "catalog.4", "catalog.9")))
        assert slow.dropped == [(start(number=n), "the route is new") for n in (2, 4)]
        slow.let(kill())
        slow.let(start())
        await begun(slow, 5)
    of_catalog = [action for action in slow.done if action.node == "catalog"]
    assert [a for a in of_catalog if isinstance(a, StartInstance)] == [start(number=3)]
    assert kill(number=2) in of_catalog  # only starts are pointless, not what clears away


@looped
async def test_a_start_under_way_is_not_dropped() -> None:
    async with lanes() as (made, slow):
        made.submit(start(number=2))
        await begun(slow, 1)
        made.submit(installed(cancels=("catalog.2",)))
        assert slow.dropped == []
    assert start(number=2) in slow.done


@looped
async def test_a_lane_ends_and_begins_again() -> None:
    async with lanes() as (made, slow):
        for number in (1, 2, 3):
            slow.let(start())
            made.submit(start(number=number))
            await begun(slow, number)

            async def idle() -> bool:
                return made.idle

            await until(idle)
    assert len(slow.done) == 3


@looped
async def test_a_mistake_of_ours_is_not_hidden() -> None:
    slow = Slow()
    slow.fails = Note
    with pytest.raises(ExceptionGroup, match="unhandled"):
        async with asyncio.TaskGroup() as group:
            note = Note("catalog", "", "x")
            slow.let(note)
            Lanes(group, slow, slow.drop).submit(note)


REMOVE = RemoveInstance("catalog", "catalog.1", "it exited: signal 9")


@pytest.mark.parametrize(
    ("listen", "first"),
    [
        ("unix:/run/noded/i/catalog.2/http.sock", "StartInstance"),
        ("127.0.0.1:20001", "StartInstance"),
        ("", "RemoveInstance"),
        ("fd:3", "RemoveInstance"),
    ],
)
@looped
async def test_a_successor_waits_for_the_clearing_up_only_when_it_cannot_run_beside(
    listen: str, first: str
) -> None:
    async with lanes() as (made, slow):
        made.submit(REMOVE)
        made.submit(replace(start(), listen=listen))
        slow.let_all()
        await begun(slow, 2)
    assert type(slow.begun[0]).__name__ == first


@looped
async def test_only_clearing_up_is_overtaken() -> None:
    kill = KillInstance("catalog", "catalog.1", "too many of them")
    activate = ActivateInstance("catalog", "catalog.2", "a spare stands by")
    begin = replace(start(), listen="unix:/a")
    async with lanes() as (made, slow):
        for action in (kill, REMOVE, activate, REMOVE, begin, kill, begin):
            made.submit(action)
        slow.let_all()
        await begun(slow, 7)
    assert slow.begun == [kill, activate, begin, REMOVE, REMOVE, kill, begin]


@looped
async def test_what_has_begun_is_not_overtaken() -> None:
    async with lanes() as (made, slow):
        made.submit(REMOVE)
        await begun(slow, 1)
        made.submit(replace(start(), listen="unix:/a"))
        await begun(slow, 1)
        assert slow.begun == [REMOVE]
