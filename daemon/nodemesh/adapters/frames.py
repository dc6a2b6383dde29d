"""What do the bytes of a frame say, and what do those that go on look like?

A frame is checked once, when its publisher hands it in; from then on its bytes are trusted. Texts are
measured in bytes of UTF-8.
"""

import re
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import TypeVar
from zlib import crc32

from google.protobuf.message import DecodeError

from nodeapi.v1.mesh_pb2 import Delivery, Frame
from nodeapi.v1.mesh_pb2 import Extra as ExtraMessage
from nodeapi.v1.mesh_pb2 import Head as HeadMessage
from nodemesh.model.frame import (
    LONGEST_EVENT,
    LONGEST_FRAME,
    MOST_BYTES,
    MOST_EVENTS,
    Columns,
    Head,
    Places,
)
from nodemesh.ports import Carried, Refused

LONGEST_SOURCE = LONGEST_TYPE = LONGEST_CONTENT = LONGEST_CAUSE = 256
LONGEST_STREAM = LONGEST_VERSION = LONGEST_INSTANCE = 128
LONGEST_SUBJECT = LONGEST_SCHEMA = LONGEST_ATTRIBUTE = 1024
LONGEST_TRACESTATE = 512
"""Least that W3C Trace Context (3.3.1.5) asks everybody to pass on."""
MOST_ATTRIBUTES = 32
"""Of one event."""
NEWEST = 253_402_300_800_000_000
"""Microseconds of the first day of the year 10000: what dates of people cannot say."""
LAST = 2**63 - 1
"""Highest sequence: the widest whole number of SQLite."""

_HEAD, _DELIVERY = b"\x0a", b"\x7a"
"""Tags of fields 1 and 15."""
_CONTROL = bytes((*range(32), 127))
_NAME = re.compile("[a-z0-9]{1,20}")
_CORE = frozenset("specversion id source type subject time datacontenttype dataschema data".split())
"""What CloudEvents says of every event; no extension may have such a name."""
_encode = str.encode
_extra = attrgetter("event", "trace", "span", "cause", "tracestate", "schema", "attributes")


Value = TypeVar("Value", int, str, bytes)


def read(data: bytes) -> tuple[Head, Columns]:
    """Of a frame with events, checked whole. Columns are empty when it has one type and no subjects.

    Raises Refused.
    """
    frame, head = _parse(data)
    _text("head.source", head.source, LONGEST_SOURCE, least=1)
    _text("head.content", head.content, LONGEST_CONTENT)
    if not 1 <= head.first <= LAST - MOST_EVENTS:
        raise Refused(f"head.first: expected a sequence, 1 or more, found {head.first}")
    if not 0 < head.at < NEWEST:
        raise Refused(f"head.at: expected microseconds since the epoch, found {head.at}")
    _check_size(frame, head.count, len(data))
    _check_types(head.types)
    _check_columns(frame, head.count)
    if frame.extra:
        _check_extra(frame.extra, head.count)
    types = _type_column(frame, len(head.types))
    return _head(head), Columns(types, _key_column(frame))


def hello(data: bytes) -> tuple[Head, str, bool]:
    """Of a stream's first frame: its head, the instance that speaks, whether its events are checked already.

    Raises Refused.
    """
    frame, head = _parse(data)
    if frame.data or frame.extra or head.first or head.count or head.types:
        raise Refused("first frame of a stream: expected no events, only head.instance, stream and checked")
    _text("head.source", head.source, LONGEST_SOURCE)
    _text("head.instance", head.instance, LONGEST_INSTANCE, least=1)
    return _head(head), head.instance, head.checked


def last(data: bytes) -> int:
    """Sequence of the last event, from the head alone; of bytes that `read` took."""
    head = _first_field(data)
    return head.first + head.count - 1


def keys(data: bytes) -> tuple[int, ...]:
    """Of every event; empty when none has a subject."""
    return tuple(Frame.FromString(data).columns.key)


def part(data: bytes, places: Places) -> bytes:
    """A frame with these events only, in a head whose count is theirs and whose first is the whole's.

    Event i has the sequence `head.first + columns.index[i]`.
    """
    whole = Frame.FromString(data)
    made = Frame(data=_chosen(whole.data, places))
    made.head.CopyFrom(whole.head)
    made.head.count = len(places)
    had, has = whole.columns, made.columns
    has.type.extend(_chosen(had.type, places))
    has.after.extend(_chosen(had.after, places))
    has.subject.extend(_chosen(had.subject, places))
    has.key.extend(_chosen(had.key, places))
    has.index.extend(_chosen(had.index, places) if had.index else places)
    if whole.extra:
        renumbered = {place: number for number, place in enumerate(places)}
        made.extra.extend(extra for extra in whole.extra if extra.event in renumbered)
        for extra in made.extra:
            extra.event = renumbered[extra.event]
    return made.SerializeToString()


