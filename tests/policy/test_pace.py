"""Does each version's pace hold what that version did, and nothing else?"""

from dataclasses import replace

import pytest

from noded.model.instance import Role
from noded.model.rollout import Rollout, Stage, Step, Tally
from noded.model.signals import Answers
from noded.model.state import NodeState
from noded.policy.pace import kept
from tests.runtime.nouns import NEXT, instance, node, rollout

EDGES = (0.001, 0.01)
NONE = Tally()
STABLE = instance("catalog.1")
CANARY = instance("catalog.2", role=Role.CANARY, digest=NEXT, version="1.5.0")


def state(**fields: object) -> NodeState:
    return node("catalog", STABLE, CANARY, rollout=rollout(**fields))


def of(found: NodeState) -> Rollout:
    assert found.rollout is not None
    return found.rollout


def step(canary: int, stable: int, events: Tally = NONE) -> Step:
    return Step(0.1, 210.0, 10.0, canary, 0, stable, 0, events)


def test_requests_and_events_are_work() -> None:
    before = state(now=step(10, 90))
    first = kept(before, state(now=step(10, 90)), 220.0)
    later = state(now=step(12, 110, Tally(3, 0, 20, 0)), paces=of(first).paces)
    old, new = of(kept(first, later, 222.0)).paces
    assert (old.rate(222.0), new.rate(222.0)) == (20.0, 2.5)


def test_a_new_step_begins_at_nothing() -> None:
    before = kept(state(now=step(100, 900)), state(now=step(100, 900)), 220.0)
    fresh = replace(step(2, 2), started_at=221.0)
    _, new = of(kept(before, state(now=fresh, paces=of(before).paces), 222.0)).paces
    assert new.rate(222.0) == 1.0


def test_answers_go_to_their_version() -> None:
    before = state(answers=(told("catalog.1", 5, 10), told("catalog.2", 0, 2)))
    after = state(answers=(told("catalog.1", 15, 20), told("catalog.2", 0, 12), told("catalog.9", 50, 50)))
    old, new = of(kept(before, after, 220.0)).paces
    assert (old.quantile(1.0), new.quantile(0.5)) == (0.001, pytest.approx(0.0055))
    assert (old.spans[-1].answered, new.spans[-1].answered) == (10, 10)


@pytest.mark.parametrize(
    "now",
    [
        Answers("catalog.1", 3, 0, EDGES, (1, 3)),
        Answers("catalog.1", 30, 0, (1.0, 2.0), (1, 3)),
        Answers("catalog.1", 30),
        Answers("catalog.1", 30, 0, EDGES, (1,)),
    ],
    ids=["less than before", "other edges", "no times", "cut off"],
)
def test_what_cannot_be_compared_is_left_out(now: Answers) -> None:
    before = state(answers=(told("catalog.1", 5, 10),))
    old, _ = of(kept(before, state(answers=(now,)), 220.0)).paces
    assert old.quantile(0.5) == 0.0


def test_nothing_is_kept_of_what_is_no_rollout_or_over() -> None:
    idle = node("catalog", STABLE)
    assert kept(idle, state(), 220.0) == state()
    assert kept(state(), idle, 220.0) == idle
    ended = state(stage=Stage.PROMOTED, now=None)
    assert kept(state(), ended, 220.0) == ended
    other = state(id="catalog-r2")
    assert kept(state(), other, 220.0) == other


def test_while_the_canary_prepares_there_is_no_work() -> None:
    preparing = state(stage=Stage.PREPARING, now=None)
    assert of(kept(preparing, preparing, 220.0)).paces[1].spans[-1].work == 0


def told(name: str, fast: int, total: int) -> Answers:
    return Answers(name, total, 0, EDGES, (fast, total))
