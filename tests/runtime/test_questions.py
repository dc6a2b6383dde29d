"""What does a program that asks an instance say of it, and to whom?"""

from dataclasses import replace

import pytest

from noded.adapters.masking import masked
from noded.launch import Launch, Ran
from noded.model.instance import Instance
from noded.ports import Clock, NotFound, PortError, Refused, Unavailable
from noded.runtime.questions import GOOD, LATE_RUN, UNKNOWN, Heard, Questions
from nodespec.manifest import Health, Probe
from tests.adapters.looped import looped
from tests.fakes.clock import FakeClock
from tests.fakes.inbox import FakeInbox
from tests.fakes.probes import FakeProbes
from tests.fakes.processes import FakeProcesses
from tests.runtime.nouns import instance, spec

SPEC = spec(
    health=Health(Probe.EXEC, command=("check", "--token", "hunter22")), env=(("DB_PASSWORD", "s3cr3tvalue"),)
)


def inside(one: Instance, argv: tuple[str, ...]) -> Launch:
    return Launch("catalog", "", argv, "/", (), "dynamic")


class Runs(FakeProcesses):
    def __init__(self, clock: FakeClock, end: Ran | PortError, takes: float = 0.0) -> None:
        super().__init__(FakeInbox(), clock)
        self.end, self.takes, self.held_up = end, takes, clock

    async def run(self, launch: Launch, timeout: float, into: str = "") -> Ran:
        self.ran.append((launch, timeout, into))
        self.held_up.advance(self.takes)
        if isinstance(self.end, PortError):
            raise self.end
        return self.end


def asking(end: Ran | PortError, takes: float = 0.0) -> tuple[Questions, Runs]:
    clock = FakeClock()
    runs = Runs(clock, end, takes)
    held: Clock = clock
    return Questions(held, FakeProbes(), runs, inside, masked), runs


LATE = Ran("signal 9", "waiting\n", 2.0, timed_out=True)
ENDS = [
    (Ran("code 0", "all is well\n", 0.1), GOOD),
    (
        Ran("code 3", "looked\nno\x1b[31m queue\n", 0.1),
        Heard(False, "it was answered with code 3", "no [31m queue"),
    ),
    (Ran("code 1", "", 0.1), Heard(False, "it was answered with code 1")),
    (
        Ran("code 1", "postgres://u:pw@db\n", 0.1),
        Heard(False, "it was answered with code 1", "postgres://***db"),
    ),
    (Ran("code 1", "the s3cr3tvalue\n", 0.1), Heard(False, "it was answered with code 1", "the ***")),
    (Ran("code 1", "nd of a line", 0.1, truncated=True), Heard(False, "it was answered with code 1")),
    (LATE, Heard(False, "no answer within 2 s", "waiting")),
    (replace(LATE, status="code 0"), Heard(False, "no answer within 2 s", "waiting")),
    (Unavailable("no launcher"), UNKNOWN),
    (NotFound("no instance"), UNKNOWN),
    (Refused("no such program"), Heard(False, "no such program")),
]


@pytest.mark.parametrize(("end", "heard"), ENDS)
@looped
async def test_how_it_ended_is_told_to_all_and_what_it_said_to_operators(
    end: Ran | PortError, heard: Heard
) -> None:
    questions, runs = asking(end)
    assert await questions.alive(SPEC, instance(), 0.05) == heard
    ((launch, timeout, into),) = runs.ran
    assert (launch.argv, into) == (SPEC.health.command, "catalog.1")
    assert timeout == 2.0, "a program has to be started first"


@looped
async def test_one_that_we_held_up_says_nothing_of_the_instance() -> None:
    questions, _ = asking(LATE, takes=2.0 + 2 * LATE_RUN)
    assert await questions.alive(SPEC, instance(), 0.05) == UNKNOWN


def test_the_command_is_named_without_what_it_hides() -> None:
    questions, _ = asking(LATE)
    assert questions.words(SPEC, Probe.EXEC) == "check --token ***"
