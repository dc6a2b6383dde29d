"""What does the parent release consist of, as far as a change of code needs to know?

Read once, then immutable. Text is kept exactly (line ends, byte order mark), so that a change
is a splice and everything else stays byte-identical.
"""

import ast
import fnmatch
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nodespec.environment import FOLDER
from nodespec.manifest import NodeSpec
from nodespec.reading import ManifestError, read_node
from nodespec.release import ReleaseError, digest_of_tree
from regenerator.incident import BadInput, Incident

MAX_FILES = 10_000
MAX_SOURCE = 1 << 20
PRUNED = frozenset({".git", "__pycache__", ".venv", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".tox"})


@dataclass(frozen=True, slots=True)
class Sources:
    """`modules` are the parsed `.py` files that a machine may change or must understand, by relative path."""

    root: Path
    spec: NodeSpec
    texts: dict[str, str]
    modules: dict[str, ast.Module]
    writable: frozenset[str]
    files: frozenset[str]


def read_sources(root: Path, incident: Incident) -> Sources:
    """Raises BadInput when the folder is no release or not the one the incident speaks of."""
    if not root.is_dir():
        raise BadInput(f"{root}: expected the folder of the parent release")
    manifest = root / "node.toml"
    try:
        text = manifest.read_text("utf-8")
        spec = read_node(text, "node.toml")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{manifest}: cannot be read: {error}") from None
    except ManifestError as error:
        raise BadInput(str(error)) from None
    if spec.name != incident.node:
        raise BadInput(f"node.toml: node.name: the incident speaks of {incident.node!r}, got {spec.name!r}")
    if spec.version != incident.parent.version:
        raise BadInput(
            f"node.toml: node.version: the incident speaks of {incident.parent.version!r}, "
            f"got {spec.version!r}"
        )
    _same_release(root, incident.parent.digest)
    files = _files(root)
    texts = {
        name: content
        for name in files
        if name.endswith(".py") and (content := _text(root / name)) is not None
    }
    modules = {name: tree for name, content in texts.items() if (tree := _parsed(content)) is not None}
    writable = frozenset(name for name in modules if may_write(spec, name))
    return Sources(root, spec, texts, modules, writable, frozenset(files))


def may_write(spec: NodeSpec, name: str) -> bool:
    """Tests, the soak load and hidden files are never written, whatever the manifest allows."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or any(part.startswith(".") for part in path.parts):
        return False
    if is_test(name) or name in trial_files(spec):
        return False
    if not spec.regeneration.write:
        return path.suffix == ".py"
    return any(_matches(path, pattern) for pattern in spec.regeneration.write)


def is_test(name: str) -> bool:
    path = PurePosixPath(name)
    return (
        bool({"tests", "test"} & set(path.parts[:-1]))
        or fnmatch.fnmatchcase(path.name, "test_*.py")
        or path.name.endswith("_test.py")
        or path.name == "conftest.py"
    )


def trial_files(spec: NodeSpec) -> frozenset[str]:
    """Files that the test and soak commands name: a candidate must not bend its own judge."""
    words = [*spec.tests.command, *spec.tests.soak]
    return frozenset(str(PurePosixPath(word)) for word in words if word.endswith(".py"))


def with_version(manifest: str, version: str) -> str:
    """The manifest with only the value of `node.version` replaced. Raises BadInput without such a line."""
    lines = manifest.splitlines(keepends=True)
    table = ""
    for number, line in enumerate(lines):
        stripped = line.strip()
        if stripped.startswith("["):
            table = stripped.split("#")[0].strip()
        key, equals, rest = line.partition("=")
        if table == "[node]" and equals and key.strip() in {"version", '"version"'}:
            old = rest.lstrip()
            quote = old[:1]
            end = old.find(quote, 1) if quote in {'"', "'"} else -1
            if end < 0:
                break
            lines[number] = f'{key}={rest[: len(rest) - len(old)]}"{version}"{old[end + 1 :]}'
            return _only_version(manifest, "".join(lines), version)
    raise BadInput('node.toml: node.version: expected a line version = "..." in [node]')


def _same_release(root: Path, digest: str) -> None:
    """The report will name this parent: what is tried must be it."""
    try:
        found = digest_of_tree(root)
    except ReleaseError as error:
        raise BadInput(f"{root}: is no release: {error}") from None
    if found != digest:
        raise BadInput(
            f"{root}: expected the release {digest} that the incident names, its files are {found}"
        )


def _only_version(before: str, after: str, version: str) -> str:
    old, new = tomllib.loads(before), tomllib.loads(after)
    old["node"]["version"] = version
    if old != new:
        raise BadInput('node.toml: node.version: expected a plain line version = "..." in [node]')
    return after


def _files(root: Path) -> list[str]:
    found: list[str] = []
    for folder, folders, names in os.walk(root):
        # wheels are nobody's to change, and too many to read
        made = {FOLDER} if Path(folder) == root else set()
        folders[:] = sorted(name for name in folders if name not in PRUNED | made)
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink():
                found.append(path.relative_to(root).as_posix())
        if len(found) > MAX_FILES:
            raise BadInput(f"{root}: expected a release of at most {MAX_FILES:,} files")
    return found


def _text(path: Path) -> str | None:
    """None for what cannot be changed safely: too large or not UTF-8."""
    if path.stat().st_size > MAX_SOURCE:
        return None
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _parsed(text: str) -> ast.Module | None:
    try:
        return ast.parse(text.removeprefix("\ufeff"))
    except (SyntaxError, ValueError, RecursionError):
        return None


def _matches(path: PurePosixPath, pattern: str) -> bool:
    """`*` stays inside a folder, `**` crosses folders, as in .gitignore."""
    return _match_parts(path.parts, PurePosixPath(pattern).parts)


def _match_parts(parts: tuple[str, ...], patterns: tuple[str, ...]) -> bool:
    if not patterns:
        return not parts
    if patterns[0] == "**":
        return any(_match_parts(parts[cut:], patterns[1:]) for cut in range(len(parts) + 1))
    return (
        bool(parts) and fnmatch.fnmatchcase(parts[0], patterns[0]) and _match_parts(parts[1:], patterns[1:])
    )
