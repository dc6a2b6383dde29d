"""Is what nodes and the mesh say of two versions asked for while they are compared, and told when new?"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from noded.model.inputs import SignalsTold
from noded.model.instance import Instance, Phase, Role
from noded.model.mesh import Part, Subscription, Table
from noded.model.rollout import Rollout, Stage
from noded.model.signals import Answers, Handled
from noded.model.state import NodeState
from noded.ports import Refused, TimedOut
from noded.runtime import signals
from noded.runtime.signals import PATIENCE, Signals
from nodespec.manifest import Listen, Metrics, NodeSpec, Protocol, Serves
from tests.adapters.looped import looped
from tests.adapters.sdk import wait
from tests.fakes.clock import FakeClock
from tests.fakes.mesh import FakeMesh
from tests.fakes.nodes import FakeNodes
from tests.runtime.held import Held
from tests.runtime.nouns import NEXT, host, instance, node, rollout, spec

UID = 64200
PART = Part((), (Subscription("shop.placed", False),), (), "1.4.0", "1.5.0", 0.1)
LATENCY = Metrics(latency="latency")


@dataclass
class Histograms:
    told: dict[str, Answers | Exception] = field(default_factory=dict)
    asked: list[tuple[str, str, float]] = field(default_factory=list)

    async def read(self, instance: Instance, spec: NodeSpec, timeout: float) -> Answers:
        self.asked.append((instance.id, spec.metrics.latency, timeout))
        said = self.told[instance.id]
        if isinstance(said, Exception):
            raise said
        return said


class World:
    def __init__(self, *nodes: NodeState) -> None:
        self.clock = FakeClock()
        self.held = Held(host(*nodes), self.clock)
        self.nodes = FakeNodes(self.held.inbox, self.held.clock)
        self.histograms, self.mesh = Histograms(), FakeMesh()
        self.mesh.table = Table(1, "here", {n.name: PART for n in nodes}, (), 15.0)
        for each in nodes:
            for one in each.instances:
                self.nodes.listen(each.name, one)
                self.nodes.expect(each.name, one, UID)

    def say(self, instance: str, total: int) -> Answers:
        told = Answers(instance, total, 1, (0.1,), (total - 1,))
        self.nodes.tell_answers(UID, told)
        return told

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        watched = Signals(self.nodes, self.histograms, self.mesh)
        async with self.held.watching(watched.watch):
            yield

    @property
    def told(self) -> list[SignalsTold]:
        return self.held.inbox.all(SignalsTold)

    async def ticks(self, count: int) -> None:
        """So many rounds go by: what one says in the last of them is asked for again and again."""
        for _ in range(count):
            before = self.rounds
            self.clock.advance(signals.TICK)
            await wait(lambda before=before: self.rounds > before, "another round")  # type: ignore[misc]

    @property
    def rounds(self) -> int:
        return len(self.histograms.asked)

    def change(self, **fields: Any) -> None:
        (held,) = self.held.state.nodes.values()
        self.held.state = self.held.state.holding(replace(held, **fields))


def held_rollout(world: World) -> Rollout:
    (held,) = world.held.state.nodes.values()
    assert held.rollout is not None
    return held.rollout


def canary(name: str = "catalog.2", **fields: Any) -> Instance:
    return instance(name, **{"role": Role.CANARY, "digest": NEXT, "version": "1.5.0", **fields})


def rolling(*more: Instance, **fields: Any) -> NodeState:
    return node("catalog", instance(), canary(), *more, **{"rollout": rollout(), **fields})


@looped
async def test_both_versions_are_told_of_from_the_first_moment_on() -> None:
    world = World(rolling(rollout=rollout(stage=Stage.PREPARING, now=None, at_step=-1)))
    stable, new = world.say("catalog.1", 100), world.say("catalog.2", 10)
    async with world.watching():
        await wait(lambda: world.told, "signals")
    assert world.told[0] == SignalsTold(world.held.clock.now(), (stable, new))


@looped
async def test_who_is_compared() -> None:
    more = (
        instance("catalog.3", role=Role.BASELINE),
        instance("catalog.4", role=Role.SPARE),
        instance("catalog.5", phase=Phase.DRAINING),
        canary("catalog.6", phase=Phase.STARTING),
        instance("catalog.7", digest="sha256:" + "0" * 64),
    )
    world = World(rolling(*more))
    for number in range(2, 8):
        world.say(f"catalog.{number}", number)
    async with world.watching():
        await wait(lambda: world.told, "signals")
    assert [told.instance for told in world.told[0].answers] == ["catalog.2", "catalog.3", "catalog.5"]


@looped
async def test_what_did_not_change_is_no_news() -> None:
    with_histogram = spec(version="1.5.0", metrics=LATENCY)
    world = World(rolling(rollout=rollout(spec=with_histogram)))
    world.histograms.told["catalog.2"] = Answers("catalog.2", 5)
    world.say("catalog.1", 10)
    async with world.watching():
        await world.ticks(3)
        assert len(world.told) == 1
        world.say("catalog.1", 11)
        world.clock.advance(signals.TICK)
        await wait(lambda: len(world.told) > 1, "the news")
        # A rollout that has just begun must know where it begins.
        world.change(rollout=replace(held_rollout(world), id="catalog-r2"))
        await wait(lambda: len(world.told) > 2, "the same for another rollout")
        assert world.told[1].answers == world.told[2].answers


@looped
async def test_a_rollout_that_begins_is_asked_about_at_once() -> None:
    world = World(rolling(rollout=None), node("other", instance("other.1"), rollout=rollout(id="other-r1")))
    world.say("catalog.1", 10)
    world.say("other.1", 10)
    async with world.watching():
        await wait(lambda: world.told, "signals of the other")
        catalog = world.held.state.nodes["catalog"]
        world.held.state = world.held.state.holding(replace(catalog, rollout=rollout()))
        await wait(lambda: len(world.told) > 1, "signals of both before the second is over")
    assert [told.instance for told in world.told[1].answers] == ["catalog.1", "other.1"]


@looped
async def test_nobody_is_asked_while_nothing_is_rolled_out() -> None:
    world = World(rolling(rollout=rollout(stage=Stage.PROMOTED), part=PART))
    world.say("catalog.1", 10)
    world.mesh.is_away = True
    async with world.watching():
        await asyncio.sleep(0.1)
        assert world.told == []
        world.change(rollout=rollout())
        await wait(lambda: world.told, "signals")


@looped
async def test_a_program_s_own_histogram_is_read_where_the_manifest_names_one() -> None:
    world = World(rolling(rollout=rollout(spec=spec(version="1.5.0", metrics=LATENCY))))
    stable = world.say("catalog.1", 10)
    world.say("catalog.2", 99)
    world.histograms.told["catalog.2"] = own = Answers("catalog.2", 5, 0, (0.1,), (5,))
    async with world.watching():
        await wait(lambda: world.told, "signals")
    assert world.told[0].answers == (stable, own)
    assert world.histograms.asked[0] == ("catalog.2", "latency", PATIENCE)


@pytest.mark.parametrize(
    "serves", [None, Serves(8100, Protocol.GRPC), Serves(8100, Protocol.TCP), Serves(8100, listen=Listen.FD)]
)
@looped
async def test_who_cannot_be_asked_over_http_is_taken_by_its_own_word(serves: Serves | None) -> None:
    world = World(rolling(rollout=rollout(spec=spec(version="1.5.0", metrics=LATENCY, serves=serves))))
    new = world.say("catalog.2", 99)
    async with world.watching():
        await wait(lambda: world.told, "signals")
    assert (world.told[0].answers, world.histograms.asked) == ((new,), [])


@looped
async def test_a_histogram_that_cannot_be_read_is_logged_once_and_stops_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(rolling(rollout=rollout(spec=spec(version="1.5.0", metrics=LATENCY))))
    stable = world.say("catalog.1", 10)
    world.histograms.told["catalog.2"] = TimedOut("it took longer than 0.7 s")
    with caplog.at_level(logging.WARNING):
        async with world.watching():
            await world.ticks(3)
            assert [told.answers for told in world.told] == [(stable,)]
            assert caplog.messages == ["it took longer than 0.7 s; until then its version is judged without"]
            world.histograms.told["catalog.2"] = own = Answers("catalog.2", 5)
            world.clock.advance(signals.TICK)
            await wait(lambda: world.told[-1].answers == (stable, own), "its word")
            world.histograms.told["catalog.2"] = Refused("no such histogram")
            world.clock.advance(signals.TICK)
            await wait(lambda: len(caplog.messages) == 2, "another warning")


@looped
async def test_the_mesh_is_asked_for_both_versions_of_who_consumes() -> None:
    quiet = node("quiet", instance("quiet.1"), rollout=rollout(id="quiet-r1"), part=Part())
    world = World(rolling(part=PART), quiet)
    world.mesh.done = {("catalog", "1.5.0"): (40, 3), ("catalog", "1.3.0"): (1, 1)}
    async with world.watching():
        await wait(lambda: world.told, "signals")
        expected = (Handled("catalog", "1.4.0", 0, 0), Handled("catalog", "1.5.0", 40, 3))
        assert world.told[0].handled == expected
        world.mesh.is_away = True
        answered = world.say("catalog.1", 7)
        world.clock.advance(signals.TICK)
        await wait(lambda: len(world.told) > 1, "what is told without a mesh")
        assert (world.told[1].answers, world.told[1].handled) == ((answered,), ())


def test_a_tick_leaves_time_for_the_slowest() -> None:
    assert PATIENCE < signals.TICK
