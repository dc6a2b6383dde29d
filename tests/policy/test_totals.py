"""Do the totals count every end once, also when the memory of it is gone?"""

from dataclasses import replace

from noded.model.incident import Incident, Record, Stage, Tried, Verdict
from noded.model.state import NodeState
from noded.policy.totals import counted
from nodespec.manifest import Rung
from tests.policy.build import release_of, running, spec


def incident(number: int, *tried: Tried) -> Incident:
    return Incident(
        f"shop-{number}",
        "memory-growth",
        "shop.1",
        "",
        0.0,
        1.0,
        1.0,
        1.0,
        1.0,
        Stage.CHOOSING,
        0.0,
        tried=tried,
    )


def tried(rung: Rung, verdict: Verdict) -> Tried:
    return Tried(rung, verdict, 0.0, 0.0, 0, 0.0, "")


def node(now: Incident | None, *past: Incident) -> NodeState:
    plain = NodeState(spec=spec(), release=release_of(spec()))
    return replace(plain, healing=Record(now=now, past=past))


SHRUNK = tried(Rung.SHRINK, Verdict.HELD)
COLLECTED = tried(Rung.COLLECT, Verdict.DID_NOT_HOLD)


def test_each_step_counts_when_it_ends() -> None:
    before = node(incident(1))
    one = counted(before, node(incident(1, COLLECTED)))
    assert one.totals == {"collect/did not hold": 1}
    two = counted(one, replace(one, healing=Record(now=incident(1, COLLECTED, SHRUNK))))
    assert two.totals == {"collect/did not hold": 1, "shrink/held": 1}
    assert counted(two, two) is two


def test_closing_an_incident_counts_nothing_twice_and_forgetting_one_takes_nothing_away() -> None:
    open_ = counted(node(incident(1)), node(incident(1, SHRUNK)))
    closed = counted(open_, replace(open_, healing=Record(past=(incident(1, SHRUNK),))))
    assert closed.totals == {"shrink/held": 1}
    later = counted(closed, replace(closed, healing=Record(past=(incident(12, SHRUNK),))))
    assert later.totals == {"shrink/held": 2}


def test_a_rollout_counts_once() -> None:
    core = running()
    core.apply(spec("1.1"))
    core.order("abort")
    assert core.node.totals == {"rollout/rolled back": 1}
    core.tick(1.0)
    assert core.node.totals == {"rollout/rolled back": 1}


def test_a_step_that_was_passed_by_is_no_end() -> None:
    passed = tried(Rung.REPLACE, Verdict.SKIPPED)
    assert counted(node(incident(1)), node(incident(1, passed))).totals == {}
