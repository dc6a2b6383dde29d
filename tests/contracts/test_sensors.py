"""What must hold for all sensors?"""

import os
from collections.abc import Callable

import pytest

from noded.adapters.proc import start_time
from noded.adapters.proc_sensors import ProcSensors
from noded.model.instance import Process, Vitals
from noded.model.liveness import Pressure
from noded.ports import Look, Sensors
from tests.fakes.clock import FakeClock
from tests.fakes.inbox import FakeInbox
from tests.fakes.nodes import FakeNodes
from tests.fakes.sensors import FakeSensors

ALIVE = Process(os.getpid(), start_time(os.getpid()), os.geteuid())


def faked() -> Sensors:
    return FakeSensors(
        {ALIVE.pid: Vitals(memory=2**20, threads=1)},
        {ALIVE.pid: Look(1.5, 0.25, "R")},
        Pressure(0.1, 0.0, 0.0),
    )


def real() -> Sensors:
    return ProcSensors(FakeNodes(FakeInbox(), FakeClock()))


@pytest.mark.parametrize("make", [faked, real])
def test_what_lives_has_readings(make: Callable[[], Sensors]) -> None:
    found = make().read("a.1", ALIVE, 1.0)
    assert found is not None
    assert found.memory > 0
    assert found.threads > 0
    assert found.cpu >= 0
    assert found.heartbeat_age == -1.0


@pytest.mark.parametrize("make", [faked, real])
def test_what_has_vanished_has_none(make: Callable[[], Sensors]) -> None:
    assert make().read("a.1", Process(2**22 + 1, 1, 0), 1.0) is None


@pytest.mark.parametrize("make", [faked, real])
def test_a_look_at_what_lives(make: Callable[[], Sensors]) -> None:
    found = make().look(ALIVE)
    assert found is not None
    assert found.cpu > 0
    assert found.waited >= 0
    assert found.state in ("R", "S", "D")


@pytest.mark.parametrize("make", [faked, real])
def test_no_look_at_what_has_vanished(make: Callable[[], Sensors]) -> None:
    assert make().look(Process(2**22 + 1, 1, 0)) is None


@pytest.mark.parametrize("make", [faked, real])
def test_pressure_is_a_share_or_not_told(make: Callable[[], Sensors]) -> None:
    found = make().pressure()
    for share in (found.cpu, found.memory, found.io):
        assert share == -1.0 or 0 <= share <= 1
