"""What counts of both versions' work, and when."""

import random
from dataclasses import replace

import pytest

from noded.model.inputs import SignalsTold, TrafficCounted
from noded.model.rollout import Stage, Tally
from noded.model.route import Traffic
from noded.model.signals import Answers, Handled
from noded.policy import counting
from tests.policy.build import Core, rolling, running, spec

EDGES = (0.01, 0.1, 1.0)


def told(core: Core, *answers: Answers, handled: tuple[Handled, ...] = ()) -> None:
    core.at += 1.0
    core.tell(SignalsTold(core.at, answers, handled))


def step(core: Core) -> "counting.Step":
    assert core.rollout.now is not None
    return core.rollout.now


def test_while_the_canary_is_cut_no_more_of_stable_counts_than_belongs_to_what_it_had() -> None:
    core = rolling()
    core.count({"shop.1": (90, 0), "shop.2": (10, 1)}, down=["shop.2"])
    assert (step(core).canary_requests, step(core).canary_bad) == (10, 1), "until it went down it counts"
    core.count({"shop.1": (190, 5), "shop.2": (10, 1)}, down=["shop.2"])
    assert (step(core).stable_requests, step(core).stable_bad) == (90, 0), "it had nothing"
    core.count({"shop.1": (390, 15), "shop.2": (20, 1)})
    assert (step(core).stable_requests, step(core).stable_bad) == (180, 5), "90 of 200, half a bad one more"
    assert step(core).early == Tally(0, 0, 1, 1), "which is no ground for promotion"
    core.count({"shop.1": (490, 15), "shop.2": (30, 1)})
    assert (step(core).stable_requests, step(core).canary_requests) == (280, 30)


def fused(core: Core, looks: int, wrong: float, common: float) -> None:
    """A fifth of a second each: 2000 requests, and the canary's third error is its last."""
    draw = random.Random(5)
    stable, canary, errors, raised = [0, 0], [0, 0], 0, 0
    for _ in range(looks):
        for _ in range(2000):
            one, ratio = (canary, wrong) if errors < 3 and draw.random() < 0.1 else (stable, common)
            bad = draw.random() < ratio
            one[0] += 1
            one[1] += bad
            errors += bad and one is canary
        core.at += 0.2
        told = {"shop.1": (stable[0], stable[1]), "shop.2": (canary[0], canary[1])}
        core.count(told, down=["shop.2"] if errors >= 3 else [])
        if not core.node.rolling_out:
            return
        if core.node.instances["shop.2"].raised > raised:
            raised, errors = raised + 1, 0


def test_a_canary_whose_fuse_blows_between_any_two_looks_is_found_all_the_same() -> None:
    core = rolling()
    fused(core, 5, wrong=1.0, common=0.005)
    assert core.rollout.stage is Stage.ROLLED_BACK, core.rollout.reason


def test_an_equal_canary_whose_fuse_blows_is_neither_worse_nor_better() -> None:
    core = rolling(spec("1.0", dwell=60.0), spec("1.1", dwell=60.0))
    fused(core, 150, wrong=0.05, common=0.05)
    now = step(core)
    assert core.rollout.rollback_evidence < 5.0
    assert 0.03 < now.stable_bad / now.stable_requests < 0.07
    assert 0.08 < now.canary_requests / (now.canary_requests + now.stable_requests) < 0.12


def test_a_stable_version_that_is_down_stops_the_count_too() -> None:
    core = rolling()
    core.count({"shop.1": (90, 0), "shop.2": (10, 0)}, down=["shop.1"])
    core.count({"shop.1": (90, 0), "shop.2": (90, 9)})
    assert step(core).canary_bad == 0


def test_what_failed_soon_after_a_change_of_share_is_no_ground_for_promotion() -> None:
    core = rolling(spec(), spec("1.1", dwell=20.0))
    core.order("promote")
    assert core.rollout.share == 0.5
    core.at += 1.0
    core.count({"shop.1": (500, 1), "shop.2": (500, 2)})
    assert step(core).early == Tally(500, 2, 500, 1)
    core.at += 30.0
    core.count({"shop.1": (600, 1), "shop.2": (600, 2)})
    assert step(core).early == Tally(500, 2, 500, 1) and step(core).canary_requests == 600


def test_thresholds_are_stables_quantiles_before_the_first_step() -> None:
    core = running()
    core.apply(spec("1.1"))
    told(core, Answers("shop.1", 1000, 0, EDGES, (600, 950, 1000)))
    core.comes_up("shop.2")
    assert core.rollout.thresholds == (0.01, 0.1, 1.0)


def test_one_edge_stands_for_no_two_quantiles() -> None:
    core = running()
    core.apply(spec("1.1"))
    told(core, Answers("shop.1", 1000, 0, EDGES, (999, 1000, 1000)))
    core.comes_up("shop.2")
    assert core.rollout.thresholds == (0.01, 0.0, 0.0)


