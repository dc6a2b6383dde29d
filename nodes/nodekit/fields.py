"""How is one field of a protobuf message written and read?"""

from collections.abc import Iterable, Iterator, Sequence
from struct import error as StructError
from struct import pack, unpack_from

_KEPT = 8192


class WireError(ValueError):
    """These bytes are not the message they should be."""


# Writing


def varint(value: int) -> bytes:
    if value < 128:
        return value.to_bytes(1, "little")
    written = bytearray()
    while value > 127:
        written.append(value & 127 | 128)
        value >>= 7
    written.append(value)
    return bytes(written)


class Prefixes(dict[int, bytes]):
    """Numbers as varints, behind a tag if there is one; so many are kept as there is room for."""

    def __init__(self, tag: bytes = b"") -> None:
        self.tag = tag

    def __missing__(self, value: int) -> bytes:
        written = self.tag + varint(value)
        if len(self) < _KEPT:
            self[value] = written
        return written


DATA = Prefixes(b"\x1a")
"""By length: what stands before an event's data."""
_VARINT = Prefixes()


def number(key: int, value: int) -> bytes:
    """Nothing for 0, as everywhere in proto3."""
    return _VARINT[key << 3] + varint(value) if value else b""


def double(key: int, value: float) -> bytes:
    return _VARINT[key << 3 | 1] + pack("<d", value) if value else b""


def chunk(key: int, value: bytes) -> bytes:
    return _VARINT[key << 3 | 2] + varint(len(value)) + value


def text(key: int, value: str, keep: bool = False) -> bytes:
    return chunk(key, value.encode()) if value or keep else b""


def column(key: int, values: Sequence[int]) -> bytes:
    return chunk(key, b"".join([_VARINT[each] for each in values])) if values else b""


# Reading


def read_varint(raw: bytes, at: int) -> tuple[int, int]:
    """The number at that place and the place after it. Raises IndexError and WireError."""
    value = shift = 0
    while True:
        byte = raw[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
        if shift > 63:
            raise WireError("a number is longer than ten bytes")


def read_field(raw: bytes, at: int) -> tuple[int, int | bytes, int]:
    """Its number, its value, and the place after it. Raises IndexError, StructError and WireError."""
    tag, at = read_varint(raw, at)
    key, kind = tag >> 3, tag & 7
    if not 0 < key < 1 << 29:
        raise WireError(f"there is no field {key}")
    value: int | bytes
    match kind:
        case 0:
            value, at = read_varint(raw, at)
        case 1:
            value, at = int(unpack_from("<Q", raw, at)[0]), at + 8
        case 2:
            size, at = read_varint(raw, at)
            value, at = raw[at : at + size], at + size
            if at > len(raw):
                raise WireError(f"field {key} is cut off")
        case 5:
            value, at = int(unpack_from("<I", raw, at)[0]), at + 4
        case _:
            raise WireError(f"field {key} has the unknown wire type {kind}")
    return key, value, at


def fields(raw: bytes) -> Iterator[tuple[int, int | bytes]]:
    at, end = 0, len(raw)
    try:
        while at < end:
            tag = raw[at]
            if not 7 < tag < 128 or tag & 5:
                key, value, at = read_field(raw, at)
                yield key, value
                continue
            # A number, a text or a message, and one of the first fields, as nearly all are.
            found = raw[at + 1]
            at += 2
            if found > 127:
                found, at = read_varint(raw, at - 1)
            if tag & 2:
                begin, at = at, at + found
                if at > end:
                    raise WireError("the message is cut off")
                yield tag >> 3, raw[begin:at]
            else:
                yield tag >> 3, found
    except (IndexError, StructError):
        raise WireError("the message is cut off") from None


def read_text(value: int | bytes) -> str:
    try:
        return as_bytes(value).decode()
    except UnicodeDecodeError as error:
        raise WireError(f"a text is not UTF-8: {error}") from None


def as_bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise WireError("expected text or bytes, found a number")
    return value


def as_int(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise WireError("expected a number, found text or bytes")
    return value


def as_double(value: int | bytes) -> float:
    return float(unpack_from("<d", pack("<Q", as_int(value)))[0])


def numbers(values: Iterable[int | bytes]) -> list[int]:
    """Of a repeated field, packed or not."""
    found: list[int] = []
    for value in values:
        if isinstance(value, int):
            found.append(value)
        elif not value or max(value) < 128:
            found += value
        else:
            found += packed(value)
    return found


def packed(raw: bytes) -> Iterator[int]:
    value = shift = 0
    for byte in raw:
        if byte < 128:
            yield value | byte << shift
            value = shift = 0
        else:
            value |= (byte & 127) << shift
            shift += 7
            if shift > 63:
                raise WireError("a number is longer than ten bytes")
    if shift:
        raise WireError("the message is cut off")
