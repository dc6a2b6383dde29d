"""What do a release's own tests say, run as they are for a candidate?

A copy of the release, in the sandbox, without network. What they print is shown; the exit code is the answer.
"""

import asyncio
import json
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError, with_config

from nodespec.manifest import NodeSpec
from nodespec.reading import ManifestError, decode, read_node
from nodespec.tree import MANIFEST
from regenerator.incident import STRICT, Absolute, BadInput, Text, Variable
from regenerator.release import copy_parent
from regenerator.sandbox import open_sandbox
from regenerator.trial import Deadline, Room, run_tests, sdk_folders

KEPT = 64 << 10
LARGEST_HOST = 1 << 20
MADE = ".tests-"


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class Host:
    """What a node finds on this host."""

    python: Absolute
    env: Annotated[dict[Variable, Text], Field(max_length=200)]


@dataclass(frozen=True, slots=True)
class Outcome:
    passed: bool
    output: str
    """The end of what the tests printed, printable characters only."""
    seconds: float
    detail: str
    """How they ended, or why they could not be run."""
    sandbox: str


HOST = TypeAdapter(Host)


async def test_release(root: Path, host: Path, out: Path, budget: float) -> Outcome:
    """Writes the outcome to `out`, whole or not at all. Raises BadInput."""
    spec, found = _spec(root), _host(host)
    work = _work_beside(out)
    try:
        outcome = await _tested(root, spec, found, work, budget)
        (work / "outcome").write_text(json.dumps(asdict(outcome)), "utf-8")
        (work / "outcome").rename(out)
    finally:
        await asyncio.to_thread(shutil.rmtree, work, ignore_errors=True)
    return outcome


def _work_beside(out: Path) -> Path:
    if os.path.lexists(out):
        raise BadInput(f"{out}: expected a name that is not taken")
    try:
        return Path(tempfile.mkdtemp(prefix=MADE, dir=out.parent))
    except OSError as error:
        raise BadInput(f"{out.parent}: cannot be written: {error.strerror}") from None


async def _tested(root: Path, spec: NodeSpec, host: Host, work: Path, budget: float) -> Outcome:
    if not spec.tests.command:
        return Outcome(False, "", 0.0, "node.toml has no tests.command", "")
    sandbox = open_sandbox(host.python, sdk_folders(host.env, root), work)
    tree = work / "release"
    copy_parent(root, tree)
    room = Room(spec, host.env, sandbox, Deadline(budget), root)
    ran = (await run_tests(room, tree, 0, KEPT)).ran
    detail = "" if ran.ok else ran.ended_by or f"exit code {ran.code}"
    if sandbox.level == "none":
        detail = "; ".join(filter(None, (detail, "not enclosed: bubblewrap is missing or may not be used")))
    return Outcome(ran.ok, ran.output, round(ran.seconds, 3), detail, sandbox.level)


def _spec(root: Path) -> NodeSpec:
    try:
        return read_node(decode((root / MANIFEST).read_bytes(), MANIFEST), MANIFEST)
    except OSError as error:
        raise BadInput(f"{root / MANIFEST}: cannot be read: {error.strerror}") from None
    except ManifestError as error:
        raise BadInput(str(error)) from None


def _host(path: Path) -> Host:
    try:
        with path.open("rb") as source:
            raw = source.read(LARGEST_HOST + 1)
        if len(raw) > LARGEST_HOST:
            raise BadInput(f"{path}: expected at most {LARGEST_HOST:,} bytes")
        return HOST.validate_json(raw)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        wrong = error.errors()[0]
        key = ".".join(map(str, wrong["loc"])) or "file"
        raise BadInput(f"{path.name}: {key}: {wrong['msg']}") from None