@pytest.mark.parametrize(
    ("within", "found"),
    [
        ((900, 990, 999, 1000, 1000), (0.0, 0.0, 0.006)),
        ((1000, 1000, 1000, 1000, 1000), (0.0, 0.0, 0.006)),
        ((600, 950, 970, 995, 1000), (0.0, 0.0, 0.009)),
        ((100, 200, 600, 950, 1000), (0.006, 0.009, 0.02)),
        ((600, 700, 950, 980, 985), (0.0, 0.006, 0.0)),
    ],
)
def test_less_than_a_few_milliseconds_is_not_compared(
    within: tuple[int, ...], found: tuple[float, ...]
) -> None:
    core = running()
    core.apply(spec("1.1"))
    told(core, Answers("shop.1", 1000, 0, (0.001, 0.003, 0.006, 0.009, 0.02), within))
    core.comes_up("shop.2")
    assert core.rollout.thresholds == found


def test_few_answers_give_no_thresholds() -> None:
    core = running()
    core.apply(spec("1.1"))
    told(core, Answers("shop.1", 99, 0, EDGES, (9, 90, 99)))
    core.comes_up("shop.2")
    assert core.rollout.thresholds == ()


def slow_ready() -> Core:
    core = running()
    core.apply(spec("1.1"))
    told(core, Answers("shop.1", 1000, 4, EDGES, (600, 950, 1000)))
    core.comes_up("shop.2")
    return core


def test_answers_are_counted_as_differences_by_version() -> None:
    core = slow_ready()
    told(
        core,
        Answers("shop.1", 1100, 4, EDGES, (650, 1040, 1100)),
        Answers("shop.2", 10, 3, EDGES, (0, 5, 10)),
    )
    assert step(core).status == Tally(0, 0, 100, 0), "of the canary what it told before"
    told(
        core,
        Answers("shop.1", 1100, 4, EDGES, (650, 1040, 1100)),
        Answers("shop.2", 20, 3, EDGES, (0, 10, 20)),
    )
    assert step(core).status == Tally(10, 3, 100, 0)
    assert step(core).slow == (Tally(10, 10, 100, 50), Tally(10, 5, 100, 10), Tally(10, 0, 100, 0))


def test_a_restarted_instance_counts_from_nothing_again() -> None:
    core = slow_ready()
    told(core, Answers("shop.1", 10, 1, EDGES, (1, 9, 10)))
    assert step(core).status == Tally(0, 0, 10, 1)


def test_other_bounds_are_not_compared() -> None:
    core = slow_ready()
    for total in (10, 20):
        told(
            core,
            Answers("shop.1", 1000, 4, EDGES, (600, 950, 1000)),
            Answers("shop.2", total, 0, (0.02, 0.5), (1, 9)),
        )
    assert step(core).status.canary == 10
    assert step(core).slow[0].canary == 0


def test_events_are_counted_by_version_and_only_of_this_node() -> None:
    core = rolling()
    told(core, handled=(Handled("shop", "1.0", 500, 50), Handled("shop", "1.1", 0, 0)))
    told(core, handled=(Handled("shop", "1.0", 590, 51), Handled("shop", "1.1", 10, 1)))
    told(core, handled=(Handled("other", "1.1", 9, 9),))
    assert step(core).events == Tally(10, 1, 90, 1), "the first word is of all its life"
    assert step(core).errors.stable_bad == 1
    told(core, handled=(Handled("shop", "1.0", 5, 0),))
    assert step(core).events.stable == 95, "a mesh that was restarted counts from nothing"


def test_a_request_that_the_canary_failed_and_stable_answered_counts_once() -> None:
    core = rolling()
    core.at += 1.0
    core.tell(
        TrafficCounted(core.at, (Traffic("shop.1", 100, 0, 0, True), Traffic("shop.2", 10, 2, 0, True, 2)))
    )
    assert (step(core).canary_requests, step(core).canary_bad, step(core).stable_requests) == (10, 2, 98)


def test_the_canary_waits_while_one_of_stable_says_nothing() -> None:
    core = slow_ready()
    for total in (10, 20, 30):
        told(core, Answers("shop.2", total, 1, EDGES, (total, total, total)))
    assert step(core).status.canary == 0
    told(
        core,
        Answers("shop.1", 1100, 5, EDGES, (700, 1050, 1100)),
        Answers("shop.2", 40, 1, EDGES, (40, 40, 40)),
    )
    assert step(core).status == Tally(30, 1, 100, 1)


def test_who_tells_late_of_a_long_life_is_counted_from_then_on() -> None:
    core = rolling()
    told(core, Answers("shop.1", 10_000, 40))
    told(core, Answers("shop.1", 10_100, 40))
    assert step(core).status == Tally(0, 0, 100, 0)


def test_what_strangers_tell_is_not_kept() -> None:
    core = rolling()
    told(core, Answers("ghost.1", 10, 0))
    assert core.rollout.answers == ()


def test_an_ended_rollout_counts_nothing() -> None:
    core = rolling()
    core.order("abort")
    before = core.rollout
    told(core, Answers("shop.1", 10, 0))
    assert core.rollout == before
    assert counting.on_told(replace(core.node, rollout=None), SignalsTold(1.0)).rollout is None


def test_what_fails_wherever_it_is_asked_is_no_fault_of_stable_where_the_canary_was_asked_first() -> None:
    core = rolling()
    core.at += 1.0
    stable = Traffic("shop.1", 100, 7, 0, True, again=3, again_bad=2)
    core.tell(TrafficCounted(core.at, (stable, Traffic("shop.2", 10, 3, 0, True, 3))))
    assert (step(core).stable_requests, step(core).stable_bad) == (97, 5)
    assert (step(core).canary_requests, step(core).canary_bad) == (10, 3)