def piece(data: bytes, start: int, stop: int) -> bytes:
    """Neighbouring events as a whole frame of their own: the same ids, types and times."""
    made = Frame.FromString(part(data, range(start, stop)))
    head, columns = made.head, made.columns
    head.first += start
    columns.ClearField("index")
    if columns.type:
        used = sorted(set(columns.type))
        types = [head.types[number] for number in used]
        numbers = {number: place for place, number in enumerate(used)}
        renumbered = [numbers[number] for number in columns.type]
        head.types[:] = types
        columns.type[:] = renumbered if len(types) > 1 else []
    return made.SerializeToString()


def single(data: bytes, place: int) -> bytes:
    """That event as a whole frame of its own."""
    return piece(data, place, place + 1)


def events(data: bytes) -> Sequence[bytes]:
    """The data of every event."""
    return Frame.FromString(data).data


def delivered(data: bytes, delivery: Delivery) -> bytes:
    """The same bytes, and behind them the delivery: protobuf reads fields in any order."""
    said = delivery.SerializeToString()
    return b"".join((data, _DELIVERY, _varint(len(said)), said))


def carried(data: bytes) -> Carried | None:
    """Of a frame from another mesh, which checked it.

    None for one without events. Raises Refused.
    """
    try:
        frame = Frame.FromString(data)
    except DecodeError as error:
        raise Refused(f"frame: expected a message nodeapi.v1.Frame: {error}") from error
    if not frame.HasField("head"):
        return None
    count, types, columns = len(frame.data), tuple(frame.head.types), frame.columns
    if not 1 <= count <= MOST_EVENTS or not types or frame.head.count != count:
        raise Refused(f"frame: expected 1 to {MOST_EVENTS} events as its head says, found {count}")
    if any(column and len(column) != count for column in (columns.type, columns.key, columns.index)):
        raise Refused(f"columns: expected none or {count} values")
    if columns.type and max(columns.type) >= len(types):
        raise Refused(f"columns.type: expected below {len(types)}, found {max(columns.type)}")
    delivery = frame.delivery
    tail = delivered(b"", delivery)
    if data.endswith(tail):
        rest = data[: -len(tail)]
    else:
        bare = Frame()
        bare.CopyFrom(frame)
        bare.ClearField("delivery")
        rest = bare.SerializeToString()
    type_column = tuple(columns.type) if len(types) > 1 else ()
    return Carried(count, types, Columns(type_column, tuple(columns.key)), delivery, rest)


def _parse(data: bytes) -> tuple[Frame, HeadMessage]:
    if len(data) > LONGEST_FRAME:
        raise Refused(f"frame: expected at most {LONGEST_FRAME} bytes, found {len(data)}")
    if data[:1] != _HEAD:
        raise Refused("frame: expected field 1, head, first")
    try:
        frame = Frame.FromString(data)
        if _first_field(data) != frame.head:
            raise Refused("frame: expected one head, found several")
    except DecodeError as error:
        raise Refused(f"frame: expected a message nodeapi.v1.Frame: {error}") from error
    if frame.HasField("delivery"):
        raise Refused("delivery: expected none from a publisher; the mesh adds it")
    head = frame.head
    _text("head.stream", head.stream, LONGEST_STREAM, least=1)
    _text("head.version", head.version, LONGEST_VERSION)
    return frame, head


def _first_field(data: bytes) -> HeadMessage:
    size, shift, at = 0, 0, 1
    while data[at] > 127:
        size, shift, at = size | (data[at] & 127) << shift, shift + 7, at + 1
    at, size = at + 1, size | data[at] << shift
    return HeadMessage.FromString(data[at : at + size])


def _head(head: HeadMessage) -> Head:
    return Head(
        source=head.source,
        stream=head.stream,
        first=head.first,
        count=head.count,
        at=head.at / 1e6,
        types=tuple(head.types),
        version=head.version,
        content=head.content,
    )


def _check_size(frame: Frame, count: int, length: int) -> None:
    if not 1 <= count <= MOST_EVENTS:
        raise Refused(f"head.count: expected 1 to {MOST_EVENTS}, found {count}")
    if len(frame.data) != count:
        raise Refused(f"data: expected {count} events as head.count says, found {len(frame.data)}")
    most = LONGEST_EVENT if count == 1 else MOST_BYTES
    # Before a field are 2 bytes or more; 3 before an event of 128 bytes, and shorter ones are never too many.
    if length - frame.head.ByteSize() - 2 - 3 * count <= most:
        return
    size = sum(map(len, frame.data))
    if size > most:
        many = "an event of" if count == 1 else f"{count} events of together"
        raise Refused(f"data: expected {many} at most {most} bytes, found {size}")


