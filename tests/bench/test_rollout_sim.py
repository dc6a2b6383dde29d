"""Is what is simulated what is said, and do a hundred and fifty rollouts keep the figures?"""

import math
import random
from collections import Counter
from statistics import mean

import pytest

from tests.bench import rollout_sim, rollout_through_policy
from tests.bench.rollout_sim import EQUAL, REGRESSION, SOAKED, TOLD, WORSE
from tests.bench.simulated_rollout import FUSE, Rollout, Step, World, poisson


def test_a_hundred_and_fifty_rollouts_keep_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    told = rollout_sim.simulated(150, seed=5, processes=1)
    assert told["simulated_rollouts"] >= 150
    assert told["false_rollback_ratio"] <= 0.03
    assert told["policy_false_rollback_ratio"] == told["worse_promoted_ratio"] == 0.0
    assert told["worse_first_step_ratio"] <= 0.15
    assert 60.0 <= told["regression_median_s"] <= 140.0
    shown = capsys.readouterr().out
    assert "seed 5" in shown
    assert all(world.name in shown for world in (*EQUAL, TOLD, SOAKED, REGRESSION, *WORSE))


def test_a_seed_gives_the_same_again() -> None:
    one, same, other = (rollout_sim.ended(REGRESSION, seed, 3) for seed in (1, 1, 2))
    assert one == same != other


@pytest.mark.parametrize("mean_of", [0.001, 0.5, 9.0, 400.0])
def test_draws_have_their_mean_and_spread(mean_of: float) -> None:
    drawn = poisson(mean_of, 4000, random.Random(f"poisson {mean_of}"))
    assert mean(drawn) == pytest.approx(mean_of, abs=5.0 * math.sqrt(mean_of / 4000))
    spread = mean((one - mean_of) ** 2 for one in drawn)
    assert spread == pytest.approx(mean_of, rel=0.2 if mean_of > 0.1 else 2.0)
    assert poisson(0.0, 3, random.Random(1)) == [0, 0, 0]


@pytest.mark.parametrize("world", [EQUAL[1], EQUAL[3], REGRESSION], ids=lambda world: world.name)
def test_looks_that_are_left_out_change_nothing(world: World) -> None:
    for number in range(4):
        patient, eager = (
            Rollout(world, random.Random(f"{world.name} {number}"), patient).run()
            for patient in (True, False)
        )
        assert (patient.how, patient.seconds, patient.steps) == (eager.how, eager.seconds, eager.steps)
        assert eager.looks > patient.looks


def test_a_canary_that_only_fails_trips_the_fuse_and_is_gone() -> None:
    found = rollout_sim.ended(World("broken", 0.0, 1.0), 1, 1)
    assert (found.how, found.canary_bad, found.fuses, found.steps) == ("rolled back", FUSE, 1, 0)
    assert found.seconds < 15
    found = rollout_through_policy.ended(World("broken", 0.0, 1.0), random.Random(1))
    assert (found.how, found.canary_bad, found.fuses, found.steps) == ("rolled back", FUSE, 1, 0)


def test_errors_in_a_row_are_as_frequent_as_chance_has_it() -> None:
    step = Step(Rollout(EQUAL[2], random.Random(4)), 0.5)
    trailing = Counter(step._trailing(2, 2) for _ in range(6000))
    assert trailing[0] / 6000 == pytest.approx(1 / 2, abs=0.03)
    assert trailing[2] / 6000 == pytest.approx(1 / 6, abs=0.03)
    tripped = 0
    for _ in range(6000):
        step.rollout.row = 1
        tripped += step._until_fuse(1, 2) == (0, 2)
    assert tripped / 6000 == pytest.approx(1 / 3, abs=0.03)
    step.rollout.row = 2
    assert step._until_fuse(3, 0) is None
    assert step.rollout.row == 0


def test_an_outage_hits_both_for_two_minutes() -> None:
    rollout = Rollout(EQUAL[3], random.Random(3))
    rollout.outage_begins = 100.0
    step = Step(rollout, 0.5)
    bad = [0, 0, 0]
    while rollout.at < 300:
        for _, canary, _, stable in step._block():
            bad[(rollout.at >= 100) + (rollout.at >= 220)] += canary + stable
            rollout.at += 1
    assert bad[1] == pytest.approx(360, abs=90)
    assert bad[0] < 30 and bad[2] < 30
