"""What fails now and then is restarted for ever; what cannot live is given up and tried again rarely."""

from hypothesis import given
from hypothesis import strategies as st

from noded.model.actions import WakeAt
from noded.model.incident import Stage
from noded.model.instance import Role
from noded.model.state import GIVEN_UP
from noded.policy.crashes import (
    FIRST_DELAY,
    FORGIVEN,
    RETRY,
    restart_delay,
    wanted_spares,
)
from noded.policy.healing import GROWTH
from tests.policy.build import Core, only, running, spec, starts

SPREAD = 1.1
NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,31}", fullmatch=True)


@given(NAMES, st.integers(0, 100_000))
def test_the_delay_is_bounded(node: str, failures: int) -> None:
    delay = restart_delay(node, failures)
    assert 0.0 <= delay <= RETRY * SPREAD
    assert (delay == 0.0) == (failures <= 1)


@given(NAMES, st.integers(0, 40), st.integers(0, 40))
def test_the_delay_grows_with_the_failures(node: str, one: int, other: int) -> None:
    fewer, more = sorted((one, other))
    delay = restart_delay(node, more)
    # At its longest only the spread is left.
    assert restart_delay(node, fewer) <= delay or delay >= RETRY


@given(NAMES, NAMES, st.integers(2, 20))
def test_the_delay_is_the_same_in_every_replay(one: str, other: str, failures: int) -> None:
    assert restart_delay(one, failures) == restart_delay(one, failures)
    assert abs(restart_delay(one, failures) / restart_delay(other, failures) - 1.0) <= SPREAD - 1.0


def test_the_delays_double_to_a_minute_and_then_are_long() -> None:
    delays = [round(restart_delay("shop", n) / 1.05, 1) for n in range(2, 12)]
    for expected, delay in zip([0.5, 1, 2, 4, 8, 16, 32, 60, 600, 600], delays, strict=True):
        assert expected * 0.95 <= delay <= expected * 1.06
    assert restart_delay("shop", 2) >= FIRST_DELAY


def come_up(core: Core) -> None:
    core.comes_up(*(i.id for i in core.node.instances.values() if i.process is None))


def crash_loop(core: Core, times: int) -> None:
    """Every new instance exits a moment after it came up, and noded waits as long as it has to."""
    for _ in range(times):
        name = core.serving()[0]
        core.at += 0.1
        core.exits(name, "code 1")
        core.tick(max(0.0, core.node.backoff.until - core.at) + 0.01)
        come_up(core)


def test_a_node_that_cannot_live_fails_with_an_incident() -> None:
    core = running(spec())
    crash_loop(core, GIVEN_UP - 1)
    assert core.node.healing.now is None
    actions = core.exits(core.serving()[0], "code 1")
    incident = core.node.healing.now
    assert incident is not None
    assert (incident.signature, incident.stage) == ("crash-loop", Stage.NEEDS_PERSON)
    assert "code 1" in incident.finding
    assert not starts(actions)
    assert RETRY <= only(actions, WakeAt).at - core.at <= RETRY * SPREAD


def test_a_failed_node_is_tried_again_and_its_incident_ends_when_it_lives() -> None:
    core = running(spec())
    crash_loop(core, GIVEN_UP)
    assert core.node.healing.now is not None
    assert core.serving()[0]
    core.tick(FORGIVEN - 5.0)
    assert core.node.healing.now is not None
    core.tick(10.0)
    assert core.node.healing.now is None
    assert core.node.healing.past[-1].outcome == "it runs again"


def test_a_person_starts_a_failed_node_at_once() -> None:
    core = running(spec())
    crash_loop(core, GIVEN_UP - 1)
    core.exits(core.serving()[0], "code 1")
    assert starts(core.order("start"))


def test_what_crashes_now_and_then_is_restarted_at_once_for_ever() -> None:
    core = running(spec())
    for _ in range(5 * GIVEN_UP):
        core.tick(FORGIVEN + 1.0)
        assert starts(core.exits(core.serving()[0], "signal 9"))
        come_up(core)
    assert core.node.backoff.failures == 1


def test_instances_that_fall_in_one_blow_are_one_failure() -> None:
    core = running(spec(instances=12))
    core.tick(5.0)
    for name in tuple(core.node.instances):
        core.exits(name, "signal 9")
    assert core.node.backoff.failures == 1
    assert core.node.restarts == 12
    assert len(core.node.instances) == 12


def test_a_second_spare_stands_by_while_crashes_come_close_together() -> None:
    core = running(spec(spares=1))
    core.exits(core.serving()[0])
    core.tick(0.1)
    assert (wanted_spares(core.node, core.at), len(core.node.of(Role.SPARE))) == (1, 1)
    come_up(core)
    core.exits(core.serving()[0])
    core.tick(2.0)
    assert len(core.node.of(Role.SPARE)) == 2
    come_up(core)
    core.tick(3 * FORGIVEN)
    core.leave()
    assert [i.role for i in core.node.instances.values()].count(Role.SPARE) == 1


def test_growth_does_not_climb_the_ladder_of_a_crash_loop() -> None:
    core = running(spec())
    crash_loop(core, GIVEN_UP)
    before = core.node.healing.now
    assert before is not None and before.signature != GROWTH
    come_up(core)
    name = core.serving()[0]
    for step in range(20):
        core.tick(1.0, {name: (20 + 10 * step) * 1_048_576})
    assert core.node.healing.now is None or core.node.healing.now.signature != GROWTH
