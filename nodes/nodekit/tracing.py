"""To which trace does an event belong, and what caused it? W3C trace context, in a context variable."""

import re
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Protocol

TRACEPARENT = re.compile("[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
LONGEST_STATE = 512


@dataclass(frozen=True, slots=True)
class Cause:
    """What an event that is published now answers."""

    trace: bytes
    span: bytes
    event: str = ""
    """Id of the event, if it was one."""
    state: str = ""

    def as_cause(self) -> "Cause":
        return self


class Causes(Protocol):
    def as_cause(self) -> Cause: ...


current: ContextVar[Causes | None] = ContextVar("nodekit_cause", default=None)
"""What is being answered: a request with a traceparent, or an event."""


# All that is published for one request has one parent.
@lru_cache(16)
def read_traceparent(text: str, state: str = "") -> Cause | None:
    """None for what the standard says to pass over."""
    found = TRACEPARENT.fullmatch(text.strip()[:200])
    if not found or text.startswith("ff") or not found[1].strip("0") or not found[2].strip("0"):
        return None
    kept = state if len(state.encode()) <= LONGEST_STATE and state.isprintable() else ""
    return Cause(bytes.fromhex(found[1]), bytes.fromhex(found[2]), state=kept)


def traceparent(trace: bytes, span: bytes) -> str:
    return f"00-{trace.hex()}-{span.hex()}-01"


def trace_of(event: str) -> bytes:
    """Of an event that began a trace of its own."""
    return sha256(event.encode()).digest()[:16]


def span_of(event: str) -> bytes:
    return sha256(b"span " + event.encode()).digest()[:8]
