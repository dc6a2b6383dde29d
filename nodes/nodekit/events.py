"""What does a node do with events? It publishes and consumes them over one link to the mesh."""

import asyncio
import concurrent.futures
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import get_ident
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, TypeVar, Unpack

from .bounds import check_attributes
from .consuming import Consumer
from .context import Context
from .contracts import Contracts, read_contracts
from .frames import Extra
from .handling import Handler
from .link import Link, MeshLink
from .parcel import Receipt
from .payload import is_json, pack
from .publishing import BufferFull, Publisher
from .tracing import Causes, current, read_traceparent
from .wire import Published

if TYPE_CHECKING:
    from .outbox import Relay
    from .transaction import Outboxes, Transaction, Written

logger = logging.getLogger("nodekit")
F = TypeVar("F", bound=Callable[..., Any])
class_of = type
new = object.__new__
MOST_CONCURRENT = 1000
LONGEST_TIMEOUT = 86400.0
# Seconds between two looks whether the loop is there still that a thread waits for.
LOOK = 1.0


class NoMesh(RuntimeError):
    """There is no mesh, or the node does not run."""


class More(TypedDict, total=False):
    """What may be said of an event besides its data."""

    type: str
    """CloudEvents `type`; not needed for a class with TYPE."""
    subject: str | None
    content: str
    """CloudEvents `datacontenttype` of bytes."""
    traceparent: str
    """Of W3C Trace Context, when neither a request nor a handled event says it."""
    attributes: Mapping[str, str]
    """CloudEvents extension attributes."""
    cause: Causes


class PublishNow(Protocol):
    def __call__(self, event: object, **more: Unpack[More]) -> Receipt: ...


