"""Is silence told, with what was seen of it, and only silence?"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from noded.adapters.masking import masked
from noded.launch import Launch, Ran
from noded.model.incident import Attempt, Stage
from noded.model.instance import Phase, Role, Vitals
from noded.model.liveness import Pressure
from noded.model.state import HostState, NodeState
from noded.ports import Look
from noded.runtime import liveness
from noded.runtime.liveness import DOUBT, LEAST
from noded.runtime.questions import LATE, Questions
from nodespec.manifest import Health, Probe, Rung
from tests.adapters.looped import looped
from tests.adapters.sdk import wait
from tests.fakes.probes import FakeProbes
from tests.runtime.nouns import NEXT, host, incident, instance, node, process, rollout, spec
from tests.runtime.watching import QUICK, UID, Watching, asked, sdk


@looped
async def test_heartbeats_that_cease_are_told_after_two_and_again() -> None:
    """All of it in the same few seconds."""
    never = node("never", instance("never.1", process=process(7), vitals=Vitals()))
    deaf = sdk("deaf", spec=spec("deaf", health=Health(Probe.SDK, liveness=Probe.NONE)))
    calm = sdk("calm", spec=spec("calm", health=Health(Probe.SDK, failures=20)))
    world = Watching(sdk("lives"), sdk("ceases"), sdk("stuck"), never, deaf, calm)
    pid = world.held.state.nodes["ceases"].instances["ceases.1"].process
    assert pid is not None
    began = world.held.clock.now()
    world.nodes.lines["ceases.1"].answers["describe"] = {"stack": ["/a/b/main.py:12 hang", "/x/y.py:3 run"]}
    async with world.watching(beats=("lives.1",)):
        tasks = asyncio.create_task(world.beat("stuck.1", stuck=1.0))
        await asyncio.sleep(DOUBT + 0.3)
        assert world.silent() == []
        world.sensors.looks[pid.pid] = Look(1.9, 0.5, "R")
        await wait(lambda: len(world.silent("ceases.1")) > 2, "silence, three times")
        await wait(lambda: world.silent("stuck.1"), "silence of a loop that stands still")
        tasks.cancel()
        assert {fact.instance for fact in world.silent()} == {"ceases.1", "stuck.1"}
        first, second, *_ = world.silent("ceases.1")
        assert LEAST <= first.at - began < LEAST + 1.0
        assert 0.4 < second.at - first.at < 1.0
        silence = first.silence
        assert silence.seconds == pytest.approx(first.at - began, abs=0.3)
        assert (silence.asked, silence.state, silence.pressure) == (
            "its heartbeat",
            "R",
            Pressure(0.1, 0.2, 0.3),
        )
        assert silence.cpu == pytest.approx(0.9 / (first.at - began - DOUBT), rel=0.4)
        assert silence.waited == 0.0
        assert silence.detail == "b/main.py:12 hang < x/y.py:3 run"
        # It speaks again: nothing more is told.
        world.nodes.beat("ceases.1", UID)
        await asyncio.sleep(0.1)
        told = len(world.silent("ceases.1"))
        await asyncio.sleep(0.8)
        assert len(world.silent("ceases.1")) == told


@looped
async def test_one_that_lived_on_without_noded_has_time_to_speak() -> None:
    """Its newest heartbeat was heard by an earlier noded: none is known, and it spoke."""
    world = Watching(sdk("stopped"), sdk("adopted"))
    began = world.held.clock.now()
    async with world.watching():
        await asyncio.sleep(1.0)
        world.nodes.beat("adopted.1", UID)
        await wait(lambda: world.silent("stopped.1"), "silence")
        assert world.silent("adopted.1") == []
    assert world.silent()[0].at - began >= LEAST


@looped
async def test_when_noded_itself_stood_still_nobody_is_silent() -> None:
    """As when the host slept: who stood still with it speaks a little later than noded wakes."""
    world = Watching(sdk("lives"), sdk("stopped"), asked("web"))
    world.probes.good.add(("unix:/web", "/healthz"))
    async with world.watching():
        await asyncio.sleep(0.3)
        time.sleep(LEAST + 0.5)  # noqa: ASYNC251 - a loop that is late is the subject
        back = world.held.clock.now()
        await asyncio.sleep(0.8)
        world.nodes.beat("lives.1", UID)
        await wait(lambda: world.silent(), "silence")
        assert world.silent()[0].at - back > DOUBT
    assert {fact.instance for fact in world.silent()} == {"stopped.1"}


@looped
async def test_a_question_that_we_held_up_ourselves_says_nothing() -> None:
    class Held(FakeProbes):
        async def responds(self, address: str, uid: int, path: str, timeout: float) -> bool:
            self.asked.append((address, path))
            time.sleep(timeout + LATE + 0.05)  # noqa: ASYNC251 - a loop that is late is the subject
            return False

    world = Watching(asked("web"))
    world.probes = Held()
    world.questions = Questions(world.held.clock, world.probes, world.processes, world.inside, masked)
    world.liveness = world.made()
    async with world.watching():
        await wait(lambda: len(world.probes.asked) > 5, "questions")
    assert world.silent() == []


STEPS = [
    (Stage.EVIDENCE, None, False),
    (Stage.ACTING, Rung.COLLECT, False),
    (Stage.ACTING, Rung.SHRINK, False),
    (Stage.ACTING, Rung.REPLACE, True),
    (Stage.WATCHING, None, True),
]


@looped
async def test_what_stands_still_on_our_own_order_is_not_told() -> None:
    names = [f"n{number}" for number in range(len(STEPS))]
    nodes = []
    for name, (stage, rung, _) in zip(names, STEPS, strict=True):
        attempt = Attempt(rung, f"{name}.1", 1.0, 1.0) if rung else None
        now = incident(instance=f"{name}.1", stage=stage, attempt=attempt)
        made = sdk(name)
        nodes.append(replace(made, healing=replace(made.healing, now=now)))
    world = Watching(*nodes)
    expected = {f"{name}.1" for name, (_, _, told) in zip(names, STEPS, strict=True) if told}
    async with world.watching():
        await wait(lambda: {fact.instance for fact in world.silent()} >= expected, "silence")
        await asyncio.sleep(0.3)
    assert {fact.instance for fact in world.silent()} == expected


@looped
async def test_questions_without_an_answer_are_silence_and_any_answer_is_life() -> None:
    world = Watching(asked("mute"), asked("busy"), asked("fine"), asked("gone"), asked("tcp", Probe.TCP))
    world.probes.mute.add("unix:/mute")
    world.probes.bad.add(("unix:/busy", "/healthz"))
    world.probes.good.add(("unix:/fine", "/healthz"))
    world.probes.taking.add("unix:/tcp")
    began = world.held.clock.now()
    async with world.watching():
        await wait(lambda: len(world.silent("mute.1")) > 2 and world.silent("gone.1"), "silence")
        assert {fact.instance for fact in world.silent()} == {"mute.1", "gone.1"}
        first = world.silent("mute.1")[0]
        assert first.silence.asked == "GET /healthz"
        assert first.silence.seconds == pytest.approx(first.at - began, abs=0.2)
        assert len([a for a, _ in world.probes.asked if a == "unix:/fine"]) > 1, "asked again and again"
        # An answer ends it.
        world.probes.mute.clear()
        world.probes.bad.add(("unix:/mute", "/healthz"))
        await asyncio.sleep(0.2)
        told = len(world.silent("mute.1"))
        await asyncio.sleep(0.3)
        assert len(world.silent("mute.1")) == told
        # And it is asked on: a second silence needs as many failures as the first.
        world.probes.bad.discard(("unix:/mute", "/healthz"))
        await wait(lambda: len(world.silent("mute.1")) > told, "silence again")
        world.probes.taking.discard("unix:/tcp")
        await wait(lambda: world.silent("tcp.1"), "silence of tcp")
        assert world.silent("tcp.1")[0].silence.asked == "a connection"


@looped
async def test_it_is_told_on_while_a_question_takes_long() -> None:
    world = Watching(asked("web", timeout=1.0, failures=1))
    world.probes.mute.add("unix:/web")
    async with world.watching():
        await wait(lambda: len(world.silent()) > 4, "silence")
    first, *more = [fact.at for fact in world.silent()]
    assert more[3] - first < 3.0
    assert len(world.probes.asked) <= 5


@looped
async def test_an_answer_that_takes_longer_than_a_question_may_is_an_answer() -> None:
    """Patience is 4 times 0.1 s: who always takes 0.3 s is slow and lives, who takes 0.6 s is silent."""
    world = Watching(asked("slow", timeout=0.1), asked("slower", timeout=0.1))
    world.probes.slow |= {"unix:/slow": 0.3, "unix:/slower": 0.6}
    world.probes.bad |= {("unix:/slow", "/healthz"), ("unix:/slower", "/healthz")}
    async with world.watching():
        await wait(lambda: len(world.silent("slower.1")) > 1, "silence")
        await asyncio.sleep(1.0)
    assert not world.silent("slow.1")


@looped
async def test_failures_must_come_in_a_row() -> None:
    world = Watching(asked("shaky"))

    async def shake() -> None:
        while True:
            count = len(world.probes.asked)
            if count % 3 == 2:
                world.probes.good.add(("unix:/shaky", "/healthz"))
            else:
                world.probes.good.discard(("unix:/shaky", "/healthz"))
            await asyncio.sleep(0.002)

    task = asyncio.create_task(shake())
    async with world.watching():
        await wait(lambda: len(world.probes.asked) > 12, "questions")
    task.cancel()
    assert world.silent() == []


@looped
async def test_a_canary_is_watched_as_its_own_manifest_says() -> None:
    canary = instance("web.2", digest=NEXT, role=Role.CANARY, listen="unix:/c", process=process(12))
    unknown = instance("web.3", digest="sha256:" + "77" * 32, listen="unix:/u", process=process(13))
    health = Health(Probe.SDK, liveness=Probe.HTTP, path="/new", **QUICK)
    rolling = rollout(release=replace(rollout().release, node="web"), spec=spec("web", health=health))
    quiet = spec("web", health=Health(Probe.NONE))
    stable = instance("web.1", listen="unix:/s", process=process(11))
    world = Watching(node("web", stable, canary, unknown, rollout=rolling, spec=quiet))
    async with world.watching():
        await wait(lambda: world.silent("web.2"), "silence")
    assert world.silent("web.2")[0].silence.asked == "GET /new"
    assert {address for address, _ in world.probes.asked} == {"unix:/c"}


@looped
async def test_one_keeps_the_manifest_it_was_ready_under() -> None:
    """While a new release replaces it without a rollout, the node's manifest is the new one's."""
    before = asked("web", path="/old")
    world = Watching(before)
    world.probes.good.add(("unix:/web", "/old"))
    async with world.watching():
        await wait(lambda: world.probes.asked, "a question")
        after = replace(before.release, digest=NEXT)
        new = spec("web", health=Health(Probe.HTTP, path="/new", **QUICK))
        world.held.state = host(replace(before, release=after, spec=new))
        count = len(world.probes.asked)
        await wait(lambda: len(world.probes.asked) > count + 2, "questions")
    assert {path for _, path in world.probes.asked} == {"/old"}
    assert world.silent() == []


GONE: dict[str, Callable[[HostState], HostState]] = {
    "gone": lambda state: replace(state, nodes={}),
    "stopping": lambda state: host(_in_phase(state, Phase.STOPPING)),
    "draining": lambda state: host(_in_phase(state, Phase.DRAINING)),
}


def _in_phase(state: HostState, phase: Phase) -> NodeState:
    held = state.nodes["web"]
    return held.having(replace(held.instances["web.1"], phase=phase))


@pytest.mark.parametrize("change", GONE.values(), ids=GONE)
@looped
async def test_only_ready_ones_are_watched(change: Callable[[HostState], HostState]) -> None:
    world = Watching(asked("web"))
    async with world.watching():
        await wait(lambda: world.silent(), "silence")
        world.held.state = change(world.held.state)
        await asyncio.sleep(liveness.TURN * 2 + 0.1)
        told, count = len(world.silent()), len(world.probes.asked)
        await asyncio.sleep(0.3)
        assert (len(world.silent()), len(world.probes.asked)) == (told, count)


@looped
async def test_one_that_has_vanished_is_not_told() -> None:
    world = Watching(asked("web"))
    world.sensors.looks.clear()
    async with world.watching():
        await wait(lambda: len(world.probes.asked) > 5, "questions")
    assert world.silent() == []


@looped
async def test_a_command_decides_by_its_code_and_its_word_is_told_apart() -> None:
    world = Watching(*(asked(name, Probe.EXEC, command=(name,)) for name in ("fails", "fine")))
    for name in ("fails", "fine"):
        await world.processes.start(Launch(name, f"{name}.1", ("/bin/sleep", "9"), "/", (), "dynamic"))
    world.processes.ends = {("fails",): Ran("code 3", "no queue\n", 0.1), ("fine",): Ran("code 0", "", 0.1)}
    async with world.watching():
        await wait(lambda: world.silent("fails.1"), "silence")
    assert {fact.instance for fact in world.silent()} == {"fails.1"}
    silence = world.silent("fails.1")[0].silence
    assert (silence.asked, silence.detail, silence.said) == (
        "fails",
        "it was answered with code 3",
        "no queue",
    )


@looped
async def test_another_process_of_the_same_name_begins_anew() -> None:
    world = Watching(sdk("web"))
    async with world.watching():
        await asyncio.sleep(DOUBT + 0.3)
        held = world.held.state.nodes["web"]
        world.held.state = host(held.having(replace(held.instances["web.1"], process=process(9))))
        world.sensors.looks[9] = Look(0.0, 0.0, "S")
        began = world.held.clock.now()
        await wait(lambda: world.silent(), "silence")
        assert world.silent()[0].at - began > LEAST - 0.2


@looped
async def test_five_hundred_that_beat_cost_next_to_nothing() -> None:
    world = Watching(*(sdk(f"n{number}") for number in range(500)))
    for number in range(500):
        world.nodes.beat(f"n{number}.1", UID)
    async with asyncio.TaskGroup() as group:
        world.liveness.turn(group)
        best = 1.0
        for _ in range(20):
            began = time.perf_counter()
            world.liveness.turn(group)
            best = min(best, time.perf_counter() - began)
        assert best < 0.001, f"{best * 1000:.3f} ms a turn, ten turns a second"
        world.held.state = replace(world.held.state, nodes=dict(world.held.state.nodes))
        began = time.perf_counter()
        world.liveness.turn(group)
        assert time.perf_counter() - began < 0.05
