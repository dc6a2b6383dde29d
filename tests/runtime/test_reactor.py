"""Is a decision on disk before it is acted on, and does its record replay to the same decisions?"""

import asyncio
import itertools

import pytest

from noded.model.actions import (
    IRREVERSIBLE,
    Action,
    Answer,
    InstallRoute,
    RecordNode,
    StartInstance,
    irreversible,
)
from noded.model.inputs import (
    ActionFailed,
    CommandRequested,
    DiskFreed,
    Input,
    InstanceExited,
    InstanceReady,
    InstanceStarted,
    ProxyFound,
    Reading,
    RegistryRenewed,
    Sampled,
    TrafficCounted,
    Woken,
)
from noded.model.instance import Vitals
from noded.model.route import Traffic
from noded.model.state import HostState
from noded.runtime import codec
from noded.runtime.inbox import Inbox
from noded.runtime.journal import Journal, read_segment
from noded.runtime.reactor import Reactor, replay
from tests.adapters.looped import looped, until
from tests.fakes.chronicle import FakeChronicle
from tests.fakes.ring import FakeRing
from tests.runtime.nouns import applied, booted, ordered, process, route, start

STORY: tuple[Input, ...] = (
    booted(100.0),
    ProxyFound(100.5, "p1"),
    applied(101.0),
    InstanceStarted(102.0, "catalog", "catalog.1", process()),
    InstanceReady(103.0, "catalog", "catalog.1", "its heartbeat"),
    *(
        Sampled(104.0 + n, (Reading("catalog.1", "catalog", Vitals(30 * 2**20 + n * 4096, 0.1, 20, 4)),))
        for n in range(40)
    ),
    TrafficCounted(144.0, (Traffic("catalog.1", 100, 1, 0, True),)),
    InstanceExited(145.0, "catalog", "catalog.1", "signal 9"),
    InstanceStarted(146.0, "catalog", "catalog.2", process(4712)),
    InstanceExited(147.0, "catalog", "catalog.2", "code 1"),
    ActionFailed(147.5, "InstallRoute", "catalog", "", "Unavailable", "no proxy"),
    Woken(150.0, "catalog"),
    ordered("pause", 151.0),
    ordered("stop", 152.0),
    ordered("remove", 153.0),
)


class Bench:
    """A reactor whose ring tells what was written when an action was handed on."""

    def __init__(self, state: HostState | None = None) -> None:
        self.ring, self.chronicle, self.inbox = FakeRing(), FakeChronicle(), Inbox()
        self.submitted: list[Action] = []
        self.reactor = Reactor(
            state or HostState(), self.inbox, Journal(self.ring, self.chronicle, "b"), self.submit
        )

    def submit(self, action: Action) -> None:
        self.ring.steps.append(f"submit {type(action).__name__}")
        self.submitted.append(action)

    def lines(self) -> tuple[str, ...]:
        self.ring.flush()
        return read_segment(self.ring.segments[-1]).lines


async def told() -> Bench:
    bench = Bench()
    for fact in STORY:
        await bench.reactor.turn((fact,))
    return bench


@looped
async def test_irreversible_actions_are_synced_before_they_are_handed_on() -> None:
    bench = await told()
    kinds = {kind.__name__ for kind in IRREVERSIBLE if kind is not InstallRoute}
    done = {step.partition(" ")[2] for step in bench.ring.steps if step.startswith("submit")}
    assert done >= {"StartInstance", "RecordRelease", "RecordNode"}
    written = 0
    for step in bench.ring.steps:
        if step == "append A":
            written += 1
        elif step == "sync":
            written = 0
        elif step.removeprefix("submit ") in kinds:
            assert written == 0, bench.ring.steps


def test_only_a_route_that_gives_a_share_is_synced_first() -> None:
    """Without a canary the next instance takes requests a disk's breath earlier."""
    assert irreversible(InstallRoute("catalog", route(share=0.1), (), "the canary is ready"))
    assert not irreversible(InstallRoute("catalog", route(), (), "catalog.1 is pinned"))
    assert irreversible(start())