class Events:
    """`connect` makes a link: to the mesh of this host, or to one that a test holds in memory."""

    def __init__(self, name: str, instance: str, version: str, environ: Mapping[str, str]) -> None:
        """Raises ValueError for an address that noded would not have set."""
        self.name, self.instance, self.version = name, instance, version
        self.connect: Callable[[], Link] | None = None
        if environ.get("NODED_MESH"):
            MeshLink.from_environ(environ)
            kept = dict(environ)
            self.connect = lambda: MeshLink.from_environ(kept)
        elif environ.get("NODEKIT_DESK"):
            from .desk import Desk

            self.connect = Desk(environ["NODEKIT_DESK"]).connect
        self.handlers: dict[str, Handler] = {}
        self.contracts = Contracts()
        self.publisher: Publisher | None = None
        self.consumer: Consumer | None = None
        self._link: Link | None = None
        self._outboxes: Outboxes | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._group: asyncio.TaskGroup | None = None
        self._thread = 0
        self._relays: list[asyncio.Task[None]] = []

    @property
    def done(self) -> int:
        """Events handled so far."""
        return self.consumer.done if self.consumer else 0

    # What the author declares

    def on(
        self, event: type | str, *, attempts: int = 5, timeout: float = 10.0, concurrency: int = 16
    ) -> Callable[[F], F]:
        kind = None if isinstance(event, str) else event
        name = event if isinstance(event, str) else getattr(event, "TYPE", None)
        if not name or not isinstance(name, str):
            raise ValueError(f'on: expected an event\'s type or a class with TYPE = "...", got {event!r}')
        if name in self.handlers:
            raise ValueError(f"on: {name} has a handler already")
        for key, value, most in (
            ("attempts", attempts, 2**31),
            ("timeout", timeout, LONGEST_TIMEOUT),
            ("concurrency", concurrency, MOST_CONCURRENT),
        ):
            if not 0 < value <= most or (key != "timeout" and not isinstance(value, int)):
                raise ValueError(f"on: {name}: {key}: expected up to {most:g}, got {value!r}")

        def add(call: F) -> F:
            self.handlers[name] = Handler(name, call, kind, attempts, timeout, concurrency)
            return call

        return add

    # Its life

    def open(self, release: Path) -> None:
        """From now on events can be published. Raises ValueError, OSError."""
        self._loop, self._thread = asyncio.get_running_loop(), get_ident()
        if self.handlers and self.connect is None:
            logger.warning(missing(f"events of {', '.join(sorted(self.handlers))} will not come"))
        self.contracts = read_contracts(release)

    def consume(self, group: asyncio.TaskGroup) -> None:
        """From now on events come."""
        self._group = group
        if self._outboxes:
            self._outboxes.start(self._run_relay)
        if not self.handlers or self.connect is None:
            return
        handlers = list(self.handlers.values())
        self.consumer = Consumer(self, self.instance, handlers, self.contracts.ordered)
        self.consumer.start(self._linked(), group)

    async def stop_consuming(self, deadline: float) -> int:
        """Returns how many events were cut off: they come again."""
        if self.consumer is None:
            return 0
        return await self.consumer.finish(deadline)

    async def close(self, deadline: float) -> int:
        """Waits for what was published. Returns how many events nobody has: they are lost."""
        left = await self.publisher.drain(deadline) if self.publisher else 0
        for relay in self._relays:
            relay.cancel()
        if self._link:
            await self._link.close()
        self._loop = None
        return left

    # What is published

    def publish_nowait(
        self,
        event: object,
        *,
        type: str = "",
        subject: str | None = None,
        content: str = "",
        traceparent: str = "",
        attributes: Mapping[str, str] | None = None,
        cause: Causes | None = None,
    ) -> Receipt:
        if class_of(event) is not bytes or not type or type in self.contracts.judges:
            event, type, content = self._written(event, type, content)
        publisher, cause = self.publisher, cause or current.get()
        if publisher is not None and not (subject or cause or traceparent or attributes):
            # Nearly every event of a busy publisher is like the one before it: what is to be asked was asked
            # then. What follows is Publisher.put for these, here as a call would cost as much as all of it.
            parcel = publisher.open
            if (
                parcel is not None
                and parcel.only == type
                and parcel.content == content
                and get_ident() == self._thread
            ):
                place, size = len(parcel.data), parcel.size + len(event)
                if place < parcel.until and size <= parcel.most:
                    parcel.size = size
                    parcel.data.append(event)
                    receipt = new(Receipt)
                    receipt._parcel, receipt._place = parcel, place
                    return receipt
        extra = b""
        if cause or traceparent or attributes:
            extra = encoded_extra(cause, traceparent, attributes)
        if get_ident() != self._thread:
            given = event, type, subject or "", content, extra
            return self._on_loop(lambda: self._publisher().put(*given))
        return (publisher or self._publisher()).put(event, type, subject or "", content, extra)

    async def publish(self, event: object, **more: Unpack[More]) -> str:
        while True:
            try:
                receipt = self.publish_nowait(event, **more)
            except BufferFull:
                await self.room()
            else:
                return await receipt

    async def room(self) -> None:
        await self._publisher().room()

    def transaction(self, context: Context, db: Any, part: str = "") -> "Transaction":
        from .transaction import Handled

        return self.outboxes.transaction(db, Handled(context.id, extra_of(context)), part)

    @property
    def outboxes(self) -> "Outboxes":
        if self._outboxes is None:
            # sqlite3 is loaded only by nodes that use a database.
            from .outbox import Sender
            from .transaction import Outboxes

            sender = Sender(self.name, self.instance, self.version, self._connected, self.contracts.known)
            self._outboxes = Outboxes(sender, self._as_written)
            if self._group:
                self._outboxes.start(self._run_relay)
        return self._outboxes

    # How it is done

    def _written(self, event: object, type: str, content: str) -> tuple[bytes, str, str]:
        name = type or getattr(event, "TYPE", "")
        if not name or not isinstance(name, str):
            raise TypeError('publish: expected type="..." or an event of a class with TYPE')
        if isinstance(event, bytes):
            if name in self.contracts.judges:
                self.contracts.check_bytes(name, event, content)
            return event, name, content
        if content and not is_json(content):
            raise TypeError(
                f"publish: expected bytes, as {content} is no JSON; got {event.__class__.__name__}"
            )
        data = pack(event)
        if name in self.contracts.judges:
            self.contracts.check(name, event)
        return data, name, content

    def _as_written(self, event: object, type: str, content: str) -> "Written":
        from .transaction import Written

        data, type, content = self._written(event, type, content)
        return Written(type, content, data)

    def _publisher(self) -> Publisher:
        if self.publisher is None:
            link = self._linked()
            self.publisher = Publisher(f"/{self.name}", self.instance, self.version, self.contracts.known)
            self.publisher.use(link)
        return self.publisher

    def _connected(self) -> Link:
        if self.connect is None:
            raise NoMesh(missing("nothing can be published"))
        return self.connect()

    def _linked(self) -> Link:
        if self._loop is None:
            raise NoMesh("publish: the node does not run: publish in on_start, a task, a route or a handler")
        if self._link is None:
            self._link = self._connected()
            self._link.open(self)
        return self._link

    def _on_loop(self, call: Callable[[], Receipt]) -> Receipt:
        """From the thread of a `def` handler."""
        if self._loop is None:
            raise NoMesh("publish: the node does not run")
        made: concurrent.futures.Future[Receipt] = concurrent.futures.Future()

        def visit() -> None:
            try:
                made.set_result(call())
            except Exception as error:  # noqa: BLE001 - raised again in the waiting thread
                made.set_exception(error)

        try:
            self._loop.call_soon_threadsafe(visit)
        except RuntimeError:
            raise NoMesh("publish: the node has ended") from None
        while True:
            done, _ = concurrent.futures.wait((made,), LOOK)
            if done:
                return made.result()
            if not self._loop.is_running():
                # Nobody will ever answer, and the process waits for this thread.
                raise NoMesh("publish: the node has ended")

    def _run_relay(self, relay: "Relay") -> None:
        assert self._loop and self._group
        group = self._group
        self._loop.call_soon_threadsafe(lambda: self._relays.append(group.create_task(relay.run())))

    # What the mesh says

    def on_open(self) -> None:
        if self.publisher:
            self.publisher.on_open()
        if self.consumer:
            self.consumer.on_open()

    def on_lost(self, why: str) -> None:
        if self.publisher:
            self.publisher.on_lost(why)
        if self.consumer:
            self.consumer.on_lost()

    def on_published(self, published: Published) -> None:
        if self.publisher:
            self.publisher.on_published(published)

    def on_frame(self, frame: bytes) -> None:
        if self.consumer:
            self.consumer.on_frame(frame)


def extra_of(cause: Causes | None, attributes: Mapping[str, str] | None = None) -> Extra:
    """What is said of an event that answers this."""
    more = check_attributes(attributes) if attributes else {}
    if cause is None:
        return Extra(attributes=more)
    found = cause.as_cause()
    return Extra(0, found.trace, found.span, found.event, found.state, "", more)


def encoded_extra(cause: Causes | None, traceparent: str, attributes: Mapping[str, str] | None) -> bytes:
    if traceparent:
        cause = read_traceparent(traceparent)
        if cause is None:
            raise ValueError(f"traceparent: expected it as W3C Trace Context says, got {traceparent[:80]!r}")
    return extra_of(cause, attributes).encode() if cause or attributes else b""


def missing(what: str) -> str:
    return f"{what}: NODED_MESH is not set. Start the node with noded, or at the desk with `nodekit run`"
