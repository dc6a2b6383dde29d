"""What does noded call, and what does the exit code mean?

0: a report or an outcome was written, whatever it says; 1: the worker failed or was stopped and left nothing;
2: bad input.
"""

import argparse
import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Awaitable, Sequence
from pathlib import Path

from regenerator.incident import BadInput, Evidence, read_incident
from regenerator.processes import adopt_strays, end_strays
from regenerator.sources import Sources, read_sources
from regenerator.testing import test_release
from regenerator.worker import new_worker, say

SHORTEST, LONGEST = 2.0, 3600.0


def main(arguments: Sequence[str] | None = None) -> int:
    given = _given(arguments)
    try:
        if given.test_only:
            return _test(given.node, given.host, given.out, given.budget)
        evidence = read_incident(given.incident)
        sources = read_sources(given.node, evidence.incident)
        return _regenerate(sources, evidence, given.out, given.budget)
    except BadInput as bad:
        print(f"noded-regenerate: {bad}", file=sys.stderr)
        return 2
    except asyncio.CancelledError:
        say("interrupted: nothing was left behind")
    except (OSError, ExceptionGroup) as error:
        say(f"failed, nothing was left behind: {error}")
    return 1


def _regenerate(sources: Sources, evidence: Evidence, out: Path, budget: float) -> int:
    """Leaves `out` as it was unless the report was written."""
    made = _empty_folder(out)
    done = False
    try:
        adopt_strays()
        worker = new_worker(sources, evidence, out.resolve(), budget)
        asyncio.run(_until_told(worker.regenerate()))
        done = True
    finally:
        end_strays()
        if not done:
            _leave_nothing(out, made)
    return 0


def _test(root: Path, host: Path, out: Path, budget: float) -> int:
    try:
        adopt_strays()
        asyncio.run(_until_told(test_release(root, host, out.absolute(), budget)))
    finally:
        end_strays()
    return 0


async def _until_told(work: Awaitable[object]) -> None:
    task = asyncio.current_task()
    assert task is not None
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, task.cancel)
    await work


def _empty_folder(out: Path) -> bool:
    """True when it had to be made."""
    if out.is_symlink() or (out.exists() and not out.is_dir()) or (out.exists() and any(out.iterdir())):
        raise BadInput(f"{out}: expected a folder that does not exist or is empty")
    made = not out.exists()
    try:
        out.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{out}: cannot be made: {error.strerror}") from None
    return made


def _leave_nothing(out: Path, made: bool) -> None:
    for name in os.listdir(out):
        path = out / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
    if made:
        out.rmdir()


def _given(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    given = parser.parse_args(arguments)
    needed, other = ("host", "incident") if given.test_only else ("incident", "host")
    if getattr(given, needed) is None or getattr(given, other) is not None:
        parser.error(f"expected --{needed} and no --{other}" + (" with --test-only" * given.test_only))
    return given


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="noded-regenerate",
        description="Propose and prove a new version of a node that cures an incident.",
    )
    parser.add_argument("--node", type=Path, required=True, help="folder of the parent release, only read")
    parser.add_argument("--incident", type=Path, help="incident.json")
    parser.add_argument("--test-only", action="store_true", help="run the release's own tests, no more")
    parser.add_argument("--host", type=Path, help="with --test-only: JSON, python and env of nodes here")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="a folder that does not exist or is empty; with --test-only a file that does not exist",
    )
    parser.add_argument("--budget", type=_seconds, default=120.0, help="seconds for everything (default 120)")
    return parser


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not SHORTEST <= value <= LONGEST:
        raise argparse.ArgumentTypeError(f"expected {SHORTEST:.0f} to {LONGEST:.0f} seconds, got {text!r}")
    return value
