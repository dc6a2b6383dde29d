"""What is said about frames, as bytes? Published and ConsumeRequest of mesh.proto, by hand."""

from collections.abc import Sequence
from dataclasses import dataclass

from .fields import (
    WireError,
    as_bytes,
    as_double,
    as_int,
    chunk,
    column,
    double,
    fields,
    number,
    numbers,
    read_text,
    text,
)

RETRY, REJECT, RELEASE = 0, 1, 2
"""How an event was not handled: again later, never again, not tried."""


@dataclass(frozen=True, slots=True)
class Refusal:
    first: int = 0
    count: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Published:
    through: int = 0
    window: int = 0
    refused: tuple[Refusal, ...] = ()
    waiting: str = ""

    def encode(self) -> bytes:
        refused = [
            chunk(3, number(1, each.first) + number(2, each.count) + text(3, each.reason))
            for each in self.refused
        ]
        return b"".join((number(1, self.through), number(2, self.window), *refused, text(4, self.waiting)))


@dataclass(frozen=True, slots=True)
class Wish:
    type: str = ""
    attempts: int = 0
    timeout: float = 0.0


@dataclass(frozen=True, slots=True)
class Subscribe:
    instance: str = ""
    wishes: tuple[Wish, ...] = ()
    granted: int = 0
    keeps_order: bool = False

    def encode(self) -> bytes:
        """As a ConsumeRequest."""
        wishes = [
            chunk(2, text(1, each.type) + number(2, each.attempts) + double(3, each.timeout))
            for each in self.wishes
        ]
        return chunk(
            1,
            b"".join(
                (
                    text(1, self.instance),
                    *wishes,
                    number(3, self.granted),
                    number(4, int(self.keeps_order)),
                )
            ),
        )


@dataclass(frozen=True, slots=True)
class Failed:
    delivery: int = 0
    event: int = 0
    how: int = RETRY
    after: float = 0.0
    reason: str = ""

    def encode(self) -> bytes:
        return b"".join(
            (
                number(1, self.delivery),
                number(2, self.event),
                number(3, self.how),
                double(4, self.after),
                text(5, self.reason),
            )
        )


@dataclass(frozen=True, slots=True)
class Settle:
    through: int = 0
    done: Sequence[int] = ()
    failed: Sequence[Failed] = ()
    granted: int = 0
    working: Sequence[int] = ()

    def encode(self) -> bytes:
        """As a ConsumeRequest."""
        failed = [chunk(3, each.encode()) for each in self.failed]
        return chunk(
            2,
            b"".join(
                (
                    number(1, self.through),
                    column(2, self.done),
                    *failed,
                    number(4, self.granted),
                    column(5, self.working),
                )
            ),
        )


def decode_published(raw: bytes) -> Published:
    through = window = 0
    refused: list[Refusal] = []
    waiting = ""
    for key, value in fields(raw):
        if key == 1:
            through = as_int(value)
        elif key == 2:
            window = as_int(value)
        elif key == 3:
            refused.append(read_refusal(as_bytes(value)))
        elif key == 4:
            waiting = read_text(value)
    return Published(through, window, tuple(refused), waiting)


def read_refusal(raw: bytes) -> Refusal:
    found = dict(fields(raw))
    return Refusal(as_int(found.get(1, 0)), as_int(found.get(2, 0)), read_text(found.get(3, b"")))


def decode_request(raw: bytes) -> Subscribe | Settle:
    """What a consumer says, read as the mesh reads it."""
    said: Subscribe | Settle | None = None
    for key, value in fields(raw):
        if key == 1:
            said = read_subscribe(as_bytes(value))
        elif key == 2:
            said = read_settle(as_bytes(value))
    if said is None:
        raise WireError("expected subscribe or settle")
    return said


def read_subscribe(raw: bytes) -> Subscribe:
    wishes: list[Wish] = []
    one: dict[int, int | bytes] = {}
    for key, value in fields(raw):
        if key == 2:
            wish = dict(fields(as_bytes(value)))
            wishes.append(
                Wish(read_text(wish.get(1, b"")), as_int(wish.get(2, 0)), as_double(wish.get(3, 0)))
            )
        else:
            one[key] = value
    instance = read_text(one.get(1, b""))
    return Subscribe(instance, tuple(wishes), as_int(one.get(3, 0)), bool(one.get(4, 0)))


def read_settle(raw: bytes) -> Settle:
    many: dict[int, list[int | bytes]] = {1: [0], 2: [], 3: [], 4: [0], 5: []}
    for key, value in fields(raw):
        if key in many:
            many[key].append(value)
    failed = [read_failed(as_bytes(value)) for value in many[3]]
    return Settle(as_int(many[1][-1]), numbers(many[2]), failed, as_int(many[4][-1]), numbers(many[5]))


def read_failed(raw: bytes) -> Failed:
    found = dict(fields(raw))
    delivery, event, how = (as_int(found.get(key, 0)) for key in (1, 2, 3))
    return Failed(delivery, event, how, as_double(found.get(4, 0)), read_text(found.get(5, b"")))
