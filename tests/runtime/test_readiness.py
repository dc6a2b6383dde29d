"""Is every starting instance asked as its manifest says, and does none wait for another?"""

import asyncio
import time
from dataclasses import replace

from noded.adapters.masking import masked
from noded.launch import Launch, Ran
from noded.model.inputs import InstanceReady
from noded.model.instance import Instance, Phase, Role
from noded.ports import Unavailable
from noded.runtime import readiness
from noded.runtime.questions import Questions
from nodespec.manifest import Health, Probe
from tests.adapters.looped import looped
from tests.adapters.sdk import wait
from tests.fakes.probes import FakeProbes
from tests.fakes.processes import FakeProcesses
from tests.runtime.held import Held
from tests.runtime.nouns import NEXT, host, instance, node, process, rollout, spec

CHECK = ("check", "--quick")


class Asked:
    """Questions whose answers the test holds."""

    def __init__(self, held: Held) -> None:
        self.probes = FakeProbes()
        self.processes = FakeProcesses(held.inbox, held.clock)
        self.questions = Questions(held.clock, self.probes, self.processes, self.inside, masked)

    def inside(self, one: Instance, argv: tuple[str, ...]) -> Launch:
        return Launch(one.id.rpartition(".")[0], "", argv, "/", (), "dynamic")

    async def runs(self, *names: str) -> None:
        for name in names:
            order = Launch(name.rpartition(".")[0], name, ("/bin/sleep", "9"), "/", (), "dynamic")
            await self.processes.start(order)


def starting(name: str, **fields: object) -> Instance:
    return instance(name, phase=Phase.STARTING, **{"listen": f"unix:/{name}", **fields})


@looped
async def test_only_starting_instances_that_do_not_tell_are_asked() -> None:
    asked = node(
        "a",
        starting("a.1"),
        instance("a.2", listen="unix:/a.2"),
        starting("a.3", process=None),
        spec=spec("a", health=Health(Probe.HTTP, path="/up")),
    )
    others = [
        node(name, starting(f"{name}.1"), spec=spec(name, health=Health(probe)))
        for name, probe in (("b", Probe.SDK), ("c", Probe.NOTIFY), ("d", Probe.NONE))
    ]
    held = Held(host(asked, *others))
    world = Asked(held)
    async with held.watching(readiness.watch, world.questions):
        await wait(lambda: len(world.probes.asked) > 1, "questions")
        assert held.inbox.facts == []
        world.probes.good.add(("unix:/a.1", "/up"))
        await wait(lambda: held.inbox.facts, "readiness")
    assert held.inbox.facts == [InstanceReady(held.clock.now(), "a", "a.1", "GET /up")]
    assert set(world.probes.asked) == {("unix:/a.1", "/up")}
    assert world.probes.timeouts == {2.0}, "one that begins is slow"


@looped
async def test_one_that_hangs_delays_nobody() -> None:
    health = Health(Probe.HTTP, timeout=30.0)
    held = Held(host(node("a", starting("a.1"), starting("a.2"), spec=spec("a", health=health))))
    world = Asked(held)
    world.probes.mute.add("unix:/a.1")
    async with held.watching(readiness.watch, world.questions):
        await wait(lambda: len(world.probes.asked) > 2, "questions")
        began = time.monotonic()
        world.probes.good.add(("unix:/a.2", "/healthz"))
        await wait(lambda: held.inbox.facts, "readiness of the other")
        assert time.monotonic() - began < 5
    assert [fact.instance for fact in held.inbox.all(InstanceReady)] == ["a.2"]
    assert world.probes.asked.count(("unix:/a.1", "/healthz")) == 1, "one question at a time"
    assert world.probes.timeouts == {30.0}


@looped
async def test_what_bad_answers_say_is_not_readiness() -> None:
    held = Held(host(node("a", starting("a.1"), spec=spec("a", health=Health(Probe.HTTP)))))
    world = Asked(held)
    world.probes.bad.add(("unix:/a.1", "/healthz"))
    async with held.watching(readiness.watch, world.questions):
        await wait(lambda: len(world.probes.asked) > 2, "questions")
    assert held.inbox.facts == []


