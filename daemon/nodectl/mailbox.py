"""How does a change between two releases become a patch that `git am` takes?

As git writes one itself: a mail with the words and a diff with git's heads. The version in node.toml stays
out of it: it is the author's.
"""

import base64
import difflib
import hashlib
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime

from nodectl.differences import CONTEXT, MADE, Item, Side
from nodectl.text import clean
from nodespec.tree import MANIFEST, Kind
from nodespec.version_line import version_line

WIDTH = 72
NO_COMMIT = "0" * 40
MODES = {0o644: "100644", 0o755: "100755"}
PLAIN = re.compile(r"[A-Za-z0-9._+@%,=/ -]+")


class Unwritable(ValueError):
    """The text names the file and why no patch can hold it."""


@dataclass(frozen=True, slots=True)
class Letter:
    sender: str
    at: float
    """Seconds since the epoch."""
    subject: str
    body: Sequence[str]
    """Paragraphs; untrusted."""


def mailed(letter: Letter, diff: str) -> str:
    """Everything that came from elsewhere is indented: git takes no line of it for a head or a patch."""
    told = "\n\n".join(_paragraph(text) for text in letter.body)
    content = f"{told}\n\n---\n\n{diff}-- \nnoded\n"
    coding, text = "8bit", content
    if "\r" in content or "\0" in content:
        # git am takes carriage returns away from what is not encoded.
        coding, text = "base64", base64.encodebytes(content.encode()).decode()
    head = [
        f"From {NO_COMMIT} Mon Sep 17 00:00:00 2001",
        f"From: {_ascii(letter.sender)}",
        f"Date: {format_datetime(datetime.fromtimestamp(letter.at or time.time(), UTC))}",
        f"Subject: [PATCH] {_ascii(letter.subject)}",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=UTF-8",
        f"Content-Transfer-Encoding: {coding}",
    ]
    return "\n".join((*head, "", text))


def git_diff(before: Side, after: Side, prefix: str = "") -> str:
    """Raises Unwritable. Empty when nothing but the version differs."""
    return "".join(_differences(before, after, f"{prefix.strip('/')}/" if prefix.strip("/") else ""))


def _differences(before: Side, after: Side, prefix: str) -> Iterator[str]:
    for path in sorted({*before.items, *after.items}):
        old, new = before.items.get(path), after.items.get(path)
        if old == new or path.startswith(MADE):
            continue
        if not all(PLAIN.fullmatch(part) for part in (path, prefix or "x")):
            raise Unwritable(f"{path}: its name has signs that a patch would have to spell otherwise")
        lines = [_lines(path, item) for item in (old, new)]
        if path == MANIFEST and old and new:
            lines[1] = _as_old(*lines)
        if lines[0] == lines[1] and old and new and (old.mode, old.kind) == (new.mode, new.kind):
            continue
        yield "".join(_file(prefix + path, old, new, lines))


def _lines(path: str, item: Item | None) -> list[str]:
    if item is None:
        return []
    if item.kind is Kind.LINK:
        raise Unwritable(f"{path}: it is a link")
    if item.lines is None:
        raise Unwritable(f"{path}: it is binary, or too long to be compared by lines")
    return list(item.lines)


def _as_old(old: list[str], new: list[str]) -> list[str]:
    """The new manifest with the old one's version."""
    found, place = version_line(old), version_line(new)
    return new if found is None or place is None else [*new[:place], old[found], *new[place + 1 :]]


def _file(path: str, old: Item | None, new: Item | None, lines: Sequence[list[str]]) -> Iterator[str]:
    yield f"diff --git a/{path} b/{path}\n"
    if old is None and new is not None:
        yield f"new file mode {MODES[new.mode]}\n"
    elif new is None and old is not None:
        yield f"deleted file mode {MODES[old.mode]}\n"
    elif old is not None and new is not None and old.mode != new.mode:
        yield f"old mode {MODES[old.mode]}\nnew mode {MODES[new.mode]}\n"
    found = list(difflib.unified_diff(lines[0], lines[1], n=CONTEXT))[2:]
    if not found:
        return
    # With these `git am -3` finds the text that was changed, also when work has gone on since.
    names = [_blob(text) if item else NO_COMMIT for text, item in zip(lines, (old, new), strict=True)]
    same = f" {MODES[new.mode]}" if old and new and old.mode == new.mode else ""
    yield f"index {names[0]}..{names[1]}{same}\n"
    # A name with a blank ends at a tab.
    mark = "\t" if " " in path else ""
    yield f"--- a/{path}{mark}\n" if old else "--- /dev/null\n"
    yield f"+++ b/{path}{mark}\n" if new else "+++ /dev/null\n"
    for line in found:
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _blob(lines: Sequence[str]) -> str:
    """git's name for a file's content."""
    content = "".join(lines).encode()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _paragraph(text: str) -> str:
    """Folded; only the first word of noded's own stands at the left edge."""
    lines = [part for line in clean(text).split("\n") for part in _folded(line)]
    return "\n".join(f"  {line}" if number else line for number, line in enumerate(lines))


def _folded(line: str) -> Iterator[str]:
    words, row = line.split(), ""
    for word in words:
        if row and len(row) + 1 + len(word) > WIDTH:
            yield row
            row = ""
        row = f"{row} {word}" if row else word
    yield row


def _ascii(text: str) -> str:
    return " ".join(clean(text).encode("ascii", "replace").decode().split())[:200]