def _check_types(types: Sequence[str]) -> None:
    if not 1 <= len(types) <= MOST_EVENTS:
        raise Refused(f"head.types: expected 1 to {MOST_EVENTS}, found {len(types)}")
    for place, each in enumerate(types):
        _text(f"head.types[{place}]", each, LONGEST_TYPE, least=1)
    if len(set(types)) != len(types):
        raise Refused("head.types: expected each once")


def _check_columns(frame: Frame, count: int) -> None:
    columns = frame.columns
    for name, column in (
        ("type", columns.type),
        ("after", columns.after),
        ("subject", columns.subject),
        ("key", columns.key),
    ):
        if column and len(column) != count:
            raise Refused(f"columns.{name}: expected none or {count}, found {len(column)}")
    if columns.index:
        raise Refused("columns.index: expected none in a whole frame; the mesh makes parts")
    if bool(columns.subject) != bool(columns.key):
        raise Refused("columns.key: expected one for every subject, and none without subjects")


def _type_column(frame: Frame, types: int) -> tuple[int, ...]:
    found = tuple(frame.columns.type)
    if found and max(found) >= types:
        place = next(place for place, each in enumerate(found) if each >= types)
        raise Refused(f"columns.type[{place}]: expected below {types}, found {found[place]}")
    if len(set(found) or (0,)) != types:
        raise Refused("head.types: expected only types that occur in columns.type")
    return found if types > 1 else ()


def _key_column(frame: Frame) -> tuple[int, ...]:
    if not frame.columns.key:
        return ()
    subjects, found = list(map(_encode, frame.columns.subject)), tuple(frame.columns.key)
    expected = tuple(map(crc32, subjects))
    if expected != found:
        place = next(place for place, key in enumerate(expected) if key != found[place])
        text = f"CRC-32 (ISO 3309) of the subject, {expected[place]}, found {found[place]}"
        raise Refused(f"columns.key[{place}]: expected {text}")
    together = b"".join(subjects)
    if max(map(len, subjects)) > LONGEST_SUBJECT or len(together.translate(None, _CONTROL)) != len(together):
        for place, subject in enumerate(frame.columns.subject):
            _text(f"columns.subject[{place}]", subject, LONGEST_SUBJECT)
    return found


def _check_extra(extras: Iterable[ExtraMessage], count: int) -> None:
    seen: set[int] = set()
    for event, trace, span, cause, tracestate, schema, attributes in map(_extra, extras):
        if event >= count or event in seen:
            raise Refused(f"extra.event: expected places below {count}, each once, found {event}")
        seen.add(event)
        if len(trace) not in (0, 16) or len(span) not in (0, 8):
            raise Refused(f"extra of event {event}: expected a trace of 16 bytes and a span of 8, or none")
        if cause and not (len(cause) <= LONGEST_CAUSE and cause.isascii() and cause.isprintable()):
            _text(f"extra.cause of event {event}", cause, LONGEST_CAUSE)
        if tracestate:
            _text(f"extra.tracestate of event {event}", tracestate, LONGEST_TRACESTATE)
        if schema:
            _text(f"extra.schema of event {event}", schema, LONGEST_SCHEMA)
        if attributes:
            _check_attributes(event, dict(attributes))


def _check_attributes(event: int, attributes: dict[str, str]) -> None:
    where = f"extra.attributes of event {event}"
    if len(attributes) > MOST_ATTRIBUTES:
        raise Refused(f"{where}: expected at most {MOST_ATTRIBUTES}, found {len(attributes)}")
    for name, value in attributes.items():
        if not _NAME.fullmatch(name) or name in _CORE:
            text = "an extension's name, 1 to 20 of a-z and 0-9 and not one of CloudEvents' own"
            raise Refused(f"{where}: expected {text}, found {_shown(name)}")
        _text(f"{where}: {name}", value, LONGEST_ATTRIBUTE)


def _text(where: str, text: str, most: int, least: int = 0) -> None:
    if least <= len(text) <= most and text.isascii() and text.isprintable():
        return
    said = text.encode()
    if not least <= len(said) <= most:
        raise Refused(f"{where}: expected {least} to {most} bytes, found {len(said)}")
    if len(said.translate(None, _CONTROL)) != len(said):
        raise Refused(f"{where}: expected no control characters, found {_shown(text)}")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 64 else text[:61] + "...")


def _chosen(column: Sequence[Value], places: Places) -> Sequence[Value]:
    if not column:
        return ()
    if isinstance(places, range) and places.step == 1:
        return column[places.start : places.stop]
    return [column[place] for place in places]


def _varint(number: int) -> bytes:
    written = bytearray()
    while number > 127:
        written.append(number & 127 | 128)
        number >>= 7
    written.append(number)
    return bytes(written)
