"""What is one frame as a row of a log file, and is it still what was written?

Every row carries a CRC-32 of all its values: SQLite itself notices no changed byte within a page.
"""

import json
import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, TypeAlias
from zlib import crc32

from nodemesh.adapters.sqlite_errors import Damaged
from nodemesh.model.frame import Columns, Head, Stored

Row: TypeAlias = tuple[Any, ...]

SCHEMA = """
CREATE TABLE stream (name TEXT PRIMARY KEY, last INTEGER NOT NULL, taken REAL NOT NULL, crc INTEGER NOT NULL)
    WITHOUT ROWID;
CREATE TABLE frame (
    position INTEGER PRIMARY KEY, stream TEXT NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL,
    at REAL NOT NULL, source TEXT NOT NULL, types TEXT NOT NULL, version TEXT NOT NULL, content TEXT NOT NULL,
    columns BLOB NOT NULL, taken REAL NOT NULL, receiver TEXT NOT NULL, crc INTEGER NOT NULL,
    data BLOB NOT NULL);
CREATE INDEX frame_stream ON frame (stream, first) WHERE receiver = '';
CREATE INDEX frame_copy ON frame (stream, first) WHERE receiver != '';
"""
INSERT = "INSERT INTO frame VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
COLUMNS = 14
TAKEN = 10
"""Place of the date in a row."""
_COUNTS = struct.Struct("<II")


def row_of(frame: Stored, taken: float) -> Row:
    """`taken`: seconds since the epoch when the log took it."""
    head = frame.head
    types = _joined(head.types)
    values = (
        frame.position,
        head.stream.encode(),
        head.first,
        head.count,
        float(head.at),
        head.source.encode(),
        types.encode(),
        head.version.encode(),
        head.content.encode(),
        _packed(frame.columns),
        taken,
        frame.to.encode(),
    )
    texts = (
        head.stream,
        *values[2:5],
        head.source,
        types,
        head.version,
        head.content,
    )
    return (frame.position, *texts, *values[9:11], frame.to, _sum(values, frame.data), frame.data)


def check(row: Row) -> None:
    """From a connection whose texts are bytes. Raises Damaged."""
    if len(row) != COLUMNS:
        raise Damaged(f"it has {len(row)} columns, not {COLUMNS}")
    *values, crc, data = row
    if type(data) is not bytes or _sum(tuple(values), data) != crc:
        raise Damaged(f"frame {row[0]!r} is not what was written")


def stored(row: Row) -> Stored:
    """As `check`."""
    check(row)
    *values, _, data = row
    position, stream, first, count, at, source, types, version, content, columns, taken, to = values
    return Stored(
        position,
        Head(
            source.decode(),
            stream.decode(),
            first,
            count,
            at,
            _split(types),
            version.decode(),
            content.decode(),
        ),
        data,
        _unpacked(columns) if columns else Columns(),
        to.decode(),
        taken,
    )


def stream_row(name: str, last: int, taken: float) -> Row:
    return (name, last, taken, crc32(repr((name.encode(), last, taken)).encode()))


def stream_of(row: Row) -> tuple[str, int, float]:
    *values, crc = row
    if crc32(repr(tuple(values)).encode()) != crc:
        raise Damaged(f"stream {row[0]!r} is not what was written")
    return values[0].decode(), values[1], values[2]


def wanted(types: Iterable[str]) -> tuple[str, list[str]]:
    """A condition that holds for every frame with one of the types, and for few others."""
    names = [_joined((name,)) for name in sorted(types)]
    if not names:
        return "", []
    several = " OR ".join(["instr(types, ?)"] * len(names))
    marks = ", ".join("?" * len(names))
    condition = f" AND (types IN ({marks}) OR (instr(types, '\",\"') AND ({several})))"
    return condition, names + [name[1:-1] for name in names]


@lru_cache(4096)
def _joined(types: tuple[str, ...]) -> str:
    return json.dumps(types, separators=(",", ":"))


@lru_cache(4096)
def _split(types: bytes) -> tuple[str, ...]:
    return tuple(json.loads(types))


def _sum(values: Sequence[Any], data: bytes) -> int:
    return crc32(data, crc32(repr(values).encode()))


def _packed(columns: Columns) -> bytes:
    types, keys = columns.type, columns.key
    if not types and not keys:
        return b""
    return _COUNTS.pack(len(types), len(keys)) + struct.pack(f"<{len(types)}H{len(keys)}I", *types, *keys)


def _unpacked(columns: bytes) -> Columns:
    types, keys = _COUNTS.unpack_from(columns)
    values = struct.unpack_from(f"<{types}H{keys}I", columns, _COUNTS.size)
    return Columns(values[:types], values[types:])