@looped
async def test_everything_is_flushed_before_anything_is_handed_on() -> None:
    bench = await told()
    waiting = 0
    for step in bench.ring.steps:
        if step.startswith("append"):
            waiting += 1
        elif step in ("sync", "flush", "rotate"):
            waiting = 0
        elif step.startswith("submit"):
            assert waiting == 0


@looped
async def test_a_turn_takes_many_facts_with_one_sync() -> None:
    bench = Bench()
    await bench.reactor.turn(STORY[:4])
    assert bench.ring.steps.count("sync") == 1
    assert any(isinstance(action, StartInstance) for action in bench.submitted)


@looped
async def test_readings_alone_are_not_synced() -> None:
    bench = Bench()
    await bench.reactor.turn((Sampled(1.0), TrafficCounted(1.0)))
    assert "sync" not in bench.ring.steps
    assert "flush" in bench.ring.steps


@looped
async def test_on_a_full_disk_processes_are_kept_alive_and_nothing_else_is_done() -> None:
    bench = Bench()
    for fact in STORY[:5]:
        await bench.reactor.turn((fact,))
    bench.ring.is_full_disk = True
    done = len(bench.submitted)
    await bench.reactor.turn((InstanceExited(145.0, "catalog", "catalog.1", "signal 9"),))
    kinds = [type(action).__name__ for action in bench.submitted[done:]]
    assert "StartInstance" in kinds and "RemoveInstance" in kinds
    assert (bench.reactor.state.journaled, "disk full" in bench.reactor.state.full) == (False, True)
    told = [entry.text for entry in bench.chronicle.entries]
    assert any("no decision is written" in text for text in told), "a person is told, if that can be"


@looped
async def test_what_cannot_be_written_is_decided_again_as_a_refusal() -> None:
    bench = Bench()
    await bench.reactor.turn(STORY[:2])
    bench.ring.is_full_disk = True
    await bench.reactor.turn(STORY[2:3])
    assert "catalog" not in bench.reactor.state.nodes
    (answer,) = [action for action in bench.submitted if isinstance(action, Answer)]
    assert (answer.kind, "the disk is full" in answer.text) == ("refused", True)
    assert not any(isinstance(action, StartInstance | RecordNode) for action in bench.submitted)
    await bench.reactor.turn((ordered("stop", 152.0),))
    assert bench.submitted[-1].kind == "refused"


@looped
async def test_records_that_are_not_written_down_are_failures_that_come_back() -> None:
    bench = Bench()
    for fact in STORY[:5]:
        await bench.reactor.turn((fact,))
    bench.ring.is_full_disk = True
    await bench.reactor.turn((RegistryRenewed(145.0, "it was damaged"),))
    assert not any(isinstance(action, RecordNode) for action in bench.submitted[-2:])
    failed = await bench.inbox.take()
    assert {(fact.action, fact.kind) for fact in failed} == {
        ("RecordNode", "Unavailable"),
        ("RecordRelease", "Unavailable"),
    }


@looped
async def test_after_a_full_disk_every_segment_replays_and_the_state_goes_on() -> None:
    bench = Bench()
    for number, fact in enumerate(STORY):
        bench.ring.is_full_disk = 20 < number < 30 or number == 50
        await bench.reactor.turn((fact,))
    await bench.reactor.turn((DiskFreed(160.0),))
    assert (bench.reactor.state.full, bench.reactor.state.journaled) == ("", True)
    assert len(bench.ring.segments) == 3
    for text in bench.ring.segments:
        segment = read_segment(text)
        state, differences = replay(segment.lines, segment.state)
        assert differences == ()
    assert state == bench.reactor.state


@looped
async def test_a_turn_that_fails_half_way_leaves_none_of_itself() -> None:
    bench = Bench()
    await bench.reactor.turn(STORY[:2])
    before = bench.ring.segments[-1]
    bench.ring.is_full_disk = True
    await bench.reactor.turn(STORY[2:5])
    assert bench.ring.segments[-1] == before


@looped
async def test_who_watches_the_state_is_woken_by_every_turn() -> None:
    bench = Bench()
    changed = bench.reactor.changed
    await bench.reactor.turn(STORY[:1])
    assert changed.is_set()
    assert bench.reactor.changed is not changed
    assert not bench.reactor.changed.is_set()
    assert bench.reactor.state.booted_at == 100.0


