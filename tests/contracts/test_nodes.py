"""What must hold for the line to the SDK inside instances, over sockets and without?"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest

from noded.adapters.node_socket import NodeSockets
from noded.model.inputs import InstanceReady
from noded.model.signals import Answers
from noded.ports import Heartbeat, Nodes, NotFound, PortError, Refused
from tests.adapters.looped import looped
from tests.adapters.sdk import Sdk, wait
from tests.fakes.clock import FakeClock
from tests.fakes.inbox import FakeInbox
from tests.fakes.nodes import FakeNodes

UID = os.geteuid()


class World(Protocol):
    """`nodes`, and what the programs in the instances do."""

    nodes: Nodes
    inbox: FakeInbox
    clock: FakeClock

    def begin(self) -> None: ...

    def ready(self, instance: str) -> None: ...

    def beat(self, instance: str, lag: float, progress: int, stuck: float = 0.0) -> None: ...

    def answered(self, answers: Answers) -> None: ...

    def answers(self, instance: str, do: str, answer: Mapping[str, object] | str) -> None:
        """A text is an error the program answers with."""
        ...

    def end(self) -> None: ...


class Faked:
    def __init__(self) -> None:
        self.inbox, self.clock = FakeInbox(), FakeClock()
        self._nodes = FakeNodes(self.inbox, self.clock)
        self.nodes: Nodes = self._nodes

    def begin(self) -> None:
        pass

    def ready(self, instance: str) -> None:
        self._nodes.say_ready(instance, UID)

    def beat(self, instance: str, lag: float, progress: int, stuck: float = 0.0) -> None:
        self._nodes.beat(instance, UID, lag, progress, stuck)

    def answered(self, answers: Answers) -> None:
        self._nodes.tell_answers(UID, answers)
        self.beat(answers.instance, 0.0, 1)

    def answers(self, instance: str, do: str, answer: Mapping[str, object] | str) -> None:
        error = Refused(f"{instance} answered: {answer}")
        self._nodes.lines[instance].answers[do] = error if isinstance(answer, str) else answer

    def end(self) -> None:
        pass


class OverSockets:
    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="nd"))
        self.inbox, self.clock = FakeInbox(), FakeClock()
        self._sdks: dict[str, Sdk] = {}

    def begin(self) -> None:
        (self.folder / "notify").mkdir()
        self.nodes: Nodes = NodeSockets(self.folder / "i", self.folder / "notify", self.inbox, self.clock)

    def _sdk(self, instance: str) -> Sdk:
        if instance not in self._sdks:
            notify = str(self.folder / "notify" / f"{instance}.sock")
            self._sdks[instance] = Sdk(notify, self.folder / "i" / instance / "orders.sock")
        return self._sdks[instance]

    def ready(self, instance: str) -> None:
        self._sdk(instance).say("READY=1")

    def beat(self, instance: str, lag: float, progress: int, stuck: float = 0.0) -> None:
        self._sdk(instance).tell(kind="heartbeat", lag=lag, progress=progress, stuck=stuck)

    def answered(self, answers: Answers) -> None:
        told = {"total": answers.total, "bad": answers.bad, "edges": answers.edges, "within": answers.within}
        self._sdk(answers.instance).tell(kind="heartbeat", lag=0.0, progress=1, answers=told)

    def answers(self, instance: str, do: str, answer: Mapping[str, object] | str) -> None:
        self._sdk(instance).answers[do] = answer

    def end(self) -> None:
        for sdk in self._sdks.values():
            sdk.close()


@pytest.fixture(params=["fake", "sockets"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "fake":
        yield Faked()
        return
    made = OverSockets()
    yield made
    shutil.rmtree(made.folder)


def listening(world: World, instance: str = "catalog.1") -> None:
    world.nodes.listen("catalog", instance)
    world.nodes.expect("catalog", instance, UID)


@looped
async def test_it_is_ready_once(world: World) -> None:
    world.begin()
    listening(world)
    world.ready("catalog.1")
    await wait(lambda: world.inbox.facts, "readiness")
    world.ready("catalog.1")
    world.beat("catalog.1", 0.5, 7)
    await wait(lambda: world.nodes.heartbeat("catalog.1"), "a heartbeat")
    assert world.inbox.facts == [InstanceReady(world.clock.now(), "catalog", "catalog.1", "it said so", True)]
    world.end()


@looped
async def test_a_heartbeat_is_kept_and_means_readiness(world: World) -> None:
    world.begin()
    listening(world)
    assert world.nodes.heartbeat("catalog.1") is None
    world.beat("catalog.1", 0.25, 7)
    await wait(lambda: world.nodes.heartbeat("catalog.1"), "a heartbeat")
    assert world.nodes.heartbeat("catalog.1") == Heartbeat(world.clock.now(), 0.25, 7)
    assert [fact.told_by for fact in world.inbox.all(InstanceReady)] == ["its heartbeat"]
    assert world.nodes.heartbeat("catalog.2") is None
    world.beat("catalog.1", 3.5, 7, stuck=3.5)
    await wait(lambda: (beat := world.nodes.heartbeat("catalog.1")) and beat.stuck, "another")
    assert world.nodes.heartbeat("catalog.1") == Heartbeat(world.clock.now(), 3.5, 7, 3.5)
    world.end()


@looped
async def test_what_it_answered_is_kept_until_it_says_more(world: World) -> None:
    world.begin()
    listening(world)
    assert world.nodes.answers("catalog.1") is None
    first = Answers("catalog.1", 10, 1, (0.001, 0.01), (3, 9))
    world.answered(first)
    await wait(lambda: world.nodes.answers("catalog.1") == first, "answers")
    world.beat("catalog.1", 0.5, 2)
    await wait(lambda: (beat := world.nodes.heartbeat("catalog.1")) and beat.lag, "another heartbeat")
    assert world.nodes.answers("catalog.1") == first
    without = Answers("catalog.1", 12)
    world.answered(without)
    await wait(lambda: world.nodes.answers("catalog.1") == without, "answers without times")
    assert world.nodes.answers("catalog.2") is None
    world.nodes.forget("catalog.1")
    assert world.nodes.answers("catalog.1") is None
    world.end()


@looped
async def test_listening_twice_is_one_line(world: World) -> None:
    world.begin()
    path = world.nodes.listen("catalog", "catalog.1")
    assert path == world.nodes.listen("catalog", "catalog.1")
    assert path.endswith("/catalog.1.sock")
    listening(world)
    world.ready("catalog.1")
    await wait(lambda: world.inbox.facts, "readiness")
    world.end()


@looped
async def test_an_order_is_answered(world: World) -> None:
    world.begin()
    listening(world)
    world.answers("catalog.1", "collect", {"before": 3, "after": 2})
    world.answers("catalog.1", "shrink", "no caches here")
    assert await world.nodes.order("catalog.1", {"do": "collect"}, 5.0) == {"before": 3, "after": 2}
    with pytest.raises(Refused, match=r"catalog\.1 answered: no caches here"):
        await world.nodes.order("catalog.1", {"do": "shrink", "fraction": 0.5}, 5.0)
    world.end()


@looped
async def test_who_is_not_there_gets_no_order(world: World) -> None:
    world.begin()
    with pytest.raises(NotFound, match=r"cannot have catalog\.9 collect"):
        await world.nodes.order("catalog.9", {"do": "collect"}, 5.0)
    listening(world)
    with pytest.raises(NotFound, match=r"cannot have catalog\.1 collect"):
        await world.nodes.order("catalog.1", {"do": "collect"}, 5.0)
    world.end()


@looped
async def test_who_is_forgotten_says_and_hears_nothing(world: World) -> None:
    world.begin()
    listening(world)
    world.beat("catalog.1", 0.0, 1)
    await wait(lambda: world.nodes.heartbeat("catalog.1"), "a heartbeat")
    world.answers("catalog.1", "collect", {})
    world.nodes.forget("catalog.1")
    world.nodes.forget("catalog.1")
    assert world.nodes.heartbeat("catalog.1") is None
    with pytest.raises(NotFound):
        await world.nodes.order("catalog.1", {"do": "collect"}, 5.0)
    world.end()


@looped
async def test_nobody_is_believed_on_a_line_that_is_not_open(world: World) -> None:
    world.begin()
    with pytest.raises(PortError):
        world.nodes.expect("catalog", "catalog.1", UID)
    world.end()
