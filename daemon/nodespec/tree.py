"""What is a release made of, and what may never be part of one?

A release is its files and symbolic links. Folders are only the way to them: an empty one is not part of it,
nor are times and owners. Of a mode only "may be run" counts.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from nodespec.tables import Mistake, Refused

MANIFEST = "node.toml"
MOST_FILES = 10_000
MOST_FOLDERS = 10_000
MOST_BYTES = 64 * 1024 * 1024
LONGEST_PATH = 255
"""Bytes; of a path in the release and of a link's target."""

MOST_STEPS = 255
"""Of the way to a link's goal, with those of every link on it; more is a circle or as good as one."""

SKIPPED = frozenset(
    {
        ".git",
        ".hg",
        ".hypothesis",
        ".mypy_cache",
        ".nox",
        ".pytest_cache",
        ".ruff_cache",
        ".svn",
        ".tox",
        ".venv",
        "__pycache__",
    }
)
SKIPPED_ENDINGS = (".pyc", ".pyo")
"""What tools leave beside the sources: packing passes over these names, and no release has them."""


class ReleaseError(Refused):
    """A folder or a packed release was refused."""


class Kind(StrEnum):
    FILE = "file"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class Entry:
    """`content` is the SHA-256 of a file's bytes or of a link's target."""

    kind: Kind
    mode: int
    size: int
    content: str
    target: str = ""


def file(executable: bool, size: int, content: str) -> Entry:
    return Entry(Kind.FILE, 0o755 if executable else 0o644, size, content)


def link(target: str) -> Entry:
    content = target.encode(errors="surrogateescape")
    return Entry(Kind.LINK, 0o777, len(content), hashlib.sha256(content).hexdigest(), target)


Tree = dict[str, Entry]


def in_order(tree: Tree) -> Iterator[tuple[str, Entry]]:
    yield from sorted(tree.items(), key=lambda item: item[0].encode())


def digest_of(tree: Tree) -> str:
    """`sha256:<hex>` of what the tree holds, whatever it was packed in."""
    whole = hashlib.sha256(b"noded release 1\n")
    for path, entry in in_order(tree):
        name = path.encode()
        # the length before the name keeps two different trees from ever giving the same bytes
        whole.update(
            b"%s %o %s %d:%s\n" % (entry.kind.encode(), entry.mode, entry.content.encode(), len(name), name)
        )
    return f"sha256:{whole.hexdigest()}"


def skipped(name: str) -> bool:
    return name in SKIPPED or name.endswith(SKIPPED_ENDINGS)


def shown_path(path: str) -> str:
    return path if path.isprintable() else json.dumps(path[:LONGEST_PATH])


def path_mistakes(path: str) -> Iterator[Mistake]:
    """What is wrong with a path inside a release, from wherever it came."""
    problem = _text_problem(path)
    parts = path.split("/")
    if problem:
        yield Mistake(shown_path(path), hint=f"the path is {problem}")
    elif path.startswith("/"):
        yield Mistake(path, hint="an absolute path; expected one inside the release")
    elif any(part in ("", ".", "..") for part in parts):
        yield Mistake(path, hint='the path has an empty, "." or ".." step; expected a plain one')
    elif any(map(skipped, parts)):
        yield Mistake(path, hint="never part of a release; pack the release again")


def _text_problem(text: str) -> str:
    try:
        length = len(text.encode())
    except UnicodeEncodeError:
        return "not UTF-8; rename it"
    if length > LONGEST_PATH:
        return f"{length} bytes long; at most {LONGEST_PATH} are allowed"
    if any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in text):
        return "one with control characters; rename it"
    return ""


def link_mistakes(tree: Tree) -> Iterator[Mistake]:
    """Links that lead out of the release, at any step, or in a circle."""
    for path, entry in in_order(tree):
        problem = _link_problem(tree, path, entry.target) if entry.kind is Kind.LINK else ""
        if problem:
            got = f"link to {shown_path(entry.target)}"
            yield Mistake(path, "a link to a place inside the release", got, problem)


def _link_problem(tree: Tree, path: str, target: str) -> str:
    if not target or _text_problem(target):
        return f"the target is {_text_problem(target) or 'empty'}"
    return _way_problem(tree, path.split("/")[:-1], target)


def _way_problem(tree: Tree, place: list[str], target: str) -> str:
    ahead = [target]
    for _ in range(MOST_STEPS):
        if not ahead:
            return ""
        step, slash, rest = ahead.pop().partition("/")
        ahead += filter(None, [rest.lstrip("/")])
        met = tree.get("/".join([*place, step]))
        if step == ".." and place:
            place.pop()
        elif step == ".." or (slash and not step):
            return "it leads out"
        elif met and met.kind is Kind.LINK:
            ahead.append(met.target)
        elif step != ".":
            place.append(step)
    return f"it leads in a circle, or through more than {MOST_STEPS} steps"


def too_many_files() -> Mistake:
    return Mistake("", f"at most {MOST_FILES:,} files and {MOST_FOLDERS:,} folders", "more")


def too_many_bytes() -> Mistake:
    return Mistake("", f"at most {MOST_BYTES // 1024**2} MiB in all files together", "more")


def refuse_if(where: str, mistakes: Iterable[Mistake]) -> None:
    found = list(mistakes)
    if found:
        raise ReleaseError(where, found)