@looped
async def test_it_runs_on_what_comes_in() -> None:
    bench = Bench()
    running = asyncio.ensure_future(bench.reactor.run())
    for fact in STORY[:3]:
        bench.inbox.put(fact)

    async def applied_now() -> bool:
        return "catalog" in bench.reactor.state.nodes

    await until(applied_now)
    running.cancel()


@looped
async def test_a_segment_replays_to_the_same_decisions_and_state() -> None:
    bench = await told()
    state, differences = replay(bench.lines(), HostState())
    assert differences == ()
    assert state == bench.reactor.state
    again, differences = replay(bench.lines(), codec.load(HostState, codec.dump(HostState())))
    assert (again, differences) == (state, ())


@looped
async def test_every_segment_replays_alone() -> None:
    bench = Bench()
    bench.ring._segment = 4000
    for fact in STORY:
        await bench.reactor.turn((fact,))
    segments = [read_segment(text) for text in bench.ring.segments]
    assert len(segments) > 3
    for segment, following in itertools.pairwise(segments):
        state, differences = replay(segment.lines, segment.state)
        assert differences == ()
        assert state == following.state


@looped
async def test_a_planted_difference_is_found() -> None:
    lines = list((await told()).lines())
    number = next(n for n, line in enumerate(lines) if line.startswith('A ["StartInstance"'))
    changed = lines.copy()
    changed[number] = changed[number].replace("catalog.1", "catalog.7", 1)
    found = replay(changed, HostState())[1]
    assert len(found) == 2
    assert "ApplyRequested: decided then and not now" in found[0]
    assert "ApplyRequested: decided now and not then" in found[1]
    assert "catalog.7" in found[0]
    left_out = lines[:number] + lines[number + 1 :]
    (found_out,) = replay(left_out, HostState())[1]
    assert "decided now and not then" in found_out


@looped
async def test_another_order_of_actions_is_found() -> None:
    lines = list((await told()).lines())
    number = next(
        n for n, line in enumerate(lines[1:], 1) if line[0] == lines[n - 1][0] == "A" and line != lines[n - 1]
    )
    lines[number - 1], lines[number] = lines[number], lines[number - 1]
    (found,) = replay(lines, HostState())[1]
    assert "decided in another order" in found


@looped
async def test_a_planted_input_is_found() -> None:
    lines = list((await told()).lines())
    number = next(n for n, line in enumerate(lines) if line.startswith('I ["InstanceExited"'))
    lines[number] = lines[number].replace('"node":"catalog"', '"node":"nobody"')
    assert replay(lines, HostState())[1] != ()


@looped
async def test_actions_cut_off_by_a_crash_are_no_difference() -> None:
    lines = (await told()).lines()
    last = max(n for n, line in enumerate(lines) if line.startswith("I "))
    for end in range(last + 1, len(lines) + 1):
        assert replay(lines[:end], HostState())[1] == ()


DAMAGE = [
    "",
    "X []",
    "\0\0\0\0",
    'I ["Unheard",{}]',
    'I ["Woken",',
    'I ["Woken",{"at":"noon","node":"a"}]',
    "I []",
]


@pytest.mark.parametrize("line", DAMAGE)
def test_a_damaged_line_is_not_passed_by(line: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        replay((line, f"I {codec.dump_tagged(Woken(1.0, 'a'))}"), HostState())


@looped
async def test_the_same_inputs_give_the_same_journal() -> None:
    first, second = await told(), await told()
    assert first.ring.segments == second.ring.segments
    assert first.submitted == second.submitted


@looped
async def test_a_refused_order_changes_nothing_but_is_answered() -> None:
    bench = Bench()
    await bench.reactor.turn((booted(),))
    before = bench.reactor.state
    await bench.reactor.turn((CommandRequested(200.0, 9, "stop", "nobody", "uid 0"),))
    assert bench.reactor.state == before
    (answer,) = [action for action in bench.submitted if isinstance(action, Answer)]
    assert (answer.request, answer.kind) == (9, "not found")
