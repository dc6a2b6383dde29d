"""Which part of a machine-written change is missing from the release that comes after it?

Found by content: a change is there when its lines are, beside one of their old neighbours; where the release
comes from is not asked. All that cannot be told counts as missing, and a person decides.
"""

import difflib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from noded.model.release import HEALED
from noded.model.state import NodeState
from noded.ports import Registry
from nodespec.environment import FOLDER
from nodespec.tree import MANIFEST
from nodespec.version_line import version_line

LONGEST_FILE = 1024 * 1024
"""Bytes of a file whose lines are compared; larger ones are the same or not."""
MOST_LINES = 3000
"""Between the first and the last line that differ: more would take long to compare."""
LONGEST = 64 * 1024
"""Characters of what is told."""
CONTEXT = 3
NEIGHBOURS = 2
PLACE = re.compile(r"@@ -\d{1,9}(?:,(\d{1,9}))? \+\d{1,9}(?:,(\d{1,9}))? @@")
Lines = list[str]


@dataclass(frozen=True, slots=True)
class Group:
    """Lines that belong together: what stood before them, what came, what stands behind."""

    before: Lines
    added: Lines
    after: Lines


@dataclass(frozen=True, slots=True)
class Change:
    """Of one file, or one place in it."""

    path: str
    head: str
    text: str
    groups: tuple[Group, ...] = ()
    gone: bool = False
    """The change was to take the file away."""


async def parent(node: NodeState | None, registry: Registry) -> str | None:
    """Digest of the release of a person that machines have changed; empty when it is forgotten, None when a
    person wrote what runs. Raises PortError.

    The registry knows who wrote a release also when the memory of noded was lost.
    """
    release = node.release if node is not None else None
    if release is None or HEALED not in release.version:
        return None
    record = await registry.get(f"releases/{release.node}/{release.version}")
    origin = json.loads(record.value).get("origin", "") if record else release.origin
    if origin.startswith("uid "):
        return None
    stem = release.version.partition(HEALED)[0]
    before = await registry.get(f"releases/{release.node}/{stem}")
    return str(json.loads(before.value)["digest"]) if before else ""


def changes(node: NodeState, before: Path | None, after: Path) -> tuple[Change, ...]:
    """What machines wrote since a person's release: from both trees, else from the report of the healing."""
    if before is not None and before.is_dir() and after.is_dir():
        return tuple(_between(before, after))
    incidents = (*node.healing.past, *((node.healing.now,) if node.healing.now else ()))
    reports = [one.report for one in incidents if one.report and one.report.version == node.release.version]
    found = tuple(parsed(reports[-1].diff)) if reports else ()
    what = f"the change of {node.release.version} cannot be read any more\n"
    return found or (Change(MANIFEST, "", what),)


def lost(changed: Sequence[Change], after: Path, files: Mapping[str, bytes]) -> str:
    """The changes that are not in `files`, as a diff; empty when all are there."""
    told, head = "", ""
    for change in changed:
        if _kept(change, after, files):
            continue
        told += (change.head if change.head != head else "") + change.text
        head = change.head
        if len(told) > LONGEST:
            return f"{told[:LONGEST]}\n... and more\n"
    return told


def _kept(change: Change, after: Path, files: Mapping[str, bytes]) -> bool:
    content = files.get(change.path)
    if change.gone or content is None:
        return change.gone and content is None
    content = without_version(change.path, content)
    if change.head and content == _content(after, change.path):
        return True
    lines = _lines(content)
    return lines is not None and bool(change.groups) and all(_is_in(group, lines) for group in change.groups)


def _is_in(group: Group, lines: Lines) -> bool:
    """Beside the lines before or those behind: the other side may have been worked on since."""
    if not group.added:
        # What was taken away leaves only its neighbours, so all of them are asked for.
        return _run(lines, [*group.before, *group.after])
    near_before, near_after = group.before[-NEIGHBOURS:], group.after[:NEIGHBOURS]
    if not near_before or not near_after:
        return _run(lines, [*near_before, *group.added, *near_after])
    return _run(lines, [*near_before, *group.added]) or _run(lines, [*group.added, *near_after])


def _run(lines: Lines, wanted: Lines) -> bool:
    """Whether these lines stand somewhere one after the other."""
    if not wanted:
        return True
    return any(
        lines[at] == wanted[0] and lines[at : at + len(wanted)] == wanted
        for at in range(len(lines) - len(wanted) + 1)
    )


