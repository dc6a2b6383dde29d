"""Which rules of the house can be read off the files? Each rule yields its offences as text."""

import ast
import configparser
import re
import sys
from collections.abc import Iterator
from pathlib import Path

SOURCE_ROOTS = ("daemon", "proto", "nodes")
LONGEST_FILE = 400
LONGEST_FUNCTION = 60
# A name that says nothing collects everything.
EMPTY_WORDS = frozenset(
    [
        "base",
        "common",
        "handler",
        "handlers",
        "helper",
        "helpers",
        "impl",
        "manager",
        "managers",
        "misc",
        "util",
        "utils",
    ]
)
MACHINE_PATH = re.compile(r"(?<![\w.$}/-])/(?:work|root|home|Users)/[\w.-]+")
MOCKING = re.compile(r"\bunittest\.mock\b|\bfrom unittest import mock\b|\bpatch(?:\.object|\.dict)?\(")


def python_files(root: Path, *folders: str) -> list[Path]:
    found = (path for folder in folders for path in sorted((root / folder).rglob("*.py")))
    return [path for path in found if "_pb2" not in path.name and "build" not in path.parts]


def too_long(root: Path, files: list[Path]) -> Iterator[str]:
    for path in files:
        text = path.read_text()
        lines = len(text.splitlines())
        if lines > LONGEST_FILE:
            yield f"{path.relative_to(root)}: {lines} lines, at most {LONGEST_FILE}: split the subject"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > LONGEST_FUNCTION:
                    place = f"{path.relative_to(root)}:{node.lineno}"
                    yield f"{place}: {node.name} has {length} lines, at most {LONGEST_FUNCTION}"


def empty_names(root: Path, files: list[Path]) -> Iterator[str]:
    for path in files:
        inside = path.relative_to(root)
        words = {word for part in inside.with_suffix("").parts for word in re.split(r"[_.-]", part)}
        if words & EMPTY_WORDS:
            yield f"{inside}: {', '.join(sorted(words & EMPTY_WORDS))} says nothing; name the subject"


def untested_policies(root: Path) -> Iterator[str]:
    for path in sorted((root / "daemon/noded/policy").glob("*.py")):
        mirror = root / "tests/policy" / f"test_{path.name}"
        if path.name != "__init__.py" and not mirror.exists():
            yield f"{path.relative_to(root)}: {mirror.relative_to(root)} is missing"


def union_members(path: Path, alias: str) -> set[str]:
    """The class names in `alias: TypeAlias = A | B | C`."""
    for node in ast.parse(path.read_text()).body:
        targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
        if any(isinstance(target, ast.Name) and target.id == alias for target in targets):
            value = getattr(node, "value", None)
            return {part.id for part in ast.walk(value) if isinstance(part, ast.Name)} if value else set()
    return set()


def matched_classes(path: Path) -> set[str]:
    """The class names that appear as `case Name(...)`, also as `case module.Name(...)`."""
    patterns = [
        node.cls for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.MatchClass)
    ]
    return {cls.attr if isinstance(cls, ast.Attribute) else ast.unparse(cls) for cls in patterns}


def mocking(root: Path, files: list[Path]) -> Iterator[str]:
    for path in files:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if MOCKING.search(line):
                yield f"{path.relative_to(root)}:{number}: use the fakes in tests/fakes instead of a mock"


def machine_paths(root: Path, files: list[Path]) -> Iterator[str]:
    for path in files:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if found := MACHINE_PATH.search(line):
                yield f"{path.relative_to(root)}:{number}: {found[0]} exists on one machine only"


OPTIONAL = {("nodes/nodekit/link_grpc.py", "grpc"), ("nodes/nodekit/grpc_answers.py", "grpc")}
"""Packages that a file imports within a function only, and does without when they are not there."""


def foreign_imports(root: Path, package: str) -> Iterator[str]:
    """Imports of a package that must run on a bare Python."""
    allowed = sys.stdlib_module_names | {Path(package).name}
    for path in python_files(root, package):
        tree = ast.parse(path.read_text())
        functions = (f for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef))
        later = {inner for function in functions for inner in ast.walk(function)}
        where = str(path.relative_to(root))
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            for name in names:
                first = name.partition(".")[0]
                if first not in allowed and not (node in later and (where, first) in OPTIONAL):
                    yield f"{where}: imports {name}, which a bare Python lacks"


def settings(root: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(root / "setup.cfg")
    return parser


def package_roots(root: Path) -> dict[str, Path]:
    """Top-level package -> its folder, from setup.cfg."""
    lines = settings(root).get("options", "package_dir").strip().splitlines()
    return {
        name.strip(): root / folder.strip() for name, _, folder in (line.partition("=") for line in lines)
    }


def unlisted_packages(root: Path) -> Iterator[str]:
    listed = set(settings(root).get("options", "packages").split())
    roots = package_roots(root)
    present = {
        ".".join((name, *init.parent.relative_to(folder).parts))
        for name, folder in roots.items()
        for init in folder.rglob("__init__.py")
    }
    yield from (f"{name}: a folder, but not in packages of setup.cfg" for name in sorted(present - listed))
    yield from (f"{name}: in packages of setup.cfg, but no folder" for name in sorted(listed - present))
    # A node's own package (beside a node.toml) is a release, not part of this distribution.
    tops = {init.parent for source in SOURCE_ROOTS for init in (root / source).glob("*/__init__.py")}
    yield from (f"{top.name}: not in package_dir of setup.cfg" for top in sorted(tops - set(roots.values())))


def shown_commands(text: str, program: str) -> Iterator[list[str]]:
    """The words after `$ program` in the fenced `console` blocks of a Markdown text."""
    for block in re.findall(r"^```console\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            words = line.split()
            if words[:2] == ["$", program]:
                yield words[2:]
