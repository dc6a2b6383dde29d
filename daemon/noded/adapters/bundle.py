"""What does somebody elsewhere need to look at a problem of this host, and may leave it?

Everything goes through masking; `masked.json` says what was replaced in which file, and how often.
"""

import json
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from noded.adapters.masking import Masking
from noded.adapters.node_logs import NodeLogs
from noded.adapters.tar_gz import TarGz
from noded.ports import Entry, Unavailable

MOST = 32 * 1024 * 1024
"""Bytes of everything before it is packed."""
MOST_LINES = 5000
LARGEST_LOG = 1024 * 1024
LARGEST_PART = 8 * 1024 * 1024
LOGS = 3
"""Newest instances of a node whose output is taken."""


@dataclass(frozen=True, slots=True)
class Contents:
    """Everything as it is, before it is masked."""

    trees: Mapping[str, Any]
    """By name of the file: what goes in first, small and of use to everybody."""
    manifests: Mapping[str, Path]
    settings: tuple[Path, ...]
    entries: tuple[Entry, ...]
    nodes: tuple[str, ...]
    logs: NodeLogs
    ring: Path
    known: tuple[str, ...] = ()
    """Values that are secret wherever they stand."""


@dataclass(slots=True)
class Bundle:
    contents: Contents
    tar: TarGz
    _masked: dict[str, dict[str, int]] = field(default_factory=dict)
    _left_out: list[str] = field(default_factory=list)

    def fill(self) -> None:
        """Blocks for seconds: for a thread."""
        held = self.contents
        for name, tree in held.trees.items():
            self._tree(name, tree)
        for node, folder in held.manifests.items():
            self._toml(f"manifests/{node}.json", folder / "node.toml")
        for path in held.settings:
            self._toml(f"{path.stem}.json", path)
        self._lines("chronicle.jsonl", lambda masking: _entries(masking, held.entries), LARGEST_PART)
        self._journal(held.ring)
        for age in range(1, LOGS + 1):
            # The newest of every node before the older ones of any.
            for node in held.nodes:
                names = held.logs.instances(node)
                if len(names) >= age:
                    self._log(node, names[-age])
        self.tar.left += LARGEST_LOG
        told = {"masked": self._masked, "left out": self._left_out}
        self.tar.put("masked.json", _json(told))

    def _tree(self, name: str, tree: Any) -> None:
        masking = Masking(self.contents.known)
        self._put(name, _json(masking.tree(tree)), masking)

    def _toml(self, name: str, path: Path) -> None:
        masking = Masking(self.contents.known)
        try:
            with path.open("rb") as file:
                text = file.read(LARGEST_LOG).decode("utf-8", "replace")
        except OSError as error:
            self._left_out.append(f"{name}: {error.strerror}")
            return
        try:
            content = _json(masking.tree(tomllib.loads(text)))
        except (ValueError, RecursionError):
            content = masking.text(text).encode()
        self._put(name, content, masking)

    def _log(self, node: str, instance: str) -> None:
        masking, name = Masking(self.contents.known), f"logs/{instance}.log"
        if self.tar.left < LARGEST_LOG:
            self._left_out.append(f"{name}: the bundle is full")
            return
        try:
            text, _ = self.contents.logs.tail(node, instance, MOST_LINES)
        except Unavailable as error:
            self._left_out.append(f"{name}: {error}")
            return
        # The newest is worth most: the beginning is cut, at the end of a line.
        newest = text[-LARGEST_LOG:]
        if len(newest) < len(text):
            newest = newest[newest.find(b"\n") + 1 :]
        self._put(name, masking.text(newest.decode("utf-8", "replace")).encode(), masking)

    def _journal(self, ring: Path) -> None:
        """The newest segment: it can be replayed to the decisions that were made."""
        segments = sorted(path for path in ring.glob("*.jsonl") if path.stem.isdecimal())
        if not segments:
            return
        path = segments[-1]
        name = f"journal/{path.name}"
        if path.stat().st_size > LARGEST_PART:
            self._left_out.append(f"{name}: larger than {LARGEST_PART} bytes")
            return
        self._lines(name, lambda masking: _segment(masking, path), 2 * LARGEST_PART)

    def _lines(self, name: str, lines: Callable[[Masking], Iterable[str]], most: int) -> None:
        masking = Masking(self.contents.known)
        if not self.tar.put_lines(name, lines(masking), most):
            self._left_out.append(f"{name}: the bundle is full")
        self._count(name, masking.counts)

    def _put(self, name: str, content: bytes, masking: Masking) -> None:
        if not self.tar.put(name, content):
            self._left_out.append(f"{name}: the bundle is full")
        self._count(name, masking.counts)

    def _count(self, name: str, counts: Counter[str]) -> None:
        if counts:
            self._masked[name] = dict(sorted(counts.items()))


def _entries(masking: Masking, entries: Iterable[Entry]) -> Iterator[str]:
    for entry in entries:
        told = {
            "sequence": entry.sequence,
            "at": entry.at,
            "node": entry.node,
            "kind": entry.kind,
            "name": entry.name,
            "text": masking.line(entry.text),
            "body": _masked_json(masking, entry.body),
        }
        yield json.dumps(told, ensure_ascii=False) + "\n"


def _segment(masking: Masking, path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            mark, space, body = line.rstrip("\n").partition(" ")
            if len(mark) == 1 and space:
                yield f"{mark} {_dense(_masked_json(masking, body))}\n"
            else:
                yield f"{_dense(_masked_json(masking, line.rstrip()))}\n"


def _masked_json(masking: Masking, text: str) -> Any:
    try:
        return masking.tree(json.loads(text))
    except (ValueError, RecursionError):
        return masking.text(text).rstrip("\n")


def _dense(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _json(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n").encode("utf-8", "replace")


def write_bundle(file: IO[bytes], at: float, contents: Contents, most: int = MOST) -> None:
    tar = TarGz(file, at, most)
    Bundle(contents, tar).fill()
    tar.close()
