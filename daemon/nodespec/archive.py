"""How does a release travel?

As a tar file in a single spelling: GNU format, sorted by path, no times, no owners, files and symbolic
links only. Every tar reads it. What arrives is compared byte for byte with what would have been written
here, so nothing of tar's many extensions (sparse files, hard links, devices, pax) can get in.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from nodespec.tables import Mistake
from nodespec.tree import LONGEST_PATH, MOST_BYTES, Kind, ReleaseError, shown_path, too_many_bytes

BLOCK = 512
CHUNK = 1024 * 1024
SHORT = 100
"""Bytes of a name that fit in the header; longer ones stand in a record before it."""
RECORD = 20 * BLOCK
HEADER = struct.Struct("100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12x")
TYPES = {Kind.FILE: b"0", Kind.LINK: b"2"}
KINDS = {
    b"1": "a hard link",
    b"3": "a device",
    b"4": "a device",
    b"5": "a folder",
    b"6": "a fifo",
    b"S": "a sparse file",
    b"x": "a pax header",
    b"g": "a pax header",
}


@dataclass(frozen=True, slots=True)
class Member:
    path: str
    kind: Kind
    mode: int
    size: int
    """Bytes that follow; 0 for a link."""
    target: str = ""


def header(member: Member) -> bytes:
    name, target = member.path.encode(), member.target.encode()
    before = b"".join(_long(kind, text) for kind, text in ((b"K", target), (b"L", name)) if len(text) > SHORT)
    return before + _block(name, TYPES[member.kind], member.mode, member.size, target)


def padding(size: int) -> bytes:
    return bytes(-size % BLOCK)


def ending(length: int) -> bytes:
    """Two empty blocks, filled up to a whole record as tar does."""
    return bytes(2 * BLOCK + -(length + 2 * BLOCK) % RECORD)


def _long(kind: bytes, text: bytes) -> bytes:
    body = text + b"\0"
    return _block(b"././@LongLink", kind, 0, len(body), b"") + body + padding(len(body))


def _block(name: bytes, kind: bytes, mode: int, size: int, target: bytes) -> bytes:
    nobody, moment = b"%07o\0" % 0, b"%011o\0" % 0
    parts = (name, b"%07o\0" % mode, nobody, nobody, b"%011o\0" % size, moment, b" " * 8, kind, target)
    block = HEADER.pack(*parts, b"ustar  \0", b"", b"", b"", b"", b"")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def members(source: BinaryIO, where: str) -> Iterator[tuple[Member, Iterable[bytes]]]:
    """Every member with its bytes in chunks, which must be used up before the next; raises ReleaseError."""
    length = 0
    while any(raw := _exactly(source, BLOCK, where)):
        member = _member(source, raw, where)
        length += len(header(member)) + member.size + len(padding(member.size))
        yield member, _content(source, member, where)
    end = ending(length)[BLOCK:]
    if source.read(len(end) + 1) != end:
        raise ReleaseError(where, [Mistake("", hint="its end is cut off, or something follows it")])


def _member(source: BinaryIO, raw: bytes, where: str) -> Member:
    if raw[257:262] != b"ustar":
        raise _broken(where)
    long: dict[bytes, bytes] = {}
    block = raw
    while (kind := block[156:157]) in (b"K", b"L") and kind not in long:
        size = _octal(block[124:136])
        if not SHORT < size - 1 <= LONGEST_PATH:
            raise ReleaseError(
                where, [Mistake("", hint=f"a path longer than {LONGEST_PATH} bytes, or a broken one")]
            )
        body = _exactly(source, size + len(padding(size)), where)
        long[kind] = body[: size - 1]
        block = _exactly(source, BLOCK, where)
        raw += body + block
    name, mode, _, _, size_text, _, _, kind, target, *_ = HEADER.unpack(block)
    path = _text(long.get(b"L", name.rstrip(b"\0")), where)
    found = next((known for known, letter in TYPES.items() if letter == kind), None)
    if found is None:
        got = KINDS.get(kind, "something else")
        raise ReleaseError(where, [Mistake(shown_path(path), "a file or a symbolic link", got)])
    goal = _text(long.get(b"K", target.rstrip(b"\0")), where) if found is Kind.LINK else ""
    member = Member(path, found, _octal(mode), _octal(size_text), goal)
    _only_spelling(member, raw, where)
    return member


def _only_spelling(member: Member, raw: bytes, where: str) -> None:
    modes = {Kind.FILE: (0o644, 0o755), Kind.LINK: (0o777,)}[member.kind]
    if member.mode not in modes:
        expected = " or ".join(f"{mode:04o}" for mode in modes)
        raise ReleaseError(
            where, [Mistake(shown_path(member.path), f"mode {expected}", f"{member.mode:04o}")]
        )
    if member.size > MOST_BYTES:
        raise ReleaseError(where, [too_many_bytes()])
    if member.size < 0 or (member.size and member.kind is Kind.LINK) or header(member) != raw:
        raise ReleaseError(
            where, [Mistake(shown_path(member.path), hint="its header is not as noded writes it")]
        )


def _content(source: BinaryIO, member: Member, where: str) -> Iterator[bytes]:
    left = member.size
    while left:
        chunk = source.read(min(left, CHUNK))
        if not chunk:
            raise ReleaseError(
                where, [Mistake(shown_path(member.path), hint="the archive ends in the middle of it")]
            )
        left -= len(chunk)
        yield chunk
    if any(_exactly(source, len(padding(member.size)), where)):
        raise ReleaseError(where, [Mistake(shown_path(member.path), hint="something stands behind its end")])


def _exactly(source: BinaryIO, count: int, where: str) -> bytes:
    got = source.read(count)
    if len(got) < count:
        raise _broken(where)
    return got


def _broken(where: str) -> ReleaseError:
    return ReleaseError(where, [Mistake("", hint="not a packed release, or cut off")])


def _octal(field: bytes) -> int:
    """-1 for everything that is no such number; the comparison of headers then refuses it."""
    digits = field.rstrip(b"\0 ")
    return int(digits, 8) if digits and all(letter in b"01234567" for letter in digits) else -1


def _text(name: bytes, where: str) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        shown = name[:LONGEST_PATH].decode(errors="backslashreplace")
        raise ReleaseError(where, [Mistake(shown_path(shown), hint="the path is not UTF-8")]) from error
