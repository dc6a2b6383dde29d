"""Which events does everybody carry, how fast, and did each one arrive?

Every event says which flow it belongs to, its place in it, and when it was published: nanoseconds of
CLOCK_MONOTONIC, which all processes of a host share.
"""

import json
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain, cycle, repeat
from typing import Any

SIZE = 256
HEAD = struct.Struct("<IIQ")
FILLER = bytes(range(SIZE - HEAD.size))
WHOLE = struct.Struct(f"{HEAD.format}{len(FILLER)}s")
ENCODER = json.JSONEncoder(separators=(",", ":"))
TRACED_EVERY = 100
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
AT_ONCE = 256
"""Events published in a row before the program looks at what has arrived."""
ACKS_PENDING = 20_000
"""Published events whose acknowledgement a program has not looked at; JetStream's client has a limit of its
own, and its default of 4,000 is no faster."""

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["flow", "place", "sent", "customer", "currency", "items"],
    "additionalProperties": False,
    "properties": {
        "flow": {"type": "integer", "minimum": 0},
        "place": {"type": "integer", "minimum": 0},
        "sent": {"type": "integer", "minimum": 0},
        "customer": {"type": "string", "minLength": 1, "maxLength": 40},
        "currency": {"enum": ["EUR", "USD"]},
        "note": {"type": "string", "maxLength": 200},
        "items": {
            "type": "array",
            "minItems": 1,
            "maxItems": 50,
            "items": {
                "type": "object",
                "required": ["sku", "price", "count"],
                "properties": {
                    "sku": {"type": "string", "minLength": 1},
                    "price": {"type": "number", "minimum": 0},
                    "count": {"type": "integer", "minimum": 1},
                },
            },
        },
    },
}


@dataclass(frozen=True, slots=True)
class Job:
    """What one program does, as its only argument says it."""

    name: str
    address: str
    flows: tuple[tuple[int, str], ...]
    """Number and type of each."""
    each: int
    """Events of one flow."""
    format: str = "bytes"
    """Or "json": validated before it is published, decoded where it is consumed."""
    rate: int = 0
    """Events a second; 0: as fast as it goes."""

    @property
    def total(self) -> int:
        return self.each * len(self.flows)

    @property
    def domains(self) -> list[str]:
        """The types without their last word."""
        return list(dict.fromkeys(kind.rpartition(".")[0] for _, kind in self.flows))

    def written(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> "Job":
        found = json.loads(text)
        found["flows"] = tuple((number, kind) for number, kind in found["flows"])
        return cls(**found)


def packed(flow: int, place: int) -> bytes:
    return HEAD.pack(flow, place, time.monotonic_ns()) + FILLER


def order(flow: int, place: int) -> dict[str, object]:
    """About as many bytes in JSON."""
    return {
        "flow": flow,
        "place": place,
        "sent": time.monotonic_ns(),
        "customer": "customer-0000417",
        "currency": "EUR",
        "note": "leave it with the neighbours on the left hand side, please",
        "items": [
            {"sku": "A-1043-blue", "price": 12.5, "count": 3},
            {"sku": "B-77", "price": 250, "count": 1},
        ],
    }


def compact(value: object) -> bytes:
    return ENCODER.encode(value).encode()


def contract() -> Callable[[object], str]:
    """What is wrong with an order, by the judge that nodekit uses."""
    from nodekit.schema import judge

    return judge(SCHEMA)


def source(job: Job) -> Iterator[tuple[str, Any, bool]]:
    if job.format == "json":
        return made(job, order)
    # How late it came is asked only of a run with a rate.
    return made(job, packed) if job.rate else made(job, WHOLE.pack, 0, FILLER)


def made(job: Job, make: Callable[..., Any], *more: object) -> Iterator[tuple[str, Any, bool]]:
    """Type and data of every event, flows by turns, and whether it belongs to somebody's trace.

    Data is made only when it is asked for: the time within is that of publishing. No step of Python but
    `make`, as this is measured with whatever carries the events.
    """
    flows, kinds = zip(*job.flows, strict=True)
    places = chain.from_iterable(zip(*(range(job.each),) * len(flows), strict=True))
    traced = (False,) * (TRACED_EVERY - 1) + (True,)
    data = map(make, cycle(flows), places, *map(repeat, more))
    return zip(cycle(kinds), data, cycle(traced), strict=False)


class Pace:
    """How many events may be published now?"""

    def __init__(self, rate: int, total: int) -> None:
        self.left = total
        self._rate = rate
        self._total = total
        self._began = time.monotonic()

    def due(self) -> int:
        if not self._rate:
            count = min(AT_ONCE, self.left)
        else:
            by_now = int((time.monotonic() - self._began) * self._rate) + 1
            count = min(by_now, self._total) - (self._total - self.left)
        self.left -= count
        return count

    def wait(self) -> float:
        """Seconds until the next one is due."""
        if not self._rate:
            return 0.0
        return max(0.0, self._began + (self._total - self.left) / self._rate - time.monotonic())


class Tally:
    """Which events have come, how often, and how late?"""

    def __init__(self, job: Job, complete: Callable[[], None]) -> None:
        self.got = 0
        self._marks = {flow: bytearray(job.each) for flow, _ in job.flows}
        self._expected = job.total
        self._delays: list[int] | None = [] if job.rate else None
        self._complete = complete
        self._finished = 0

    def take(self, flow: int, place: int, sent: int) -> None:
        self._marks[flow][place] = 1
        self.got += 1
        if self._delays is not None:
            self._delays.append(time.monotonic_ns() - sent)
        if self.got >= self._expected and not self._finished:
            self._look()

    def _look(self) -> None:
        if not self.missing():
            self._finished = time.monotonic_ns()
            self._complete()

    def missing(self) -> int:
        return self._expected - sum(marks.count(1) for marks in self._marks.values())

    def told(self) -> dict[str, object]:
        missing = self.missing()
        delays = sorted(self._delays or ())
        return {
            "finished": self._finished or time.monotonic_ns(),
            "missing": missing,
            "repeated": self.got - (self._expected - missing),
            "delays_us": [
                delays[min(len(delays) - 1, int(len(delays) * share))] / 1000 for share in (0.5, 0.99)
            ]
            if delays
            else [],
        }