def _between(before: Path, after: Path) -> Iterator[Change]:
    for path in sorted({*_files(before), *_files(after)}):
        old, new = _content(before, path), _content(after, path)
        if old == new:
            continue
        one, other = None if old is None else _lines(old), None if new is None else _lines(new)
        head = f"--- {'/dev/null' if old is None else f'a/{path}'}\n"
        head += f"+++ {'/dev/null' if new is None else f'b/{path}'}\n"
        if new is None:
            yield Change(path, head, f"the file {path} is gone\n", gone=True)
        elif other is None or (old is not None and one is None) or _apart(one or [], other):
            yield Change(path, head, f"the file {path} is another one\n")
        else:
            diff = difflib.unified_diff(one or [], other, n=CONTEXT)
            yield from parsed(
                head + "".join(line if line[-1:] == "\n" else f"{line}\n" for line in [*diff][2:])
            )


def _apart(one: Lines, other: Lines) -> bool:
    """Whether more differs than is compared line by line."""
    same = 0
    while same < min(len(one), len(other)) and one[same] == other[same]:
        same += 1
    end = 0
    while end < min(len(one), len(other)) - same and one[-1 - end] == other[-1 - end]:
        end += 1
    return max(len(one), len(other)) - same - end > MOST_LINES


def _files(folder: Path) -> Iterator[str]:
    for place, folders, names in os.walk(folder):
        if place == str(folder) and FOLDER in folders:
            folders.remove(FOLDER)
        yield from (os.path.relpath(os.path.join(place, name), folder) for name in names)


def _content(folder: Path, path: str) -> bytes | None:
    """None where there is no such file. A link is the words it consists of."""
    place = folder / path
    try:
        return (
            os.readlink(place).encode() if place.is_symlink() else without_version(path, place.read_bytes())
        )
    except OSError:
        return None


def without_version(path: str, content: bytes) -> bytes:
    """The version is each release's own."""
    if path != MANIFEST:
        return content
    # Bytes that are no text stay as they are, for those who compare them.
    lines = content.decode("utf-8", "surrogateescape").split("\n")
    number = version_line([f"{line}\n" for line in lines])
    if number is None:
        return content
    lines[number] = "version ="
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def _lines(content: bytes) -> Lines | None:
    if len(content) > LONGEST_FILE or b"\0" in content:
        return None
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    lines = [f"{line}\n" for line in text.split("\n")]
    return lines if lines[-1] != "\n" else lines[:-1]


def parsed(diff: str) -> Iterator[Change]:
    """The places of a unified diff; what is none of it is passed over."""
    path, head = "", ""
    lines = iter(diff[: 4 * LONGEST].split("\n"))
    for line in lines:
        counts = PLACE.match(line)
        if counts:
            left = [int(count or 1) for count in counts.groups()]
            yield _place(path, head, [line, *_body(lines, left)])
        elif line.startswith("--- "):
            head = f"{line}\n"
        elif line.startswith("+++ "):
            head, path = f"{head}{line}\n", line[4:].split("\t")[0].strip().removeprefix("b/")


def _body(lines: Iterator[str], left: list[int]) -> Iterator[str]:
    """As many lines of both sides as the place announces: a line may itself look like a head."""
    while any(count > 0 for count in left):
        line = next(lines, "")
        if line.startswith("\\ No newline"):
            continue
        if line[:1] not in (" ", "+", "-"):
            return
        left[0] -= line[0] != "+"
        left[1] -= line[0] != "-"
        yield line


def _place(path: str, head: str, lines: Lines) -> Change:
    groups: list[Group] = []
    before, added, changing = list[str](), list[str](), False
    for line in lines[1:]:
        text = f"{line[1:]}\n"
        if line[0] == " ":
            if changing:
                groups.append(Group(before, added, []))
                before, added, changing = [], [], False
            before.append(text)
            if groups and len(groups[-1].after) < CONTEXT:
                groups[-1].after.append(text)
        else:
            changing = True
            added += [text] if line[0] == "+" else []
    if changing:
        groups.append(Group(before, added, []))
    return Change(path, head, "".join(f"{line}\n" for line in lines), tuple(groups))
