"""One load through one broker, by fresh processes: how fast, at what cost, how late, and did all arrive?"""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.brokers import Broker
from tests.bench.load.events import Job
from tests.bench.measured import Program
from tests.bench.two_meshes import TwoMeshes

LONGEST = 300.0
"""Seconds that one load may take."""


@dataclass(frozen=True, slots=True)
class Load:
    """`each` events of every flow; every consumer gets all of the domains that it names."""

    publishers: tuple[tuple[tuple[int, str], ...], ...]
    consumers: tuple[tuple[str, ...], ...]
    each: int
    format: str = "bytes"
    rate: int = 0

    def jobs(self, address: str) -> tuple[list[Job], list[Job]]:
        flows = [flow for publisher in self.publishers for flow in publisher]
        consumed = [
            tuple(flow for flow in flows if flow[1].rpartition(".")[0] in domains)
            for domains in self.consumers
        ]
        publishing = [
            Job(f"p{number}", address, flows, self.each, self.format, self.rate)
            for number, flows in enumerate(self.publishers)
        ]
        consuming = [
            Job(f"c{number}", address, flows, self.each, self.format, self.rate)
            for number, flows in enumerate(consumed)
        ]
        return publishing, consuming


def single(events: int, form: str = "bytes", rate: int = 0) -> Load:
    """One publisher, one consumer, one type."""
    return Load((((0, "bench.d0.t0"),),), (("bench.d0",),), events, form, rate)


def many(events: int) -> Load:
    """10 publishers of 2 types each, by turns; 5 consumers of 8 types each: every event goes to two."""
    kinds = [(number, f"bench.d{number % 5}.t{number}") for number in range(20)]
    publishers = tuple((kinds[2 * number], kinds[2 * number + 1]) for number in range(10))
    consumers = tuple((f"bench.d{number}", f"bench.d{(number + 1) % 5}") for number in range(5))
    return Load(publishers, consumers, events // 20)


@dataclass(frozen=True, slots=True)
class Carried:
    evs: float
    """Events delivered in a second, from the first publish to the last handler."""
    cpu_us: float
    """Of all processes, for each event delivered."""
    publishing_us: float
    broker_us: float
    consuming_us: float
    missing: int
    repeated: int
    p50_ms: float
    p99_ms: float
    resident_mb: float
    """Of the broker at the end."""


def carry(broker: Broker | TwoMeshes, load: Load) -> Carried:
    publishing, consuming = load.jobs(broker.address)
    broker.admit(publishing, consuming)
    programs: list[Program] = []
    try:
        consumers = [_begun(broker, "consume", job, programs) for job in consuming]
        broker.await_consumers(consuming)
        publishers = [_begun(broker, "publish", job, programs) for job in publishing]
        groups = (publishers, [broker.daemon], consumers)
        before = [_cpu(group) for group in groups]
        for publisher in publishers:
            publisher.tell("go")
        for program in (*publishers, *consumers):
            program.expect("done", LONGEST)
        spent = [_cpu(group) - earlier for group, earlier in zip(groups, before, strict=True)]
        resident = broker.daemon.resident()
        published, arrived = [[one.told() for one in group] for group in (publishers, consumers)]
    finally:
        for program in programs:
            program.end()
    total = sum(job.total for job in consuming)
    return _summed_up(published, arrived, total, spent, resident)


def _begun(broker: Broker | TwoMeshes, role: str, job: Job, programs: list[Program]) -> Program:
    program = broker.program(role, job)
    programs.append(program)
    program.expect("ready", 30.0)
    return program


def _cpu(programs: Sequence[Program]) -> float:
    return sum(program.cpu() for program in programs)


def _summed_up(
    published: list[dict[str, object]],
    arrived: list[dict[str, object]],
    total: int,
    spent: list[float],
    resident: int,
) -> Carried:
    missing = sum(_number(one["missing"]) for one in arrived)
    delivered = max(1, total - missing)
    began = min(_number(one["began"]) for one in published)
    finished = max(_number(one["finished"]) for one in arrived)
    delays = [one["delays_us"] for one in arrived if one["delays_us"]]
    p50, p99 = (max(each[place] for each in delays) / 1000 if delays else 0.0 for place in (0, 1))
    costs = [seconds * 1e6 / delivered for seconds in spent]
    return Carried(
        evs=delivered / ((finished - began) / 1e9),
        cpu_us=sum(costs),
        publishing_us=costs[0],
        broker_us=costs[1],
        consuming_us=costs[2],
        missing=missing,
        repeated=sum(_number(one["repeated"]) for one in arrived),
        p50_ms=p50,
        p99_ms=p99,
        resident_mb=resident / 1e6,
    )


def _number(value: object) -> int:
    assert isinstance(value, int)
    return value
