"""How do two releases differ: in the keys of node.toml, then file by file?"""

import difflib
import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from nodectl.text import amount, size
from nodespec.archive import members
from nodespec.environment import FOLDER
from nodespec.tree import MANIFEST, Kind

LONGEST = 1024 * 1024
"""Bytes of a file whose lines are compared; of larger ones only that they differ is told."""
MOST_LINES = 20_000
LONGEST_VALUE = 100
CONTEXT = 3
MADE = f"{FOLDER}/"
"""Where what was made for a release lies in it; no folder of an author has it."""


@dataclass(frozen=True, slots=True)
class Item:
    kind: Kind
    mode: int
    size: int
    digest: str
    lines: tuple[str, ...] | None
    """None when it is binary or too long to be compared by lines."""
    target: str = ""


@dataclass(frozen=True, slots=True)
class Side:
    name: str
    """As it is called in the heads of the differences."""
    items: Mapping[str, Item]


@dataclass(frozen=True, slots=True)
class Key:
    key: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class File:
    path: str
    change: str
    """added, removed or changed."""
    says: str
    """What lines cannot tell: binary, a mode, a link; empty when they tell all."""
    diff: str
    """Unified; empty when there is none to show."""


def side(name: str, source: BinaryIO) -> Side:
    """From a packed release; raises ReleaseError."""
    found = {}
    for member, chunks in members(source, name):
        content, whole = b"", hashlib.sha256()
        for chunk in chunks:
            whole.update(chunk)
            content += chunk if member.size <= LONGEST else b""
        lines = _lines(content) if member.size <= LONGEST and member.kind is Kind.FILE else None
        found[member.path] = Item(
            member.kind, member.mode, member.size, whole.hexdigest(), lines, member.target
        )
    return Side(name, found)


def _lines(content: bytes) -> tuple[str, ...] | None:
    if b"\0" in content:
        return None
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    # Only newlines part lines: splitlines() would also part them at characters that a file may hold.
    lines = [line + "\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    kept = tuple(line for line in lines if line)
    return kept if len(kept) <= MOST_LINES else None


def keys(before: Side, after: Side) -> list[Key]:
    """As they are written: an older manifest may have keys that are read no more."""
    old, new = _manifest(before), _manifest(after)
    return [
        Key(key, old.get(key, ""), new.get(key, ""))
        for key in [*new, *(key for key in old if key not in new)]
        if old.get(key, "") != new.get(key, "")
    ]


def _manifest(side: Side) -> dict[str, str]:
    item = side.items.get(MANIFEST)
    try:
        return dict(_flat("", tomllib.loads("".join(item.lines or ())))) if item else {}
    except (ValueError, RecursionError):
        return {}


def _flat(place: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name, below in value.items():
            yield from _flat(f"{place}.{name}" if place else name, below)
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        yield place, text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "..."


def files(before: Side, after: Side, told: bool) -> list[File]:
    """In the order of paths. `told`: what differs in the manifest was told by its keys.

    The environment that was made for a release is told in one line: its requirements say what changed.
    """
    paths = sorted({*before.items, *after.items})
    differ = [path for path in paths if before.items.get(path) != after.items.get(path)]
    made = [path for path in differ if path.startswith(MADE)]
    found = [File(MADE, "changed", f"{amount(len(made), 'file')} of its environment", "")] if made else []
    skipped = {*made, *([MANIFEST] if told else [])}
    return found + [_file(path, before, after) for path in differ if path not in skipped]


def _file(path: str, before: Side, after: Side) -> File:
    old, new = before.items.get(path), after.items.get(path)
    change = "added" if old is None else "removed" if new is None else "changed"
    says = [*_said(old, new)]
    if not _by_lines(old) or not _by_lines(new):
        return File(path, change, ", ".join(says), "")
    lines = difflib.unified_diff(
        old.lines or () if old else (),
        new.lines or () if new else (),
        f"{before.name}/{path}" if old else "/dev/null",
        f"{after.name}/{path}" if new else "/dev/null",
        n=CONTEXT,
    )
    diff = "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )
    return File(path, change, ", ".join(says), diff)


def _by_lines(item: Item | None) -> bool:
    return item is None or item.lines is not None


def _said(old: Item | None, new: Item | None) -> Iterator[str]:
    if old and new and old.kind is not new.kind:
        yield f"a {old.kind} becomes a {new.kind}"
    if (old or new) and any(one is not None and one.kind is Kind.LINK for one in (old, new)):
        yield " -> ".join(one.target for one in (old, new) if one and one.kind is Kind.LINK)
    elif not _by_lines(old) or not _by_lines(new):
        sizes = " -> ".join(size(one.size) for one in (old, new) if one)
        yield f"binary or long, {sizes}"
    elif not any(one and one.lines for one in (old, new)):
        yield "empty"
    if old and new and old.mode != new.mode and old.kind is new.kind:
        yield "may now be run" if new.mode == 0o755 else "may no longer be run"
