"""How do a measured program and the bench understand each other? Lines on standard input and output.

The program says `ready`, a publisher waits for `go`; it says `done` when everything was published and
acknowledged, or has arrived, and after `tell` what it found. While it is measured it says nothing.
"""

import asyncio
import json
import sys
import time
from collections.abc import Mapping

from tests.bench.load.events import Tally

PATIENCE = 20.0
"""Seconds without a new event after which the rest is given up as lost."""


def say(word: str) -> None:
    print(word, flush=True)


def await_word(word: str) -> None:
    line = sys.stdin.readline().strip()
    if line != word:
        raise SystemExit(f"expected {word!r}, the bench said {line!r}")


def tell(found: Mapping[str, object]) -> None:
    """What was found, when the bench has read the clocks of all processes."""
    say("done")
    await_word("tell")
    say(json.dumps(found))


async def all_arrived(tally: Tally, complete: asyncio.Event) -> None:
    """Returns when every event has come, or none has for too long."""
    seen, since = -1, time.monotonic()
    while not complete.is_set():
        if tally.got != seen:
            seen, since = tally.got, time.monotonic()
        elif time.monotonic() - since > PATIENCE:
            return
        try:
            async with asyncio.timeout(1.0):
                await complete.wait()
        except TimeoutError:
            continue
