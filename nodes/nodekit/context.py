"""What does a handler know about the event in its hands, and what may it say about it?"""

import logging
from collections.abc import Callable, Coroutine, Mapping, MutableMapping
from typing import Any, Protocol, TypeAlias

from .frames import Extra, Frame
from .parcel import Receipt
from .tracing import Cause, span_of, trace_of, traceparent

NOTHING_MORE = Extra()


class Retry(Exception):
    """Raised by a handler: this event again, `after` seconds or when the mesh finds it time."""

    def __init__(self, after: float | None = None, reason: str = "") -> None:
        super().__init__(reason or "asked for another try")
        if after is not None and not 0 <= after < 86400 * 365:
            raise ValueError(f"after: expected seconds such as 2.5, got {after!r}")
        self.after = after or 0.0


class Reject(Exception):
    """Raised by a handler: nobody will ever handle this event; it becomes a dead letter with this reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class Side(Protocol):
    """What a context needs of its node."""

    name: str

    @property
    def publish_nowait(self) -> Callable[..., Receipt]: ...
    @property
    def publish(self) -> Callable[..., Coroutine[Any, Any, str]]: ...
    @property
    def transaction(self) -> Callable[["Context", Any, str], Any]: ...


Delivered: TypeAlias = tuple[Side, Frame, str]
"""What the events of one type in a delivery have in common."""


class Context:
    """Of one event in one handler."""

    __slots__ = ("_delivered", "_place", "data")

    # One is made for every event: whatever all of a delivery have in common stands apart.
    _delivered: Delivered
    _place: int
    data: bytes
    """As it came."""

    @classmethod
    def of(cls, delivered: Delivered, place: int, data: bytes) -> "Context":
        self = cls.__new__(cls)
        self._delivered, self._place, self.data = delivered, place, data
        return self

    @property
    def _frame(self) -> Frame:
        return self._delivered[1]

    @property
    def type(self) -> str:
        return self._delivered[2]

    @property
    def id(self) -> str:
        return f"{self._frame.head.stream}.{self._frame.sequence(self._place)}"

    @property
    def source(self) -> str:
        return self._frame.head.source

    @property
    def content(self) -> str:
        """CloudEvents' datacontenttype."""
        return self._frame.head.content or "application/json"

    @property
    def subject(self) -> str:
        return self._frame.subject[self._place] if self._frame.subject else ""

    @property
    def time(self) -> float:
        """When it was published: seconds since the epoch."""
        after = self._frame.after[self._place] if self._frame.after else 0
        return (self._frame.head.at + after) / 1e6

    @property
    def attempt(self) -> int:
        """1 for the first time."""
        return self._frame.delivery.attempt or 1

    @property
    def extra(self) -> Extra:
        return self._frame.extra.get(self._place, NOTHING_MORE)

    @property
    def attributes(self) -> Mapping[str, str]:
        """CloudEvents extension attributes."""
        return self.extra.attributes

    @property
    def cause(self) -> str:
        """Id of the event that this one answers, or empty."""
        return self.extra.cause

    @property
    def trace(self) -> str:
        """Trace id as 32 hexadecimal digits."""
        return self._trace.hex()

    @property
    def traceparent(self) -> str:
        """For calls that this handler makes."""
        return traceparent(self._trace, span_of(self.id))

    @property
    def _trace(self) -> bytes:
        return self.extra.trace or trace_of(self.id)

    def as_cause(self) -> Cause:
        return Cause(self._trace, span_of(self.id), self.id, self.extra.tracestate)

    @property
    def log(self) -> "EventLog":
        """Names the event in every line."""
        return EventLog(logging.getLogger(self._delivered[0].name), {"event": self.id, "trace": self.trace})

    async def publish(self, event: object, **more: Any) -> str:
        """node.publish, caused by this event."""
        return await self._delivered[0].publish(event, **more, cause=self)

    def publish_nowait(self, event: object, **more: Any) -> Receipt:
        """node.publish_nowait, caused by this event. A `def` handler calls `.wait()` on what it returns."""
        return self._delivered[0].publish_nowait(event, **more, cause=self)

    def transaction(self, db: Any, part: str = "") -> Any:
        """`async with ctx.transaction(db) as tx`: see nodekit.transaction."""
        return self._delivered[0].transaction(self, db, part)


class EventLog(logging.LoggerAdapter[logging.Logger]):
    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        assert self.extra
        kwargs["extra"] = {**self.extra, **kwargs.get("extra", {})}
        return f"{msg} [event {self.extra['event']}]", kwargs
