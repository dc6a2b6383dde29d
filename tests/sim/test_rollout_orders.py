"""Whatever is ordered, counted or killed during a rollout, in whatever order: does what must hold, hold?"""

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.sim.rollout_orders import RolloutOrders

QUICK = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
LONG = settings(QUICK, max_examples=int(os.environ.get("NODED_SOAK_ROUNDS", "200")) * 20)


def test_rollouts_keep_their_rules_under_any_orders() -> None:
    run_state_machine_as_test(RolloutOrders, settings=QUICK)  # type: ignore[no-untyped-call]


@pytest.mark.soak
def test_rollouts_keep_their_rules_for_long() -> None:
    run_state_machine_as_test(RolloutOrders, settings=LONG)  # type: ignore[no-untyped-call]