@looped
async def test_a_connection_is_enough_where_the_manifest_says_so() -> None:
    held = Held(host(node("a", starting("a.1"), spec=spec("a", health=Health(Probe.TCP)))))
    world = Asked(held)
    async with held.watching(readiness.watch, world.questions):
        await wait(lambda: len(world.probes.asked) > 1, "questions")
        world.probes.taking.add("unix:/a.1")
        await wait(lambda: held.inbox.facts, "readiness")
    assert held.inbox.facts == [InstanceReady(held.clock.now(), "a", "a.1", "a connection")]


@looped
async def test_a_program_is_run_inside_until_it_ends_with_0() -> None:
    health = Health(Probe.EXEC, command=CHECK)
    held = Held(host(node("a", starting("a.1"), spec=spec("a", health=health))))
    world = Asked(held)
    await world.runs("a.1")
    world.processes.ends[CHECK] = Ran("code 1", "not yet\n", 0.1)
    async with held.watching(readiness.watch, world.questions):
        await wait(lambda: world.processes.ran, "a run")
        assert held.inbox.facts == []
        world.processes.ends[CHECK] = Ran("code 0", "", 0.1)
        await wait(lambda: held.inbox.facts, "readiness")
    launch, timeout, into = world.processes.ran[0]
    assert (launch.argv, timeout, into) == (CHECK, 2.0, "a.1")
    assert held.inbox.facts == [InstanceReady(held.clock.now(), "a", "a.1", "check --quick")]


@looped
async def test_a_launcher_that_is_away_is_waited_for() -> None:
    class Away(FakeProcesses):
        async def run(self, launch: Launch, timeout: float, into: str = "") -> Ran:
            self.ran.append((launch, timeout, into))
            if len(self.ran) < 2:
                raise Unavailable("no launcher")
            return Ran("code 0", "", 0.1)

    held = Held(host(node("a", starting("a.1"), spec=spec("a", health=Health(Probe.EXEC, command=CHECK)))))
    world = Asked(held)
    away = Away(held.inbox, held.clock)
    questions = Questions(held.clock, world.probes, away, world.inside, masked)
    async with held.watching(readiness.watch, questions):
        await wait(lambda: held.inbox.facts, "readiness")
    assert len(away.ran) == 2


@looped
async def test_a_canary_is_asked_as_its_own_manifest_says() -> None:
    canary = starting("catalog.2", digest=NEXT, role=Role.CANARY, process=process(12))
    rolling = rollout(spec=spec(version="1.5.0", health=Health(Probe.HTTP, path="/new")))
    held = Held(host(node("catalog", instance(), canary, rollout=rolling)))
    world = Asked(held)
    world.probes.good.add(("unix:/catalog.2", "/new"))
    async with held.watching(readiness.watch, world.questions):
        await wait(lambda: held.inbox.facts, "readiness")
    assert held.inbox.facts[0] == InstanceReady(held.clock.now(), "catalog", "catalog.2", "GET /new")


@looped
async def test_one_that_is_gone_is_asked_no_more_and_its_name_may_come_again() -> None:
    health = spec("a", health=Health(Probe.HTTP))
    held = Held(host(node("a", starting("a.1"), spec=health)))
    world = Asked(held)
    async with held.watching(readiness.watch, world.questions):
        await wait(lambda: world.probes.asked, "a question")
        held.state = host(node("a", spec=health))
        await asyncio.sleep(4 * readiness.PAUSE)
        count = len(world.probes.asked)
        await asyncio.sleep(4 * readiness.PAUSE)
        assert len(world.probes.asked) == count
        held.state = host(node("a", starting("a.1", process=process(77)), spec=health))
        world.probes.good.add(("unix:/a.1", "/healthz"))
        await wait(lambda: held.inbox.facts, "readiness")
        held.state = replace(held.state, nodes={})
    assert held.inbox.facts[0] == InstanceReady(held.clock.now(), "a", "a.1", "GET /healthz")


@looped
async def test_a_change_of_the_state_wakes_it_and_nothing_else_does() -> None:
    held = Held(host())
    looks: list[asyncio.Event] = []

    def changed() -> asyncio.Event:
        looks.append(asyncio.Event())
        return looks[-1]

    async with held.watching(readiness.watch, Asked(held).questions, changed):
        await asyncio.sleep(0.3)
        assert len(looks) == 1
        looks[-1].set()
        await wait(lambda: len(looks) == 2, "another look")
