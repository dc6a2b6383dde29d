"""What does noded call, and what does the exit code mean?

0: a report was written, whatever the verdict; 1: the worker failed or was stopped and left nothing; 2: bad
input.
"""

import argparse
import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from regenerator.incident import BadInput, Evidence, read_incident
from regenerator.processes import adopt_strays, end_strays
from regenerator.sources import Sources, read_sources
from regenerator.worker import Worker, new_worker, say

SHORTEST, LONGEST = 2.0, 3600.0


def main(arguments: Sequence[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    try:
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
        asyncio.run(_until_told(new_worker(sources, evidence, out.resolve(), budget)))
        done = True
    finally:
        end_strays()
        if not done:
            _leave_nothing(out, made)
    return 0


async def _until_told(worker: Worker) -> None:
    task = asyncio.current_task()
    assert task is not None
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, task.cancel)
    await worker.regenerate()


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="noded-regenerate",
        description="Propose and prove a new version of a node that cures an incident.",
    )
    parser.add_argument("--node", type=Path, required=True, help="folder of the parent release, only read")
    parser.add_argument("--incident", type=Path, required=True, help="incident.json")
    parser.add_argument("--out", type=Path, required=True, help="a folder that does not exist or is empty")
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
