"""Who asked for what, and what came of it?

One line per call in numbered files, each with the hash of the line before: a line that was changed or
taken away breaks the chain. The hash is also logged, so that whoever rewrites the whole chain still
differs from what the log of the machine has. Old files go by age and number.
"""

import asyncio
import hashlib
import json
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from noded.ports import Refused

log = logging.getLogger("noded")

LINES = 2000
FILES = 10
AGE = 400 * 86_400.0
LONGEST_LINE = 4096
UNWRITTEN = "the audit cannot be written"
NOTHING = "0" * 64
"""Where the first line of all hangs."""
FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Asked:
    """Texts are for one line each; nothing in them is secret."""

    at: float
    who: str
    uid: int
    pid: int
    role: str
    what: str
    answer: str


@dataclass(frozen=True, slots=True)
class Trail:
    entries: tuple[Asked, ...]
    broken: str
    """Where the chain breaks, in words; empty while it holds."""


class Audit:
    """All writing and reading is done by one thread, in the order of the calls."""

    def __init__(self, folder: Path, lines: int = LINES, files: int = FILES, age: float = AGE) -> None:
        """Raises Refused when the folder cannot be used."""
        self.alarm = ""
        """What is wrong with it and goes on."""
        self._folder, self._lines, self._files, self._age = folder, lines, files, age
        self._thread = ThreadPoolExecutor(1, "audit")
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._thread.submit(self._resume).result()
        except OSError as error:
            raise Refused(f"cannot use {folder}: {error.strerror}: noded's user must own it") from error

    def note(self, asked: Asked) -> None:
        """Never blocks and never fails: an administrator can act also when the disk is full."""
        self._thread.submit(self._write, asked)

    async def read(self, limit: int) -> Trail:
        """The newest, oldest first; the whole chain is looked through."""
        return await asyncio.wrap_future(self._thread.submit(self._read, limit))

    def close(self) -> None:
        self._thread.shutdown()

    def _resume(self) -> None:
        """Go on after the last whole line; half a line is what a power cut leaves."""
        self._last, self._number, self._in_file = NOTHING, 0, 0
        names = self._names()
        for name in names[-2:]:
            lines, torn = _whole_lines(self._folder / name)
            if torn and name == names[-1]:
                os.truncate(self._folder / name, sum(map(len, lines)))
            self._in_file = len(lines)
            if lines:
                self._last = _hash(lines[-1])
        if names:
            self._number = int(names[-1].partition(".")[0])
        self._read(0)

    def _write(self, asked: Asked) -> None:
        who = asked.who or f"uid {asked.uid}"
        line = json.dumps({**asdict(asked), "before": self._last}).encode() + b"\n"
        try:
            self._append(line, asked.at)
        except OSError as error:
            self.alarm = f"{UNWRITTEN}: {error.strerror}"
            log.error("audit lost: %s %s: %s: %s", who, asked.what, asked.answer, error)
            return
        if self.alarm.startswith(UNWRITTEN):
            self.alarm = ""
        self._last = _hash(line)
        log.info("audit: %s: %s: %s [%s]", who, asked.what, asked.answer, self._last[:16])

    def _append(self, line: bytes, at: float) -> None:
        if self._in_file >= self._lines or not self._number:
            self._number, self._in_file = self._number + 1, 0
            self._drop(at)
        path = self._folder / f"{self._number:06}.jsonl"
        handle = os.open(path, FLAGS, 0o600)
        try:
            size = os.fstat(handle).st_size
            try:
                if os.write(handle, line) < len(line):
                    raise OSError(28, "No space left on device")
                os.fdatasync(handle)
            except OSError:
                os.ftruncate(handle, size)
                raise
        finally:
            os.close(handle)
        self._in_file += 1

    def _drop(self, at: float) -> None:
        names = self._names()
        for name in names[: max(0, len(names) - self._files + 1)]:
            (self._folder / name).unlink(missing_ok=True)
        for name in self._names():
            path = self._folder / name
            if path.stat().st_mtime < at - self._age:
                path.unlink(missing_ok=True)

    def _read(self, limit: int) -> Trail:
        entries: list[Asked] = []
        broken, before = "", ""
        for place, line in self._all():
            try:
                raw = json.loads(line)
                told = raw.pop("before")
                entries.append(Asked(**raw))
            except (ValueError, TypeError, AttributeError, KeyError):
                broken = broken or f"{place} is not what noded wrote"
                told = before
            if before and told != before:
                broken = broken or f"before {place} a line was changed or taken away"
            before = _hash(line)
        if (before or NOTHING) != self._last:
            broken = broken or "the last line was changed or taken away"
        told = broken and f"the audit's chain is broken: {broken}"
        if not self.alarm.startswith(UNWRITTEN):
            self.alarm = told
        return Trail(tuple(entries[-limit:] if limit else ()), told)

    def _all(self) -> Iterator[tuple[str, bytes]]:
        for name in self._names():
            try:
                lines, _ = _whole_lines(self._folder / name)
            except OSError:
                yield f"{name}:1", b""
                continue
            yield from ((f"{name}:{number}", line) for number, line in enumerate(lines, 1))

    def _names(self) -> list[str]:
        return sorted(p.name for p in self._folder.glob("*.jsonl") if p.stem.isdecimal())


def _whole_lines(path: Path) -> tuple[list[bytes], bool]:
    """And whether half a line follows them."""
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
        lines = file.read(2 * LINES * LONGEST_LINE).splitlines(keepends=True)
    torn = bool(lines) and not lines[-1].endswith(b"\n")
    return (lines[:-1] if torn else lines), torn


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()
