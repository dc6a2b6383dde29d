"""What have the instances of a node printed?"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

BLOCK = 64 * 1024
MOST_LINES = 10_000
LONGEST_TAIL = 4 * 1024 * 1024


class NodeLogs:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def instances(self, node: str) -> tuple[str, ...]:
        """Those that have a log, oldest first."""
        logs = (path for path in (self._folder / node).glob(f"{node}.*.log") if path.is_file())
        return tuple(path.stem for path in sorted(logs, key=lambda path: path.stat().st_mtime))

    def tail(self, node: str, instance: str, lines: int) -> tuple[bytes, int]:
        """The newest whole lines and where they end in the file."""
        try:
            with self._open(node, instance) as file:
                end = file.seek(0, os.SEEK_END)
                start = max(0, end - LONGEST_TAIL)
                text = b""
                place = end
                while place > start and text.count(b"\n") <= min(lines, MOST_LINES):
                    place = max(start, place - BLOCK)
                    file.seek(place)
                    text = file.read(end - place)
        except FileNotFoundError:
            return b"", 0
        whole = text[: text.rfind(b"\n") + 1]
        return b"".join(whole.splitlines(keepends=True)[-lines:]), place + len(whole)

    def since(self, node: str, instance: str, place: int) -> tuple[bytes, int]:
        """Whole lines written after `place`, at most a block of them, and where they end."""
        try:
            with self._open(node, instance) as file:
                file.seek(place)
                text = file.read(BLOCK)
        except FileNotFoundError:
            return b"", place
        end = text.rfind(b"\n") + 1
        if end == 0 and len(text) == BLOCK:
            end = BLOCK
        return text[:end], place + end

    def _open(self, node: str, instance: str) -> BinaryIO:
        handle = os.open(self._folder / node / f"{instance}.log", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        return os.fdopen(handle, "rb")


def newest(names: Iterable[str]) -> str:
    return max(names, key=lambda name: int(name.rpartition(".")[2]), default="")
