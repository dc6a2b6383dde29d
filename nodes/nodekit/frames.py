"""What does a frame of events look like as bytes? Frame of proto/nodeapi/v1/mesh.proto, by hand.

Protobuf's own library would be the SDK's only dependency, and an object per event costs more than all the
rest: events stay columns here, and what is seldom asked for is read only when somebody asks.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from struct import Struct, pack, unpack
from struct import error as StructError
from typing import Any, Generic, TypeVar

from .fields import (
    DATA,
    WireError,
    as_bytes,
    as_int,
    chunk,
    column,
    fields,
    number,
    numbers,
    read_field,
    read_text,
    read_varint,
    text,
)

MOST_EVENTS = 512
MOST_BYTES = 112 * 1024
"""Of the data in one frame with more than one event."""
LONGEST_EVENT = 1024 * 1024
LONGEST_FRAME = LONGEST_EVENT + 64 * 1024
T = TypeVar("T")
_MANY = 0x1A
TOGETHER = 32
"""Events of one length that are cut out at once, at a quarter of what each costs alone."""


@dataclass(frozen=True, slots=True)
class Head:
    source: str = ""
    stream: str = ""
    first: int = 0
    count: int = 0
    at: int = 0
    """Microseconds since the epoch."""
    types: tuple[str, ...] = ()
    content: str = ""
    version: str = ""
    instance: str = ""
    checked: bool = False

    def encode(self) -> bytes:
        return b"".join(
            (
                origin(self.source, self.stream),
                number(3, self.first),
                number(4, self.count),
                number(5, self.at),
                kinds(self.types, self.content, self.version, self.instance),
                number(10, int(self.checked)),
            )
        )


# What the heads of a publisher have in common.
@lru_cache(16)
def origin(source: str, stream: str) -> bytes:
    return text(1, source) + text(2, stream)


@lru_cache(16)
def kinds(types: tuple[str, ...], content: str, version: str, instance: str) -> bytes:
    each = [text(6, type, keep=True) for type in types]
    return b"".join((*each, text(7, content), text(8, version), text(9, instance)))


@dataclass(frozen=True, slots=True)
class Extra:
    event: int = 0
    trace: bytes = b""
    span: bytes = b""
    cause: str = ""
    tracestate: str = ""
    schema: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)

    def encode(self) -> bytes:
        pairs = [
            chunk(7, text(1, key, keep=True) + text(2, value, keep=True))
            for key, value in self.attributes.items()
        ]
        return b"".join(
            (
                number(1, self.event),
                chunk(2, self.trace) if self.trace else b"",
                chunk(3, self.span) if self.span else b"",
                text(4, self.cause),
                text(5, self.tracestate),
                text(6, self.schema),
                *pairs,
            )
        )


@dataclass(frozen=True, slots=True)
class Delivery:
    number: int = 0
    position: int = 0
    attempt: int = 0
    epoch: int = 0
    origin: str = ""

    def encode(self) -> bytes:
        return (
            number(1, self.number)
            + number(2, self.position)
            + number(3, self.attempt)
            + number(4, self.epoch)
            + text(5, self.origin)
        )


class Once(Generic[T]):
    """functools.cached_property without its lock, which costs more in Python 3.11 than what it keeps; to read
    the same bytes twice does no harm."""

    def __init__(self, read: Callable[[Any], T]) -> None:
        self.read = read

    def __get__(self, frame: object, kind: type) -> T:
        value = vars(frame)[self.read.__name__] = self.read(frame)
        return value


class Frame:
    """Events as they came. The columns hold nothing, or a value for each."""

    def __init__(self, head: bytes, columns: bytes, data: list[bytes], extras: list[bytes]) -> None:
        self.data = data
        self._head, self._columns, self._extras = head, columns, extras
        self.delivery = Delivery()

    @Once
    def head(self) -> Head:
        return read_head(self._head)

    @Once
    def _column(self) -> tuple[list[bytes], dict[int, list[int | bytes]]]:
        return split(self._columns)

    @Once
    def type(self) -> list[int]:
        return numbers(self._column[1].get(1, ()))

    @Once
    def after(self) -> list[int]:
        return numbers(self._column[1].get(2, ()))

    @Once
    def subject(self) -> list[str]:
        return [read_text(value) for value in self._column[0]]

    @Once
    def key(self) -> Sequence[int]:
        values = [pack("<I", each) if isinstance(each, int) else each for each in self._column[1].get(4, ())]
        packed = b"".join(values)
        if len(packed) % 4:
            raise WireError("columns.key: expected four bytes each")
        return unpack(f"<{len(packed) // 4}I", packed)

    @Once
    def index(self) -> list[int]:
        return numbers(self._column[1].get(5, ()))

    @Once
    def extra(self) -> dict[int, Extra]:
        """By place; most events have none."""
        return {extra.event: extra for extra in map(read_extra, self._extras)}

    def sequence(self, place: int) -> int:
        return self.head.first + (self.index[place] if self.index else place)


def encode_columns(
    type: Sequence[int] = (),
    after: Sequence[int] = (),
    subject: Sequence[str] = (),
    key: Sequence[int] = (),
    index: Sequence[int] = (),
) -> bytes:
    subjects = [text(3, each, keep=True) for each in subject]
    keys = chunk(4, pack(f"<{len(key)}I", *key)) if key else b""
    return b"".join((column(1, type), column(2, after), *subjects, keys, column(5, index)))


def encode_frame(
    head: Head, columns: bytes = b"", data: Sequence[bytes] = (), extras: Sequence[Extra] = ()
) -> bytes:
    parts = [chunk(1, head.encode())]
    if columns:
        parts.append(chunk(2, columns))
    # One list and one join: the cheapest way there is to lay many small things side by side.
    parts += [part for each in data for part in (DATA[len(each)], each)]
    parts += [chunk(4, each.encode()) for each in extras]
    return b"".join(parts)


def delivered(frame: bytes, delivery: Delivery) -> bytes:
    """What the mesh sends on: the same bytes with one field more."""
    return frame + chunk(15, delivery.encode())


def decode_frame(raw: bytes) -> Frame:
    """Raises WireError, or leaves it to the first look at what is read later."""
    data, others = split(raw)
    # Protobuf merges messages that come twice, and to merge is to lay their bytes side by side.
    head, columns, delivery = (b"".join(map(as_bytes, others.get(key, ()))) for key in (1, 2, 15))
    frame = Frame(head, columns, data, list(map(as_bytes, others.get(4, ()))))
    if delivery:
        frame.delivery = read_delivery(delivery)
    return frame


def split(raw: bytes) -> tuple[list[bytes], dict[int, list[int | bytes]]]:
    """Field 3, which both a frame and its columns have for each event; and the others. Raises WireError."""
    many: list[bytes] = []
    append = many.append
    others: dict[int, list[int | bytes]] = {}
    at, end = 0, len(raw)
    try:
        while at < end:
            if raw[at] == _MANY:
                if not many:
                    at = take_alike(raw, at, many)
                    continue
                size = raw[at + 1]
                if size < 128:
                    begin = at + 2
                elif raw[at + 2] < 128:
                    size += (raw[at + 2] << 7) - 128
                    begin = at + 3
                else:
                    size, begin = read_varint(raw, at + 1)
                at = begin + size
                append(raw[begin:at])
            else:
                key, value, at = read_field(raw, at)
                others.setdefault(key, []).append(value)
    except (IndexError, StructError):
        raise WireError("the frame is cut off") from None
    if at != end:
        raise WireError("the frame is cut off")
    return many, others


def take_alike(raw: bytes, at: int, many: list[bytes]) -> int:
    """Takes the field at that place and those behind it that are as long, without a look at each.

    Events of one kind often are: then the bytes of their tags and lengths stand one stride apart. Returns
    the place behind them. Raises IndexError, WireError.
    """
    size, begin = read_varint(raw, at + 1)
    stride = begin - at + size
    if raw[at:begin] != raw[at + stride : begin + stride]:
        many.append(raw[begin : begin + size])
        return at + stride
    count = (len(raw) - at) // stride
    for place in range(at, begin):
        same = raw[place : at + count * stride : stride]
        count = len(same) - len(same.lstrip(raw[place : place + 1]))
    end, step = at + count * stride, TOGETHER * stride
    if count >= TOGETHER:
        unpack_some = some_alike(begin - at, size).unpack_from
        for place in range(at, end - step + 1, step):
            many += unpack_some(raw, place)
    many += [
        raw[place + stride - size : place + stride] for place in range(at + len(many) * stride, end, stride)
    ]
    return end


@lru_cache(64)
def some_alike(before: int, size: int) -> Struct:
    return Struct(f"{before}x{size}s" * TOGETHER)


def read_head(raw: bytes) -> Head:
    texts = {1: "", 2: "", 7: "", 8: "", 9: ""}
    counts = {3: 0, 4: 0, 5: 0, 10: 0}
    types: list[str] = []
    for key, value in fields(raw):
        if key == 6:
            types.append(read_text(value))
        elif key in texts:
            texts[key] = read_text(value)
        elif key in counts:
            counts[key] = as_int(value)
    return Head(
        source=texts[1],
        stream=texts[2],
        first=counts[3],
        count=counts[4],
        at=counts[5],
        types=tuple(types),
        content=texts[7],
        version=texts[8],
        instance=texts[9],
        checked=bool(counts[10]),
    )


def read_delivery(raw: bytes) -> Delivery:
    counts, origin = {1: 0, 2: 0, 3: 0, 4: 0}, ""
    for key, value in fields(raw):
        if key == 5:
            origin = read_text(value)
        elif key in counts:
            counts[key] = as_int(value)
    return Delivery(counts[1], counts[2], counts[3], counts[4], origin)


def read_extra(raw: bytes) -> Extra:
    event, ids, texts = 0, {2: b"", 3: b""}, {4: "", 5: "", 6: ""}
    attributes: dict[str, str] = {}
    for key, value in fields(raw):
        if key == 1:
            event = as_int(value)
        elif key in ids:
            ids[key] = as_bytes(value)
        elif key in texts:
            texts[key] = read_text(value)
        elif key == 7:
            pair = dict(fields(as_bytes(value)))
            attributes[read_text(pair.get(1, b""))] = read_text(pair.get(2, b""))
    return Extra(event, ids[2], ids[3], texts[4], texts[5], texts[6], attributes)
