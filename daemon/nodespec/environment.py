"""How do the wheels that a node's requirements name travel inside its release, and how are they found?

They were unpacked once, where the release was packed, into `.noded/site`; `.noded/environment.json` says from
which requirements. The node's own folder is not part of that: nothing else may lie in `.noded`.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from nodespec.manifest import NodeSpec
from nodespec.tables import Mistake, shown
from nodespec.tree import Kind, Tree

FOLDER = ".noded"
SITE = f"{FOLDER}/site"
RECORD = f"{FOLDER}/environment.json"

Files = Mapping[str, tuple[bytes, bool]]
"""Paths in the release with contents, and whether they may be run."""


@dataclass(frozen=True, slots=True)
class Environment:
    requirements: str
    """Digest of the requirements file."""
    python: str
    """As "3.11"."""
    platform: str
    """As "linux-x86_64"."""
    built_with: str

    def text(self) -> bytes:
        return f"{json.dumps(asdict(self), indent=1, sort_keys=True)}\n".encode()


def digest_of_requirements(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def is_made(path: str) -> bool:
    """Whether a path of a release is for what is made, not for what the author wrote."""
    return path == FOLDER or path.startswith(f"{FOLDER}/")


def without_environment(spec: NodeSpec, tree: Tree, folder: Path) -> Iterator[Mistake]:
    """What is wrong with the environment of an unpacked release."""
    made = sorted(path for path in tree if is_made(path))
    if not spec.requirements:
        if made:
            hint = "only nodectl writes there, for a node with node.requirements: rename it"
            yield Mistake(made[0], hint=hint)
        return
    foreign = next((path for path in made if path != RECORD and not path.startswith(f"{SITE}/")), "")
    if foreign:
        yield Mistake(foreign, f"only {SITE} and {RECORD} in {FOLDER}", shown(foreign))
    wanted = digest_of_requirements(_content(folder, spec.requirements))
    is_there = RECORD in tree and tree[RECORD].kind is Kind.FILE
    found = _digest(_content(folder, RECORD)) if is_there else ""
    if found != wanted:
        got = "none" if not found else f"one of other requirements ({found[:19]})"
        hint = "nodectl apply builds it from the node's folder"
        yield Mistake(FOLDER, f"the environment of {spec.requirements} ({wanted[:19]})", got, hint)


def with_site(spec: NodeSpec, release: str, env: Mapping[str, str]) -> dict[str, str]:
    """The environment of the node's programs: its wheels before what the host offers. `release` is the
    folder as the program sees it."""
    if not spec.requirements:
        return dict(env)
    site = f"{release}/{SITE}"
    found = {"PYTHONPATH": site, "PATH": f"{site}/bin"}
    return {**env, **{name: f"{own}:{env[name]}" if env.get(name) else own for name, own in found.items()}}


def _digest(content: bytes) -> str:
    try:
        record = json.loads(content)
    except (ValueError, RecursionError):
        return ""
    found = record.get("requirements") if isinstance(record, dict) else ""
    return found if isinstance(found, str) and found.isprintable() else ""


def _content(folder: Path, path: str) -> bytes:
    """Of a file that was unpacked and is no link; its size has been limited with the release's."""
    with (folder / path).open("rb") as source:
        return source.read()
