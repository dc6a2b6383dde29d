"""Does an administrator see all of a rollout: its counts, its evidence, how it came to where it is?"""

from dataclasses import replace
from typing import Any

import pytest

from nodeapi.v1 import control_pb2 as pb
from noded.adapters.control_status import node_status
from noded.model.instance import Phase, Role, Vitals
from noded.model.pace import Pace
from noded.model.rollout import Evidence, Growth, Rollout, Stage, Step, Tally, Transition
from noded.model.signals import Answers
from nodespec.manifest import Objectives
from tests.runtime.nouns import NEXT, instance, node, rollout, spec

CANARY = instance("catalog.2", role=Role.CANARY, digest=NEXT, version="1.5.0")


def shown(at: float = 235.0, **fields: Any) -> pb.RolloutStatus:
    return node_status(node("catalog", instance(), CANARY, rollout=rollout(**fields)), at).rollout


def test_a_rollout_under_way_and_past_ones() -> None:
    done = (Step(0.1, 200.0, 30.0, 100, 1, 900, 2),)
    now = rollout(done=done, at_step=1, now=Step(0.25, 230.0, 5.0, 20, 0, 80, 0))
    past = rollout(id="catalog-r0", stage=Stage.ROLLED_BACK, now=None, reason="it failed", ended_at=90.0)
    found = node_status(node("catalog", instance(), rollout=now, past_rollouts=(past,)), 235.0)
    held = found.rollout
    assert (held.id, held.phase, held.share, held.step) == ("catalog-r1", "step", 0.25, 1)
    assert (held.canary_requests, held.canary_bad, held.stable_requests, held.stable_bad) == (120, 1, 980, 2)
    (step,) = held.done
    assert (step.share, step.seconds) == (0.1, 30.0)
    assert (step.canary_requests, step.canary_bad, step.stable_requests, step.stable_bad) == (100, 1, 900, 2)
    assert held.dwell_left == 30.0 - (235.0 - 210.0)
    assert held.digest == NEXT
    (old,) = found.past_rollouts
    assert (old.id, old.phase, old.reason, old.dwell_left) == ("catalog-r0", "rolled back", "it failed", 0.0)
    assert (old.requests_needed, list(old.versions), list(old.signals)) == (0, [], [])
    assert not node_status(node("catalog", rollout=replace(past)), 300.0).HasField("rollout")


def test_the_soak_and_the_preparation() -> None:
    assert shown(300.0, stage=Stage.SOAK, since=200.0).dwell_left == 500.0
    preparing = shown(220.0, stage=Stage.PREPARING, now=None, at_step=-1)
    assert (preparing.step, preparing.share, preparing.dwell_left) == (0, 0.0, 0.0)


def test_one_that_returns_to_a_release_has_one_step() -> None:
    assert list(shown(direct=True).steps) == [1.0]


def test_what_keeps_it_where_it_is() -> None:
    found = shown(paused=True, frozen="it is worse", forced="port 8100 is taken")
    assert (found.held, found.frozen, found.forced) == (True, "it is worse", "port 8100 is taken")


def test_events_count_as_requests_do() -> None:
    step = Step(0.1, 210.0, 10.0, 20, 1, 180, 2, events=Tally(3, 1, 30, 0))
    found = shown(now=step)
    assert (found.canary_requests, found.canary_bad, found.stable_requests) == (23, 2, 210)
    signals = {s.signal: s for s in found.signals}
    assert (signals["errors"].canary, signals["errors"].canary_bad) == (23, 2)
    assert (signals["events"].canary, signals["events"].weight) == (3, 0.0)


def test_signals_have_their_counts_limits_and_weights() -> None:
    step = Step(0.1, 210.0, status=Tally(100, 1, 900, 2), slow=(Tally(100, 50, 900, 450), Tally(), Tally(9)))
    found = shown(
        now=step,
        thresholds=(0.002, 0.0, 0.03),
        evidence=(Evidence("errors", 12.0, 0.5), Evidence("slow-99", 3.0, 0.125)),
    )
    assert [s.signal for s in found.signals] == ["errors", "status", "slow-50", "slow-99"]
    errors, status, half, most = found.signals
    assert (errors.evidence, errors.weight, errors.limit) == (12.0, 0.5, 0.0)
    assert (status.canary_bad, status.weight) == (1, 0.0)
    assert (half.canary_bad, half.stable_bad, half.limit) == (50, 450, 0.002)
    assert (most.canary, most.limit, most.evidence) == (9, 0.03, 3.0)


def test_the_objective_and_the_memory() -> None:
    promised = replace(spec(), objectives=Objectives(error_ratio=0.02))
    growth = Growth("catalog.2", "catalog.3", 210.0, (1e6, 2e6))
    found = shown(spec=promised, evidence=(Evidence("objective", 1.5, 0.1),), growth=growth)
    signals = {s.signal: s for s in found.signals}
    assert (signals["objective"].limit, signals["objective"].canary_bad) == (0.02, 1)
    assert signals["memory"].limit == 2e6


def test_versions_side_by_side() -> None:
    instances = (
        instance("catalog.1"),
        instance("catalog.4", phase=Phase.DRAINING),
        instance("catalog.5", role=Role.SPARE),
        instance("catalog.3", role=Role.BASELINE, vitals=Vitals(memory=5)),
        replace(CANARY, vitals=Vitals(memory=7), phase=Phase.STARTING),
    )
    pace = Pace().adding(200.0, 0).adding(202.0, 20, Answers("catalog.1", 10, 0, (0.01,), (10,)))
    under_way = rollout(paces=(pace, Pace()))
    old, new = node_status(node("catalog", *instances, rollout=under_way), 204.0).rollout.versions
    assert (old.version, old.ready, old.wanted, old.memory) == ("1.4.0", 1, 1, 32 * 2**20)
    assert (old.rate, old.p50, old.p99) == (5.0, 0.005, pytest.approx(0.0099))
    assert (new.version, new.ready, new.wanted, new.memory) == ("1.5.0", 0, 1, 7)
    assert (new.rate, new.p50, new.p99) == (0.0, 0.0, 0.0)


def test_every_transition_has_its_reason_and_who_asked() -> None:
    history = (
        Transition(200.0, Stage.PREPARING, 0.0, "waiting", "uid 1000"),
        Transition(210.0, Stage.STEP, 0.1, "10%: the canary is ready"),
    )
    found = shown(history=history)
    assert [(t.at, t.phase, t.share, t.reason, t.by) for t in found.history] == [
        (200.0, "preparing", 0.0, "waiting", "uid 1000"),
        (210.0, "step", 0.1, "10%: the canary is ready", ""),
    ]


def test_of_many_nodes_past_transitions_are_left_out() -> None:
    entry = Transition(210.0, Stage.STEP, 0.1, "ready")

    def of(one: Rollout, alone: bool) -> pb.NodeStatus:
        past = replace(one, stage=Stage.PROMOTED, now=None)
        return node_status(node("catalog", rollout=one, past_rollouts=(past,)), 300.0, alone=alone)

    for alone in (True, False):
        found = of(rollout(history=(entry,)), alone)
        assert len(found.rollout.history) == 1
        assert len(found.past_rollouts[0].history) == int(alone)
