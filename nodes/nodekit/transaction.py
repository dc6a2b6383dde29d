"""How does an event change the node's database just once, and how is what it publishes never lost?

    async with ctx.transaction(db) as tx:
        db.execute("UPDATE accounts SET balance = balance - ? ...")
        tx.publish(PaymentCaptured(...), subject=event.order_id)

The block begins a transaction and notes in the inbox that this node handled this event. When it was noted
before, `Repeated` is raised where the block would begin: nothing of the handler behind that place runs, and
the event counts as handled. What `tx.publish` was given is written to the outbox in the same transaction and
sent after the commit.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Protocol

from . import tables
from .bounds import LONGEST_SUBJECT, LONGEST_TYPE, PublishRefused, check_attributes, check_text
from .database import Database, database
from .frames import LONGEST_EVENT, Extra
from .outbox import INBOX_AGE, Relay, Sender
from .tables import Waiting

logger = logging.getLogger("nodekit")


class Repeated(Exception):
    """This event was handled before: there is nothing to do. The SDK takes it for success."""


@dataclass(frozen=True, slots=True)
class Written:
    """An event as it goes over the wire. Empty content is application/json."""

    type: str
    content: str
    data: bytes


class Write(Protocol):
    """Turns what an author publishes into bytes, held against its contract. Raises what publish raises."""

    def __call__(self, event: object, type: str, content: str) -> Written: ...


@dataclass(frozen=True, slots=True)
class Handled:
    """The event that is being handled."""

    id: str
    extra: Extra
    """What is said of every event that answers it: trace, span, cause."""


class Transaction:
    """One block, in its own thread with `with`, on the event loop with `async with`."""

    def __init__(self, outboxes: "Outboxes", connection: Any, handled: Handled, part: str) -> None:
        self._outboxes, self._handled, self._connection = outboxes, handled, connection
        self._consumer = f"{outboxes.sender.node}/{part}" if part else outboxes.sender.node
        self._rows: list[Waiting] = []
        self._db: Database | None = None

    def publish(
        self,
        event: object,
        *,
        type: str = "",
        subject: str | None = None,
        content: str = "",
        attributes: dict[str, str] | None = None,
    ) -> None:
        """Sent after the commit, in the order of the calls; never when the block fails."""
        if self._db is None:
            raise RuntimeError("tx.publish belongs inside the block of its transaction")
        written = self._outboxes.write(event, type, content)
        extra = replace(self._handled.extra, attributes=check_attributes(attributes or {}))
        self._rows.append(checked(written, subject or "", extra))

    # In a thread

    def __enter__(self) -> "Transaction":
        db = self._outboxes.hold(self._connection)
        try:
            if self._outboxes.is_new(db):
                db.perform(self._outboxes.make)
                self._outboxes.made(db)
            db.enter()
            try:
                first = db.drive(tables.claim(db, self._consumer, self._handled.id))
                if not first:
                    raise Repeated(f"{self._consumer} has handled {self._handled.id} already")
            except BaseException:
                db.leave(False)
                raise
        except BaseException:
            self._outboxes.let_go(db)
            raise
        self._db = db
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        db, self._db = self._db, None
        assert db
        try:
            good = kind is None
            try:
                if good:
                    db.drive(tables.put(self._rows))
            except BaseException:
                db.leave(False)
                raise
            db.leave(good)
            self._outboxes.committed(db, bool(self._rows) and good)
        finally:
            self._outboxes.let_go(db)

    # On the event loop

    async def __aenter__(self) -> "Transaction":
        db = self._outboxes.hold(self._connection)
        try:
            if self._outboxes.is_new(db):
                await db.perform_async(self._outboxes.make)
                self._outboxes.made(db)
            await db.enter_async()
            try:
                first = await db.drive_async(tables.claim(db, self._consumer, self._handled.id))
                if not first:
                    raise Repeated(f"{self._consumer} has handled {self._handled.id} already")
            except BaseException:
                await db.leave_async(False)
                raise
        except BaseException:
            self._outboxes.let_go(db)
            raise
        self._db = db
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        db, self._db = self._db, None
        assert db
        try:
            good = kind is None
            try:
                if good:
                    await db.drive_async(tables.put(self._rows))
            except BaseException:
                await db.leave_async(False)
                raise
            await db.leave_async(good)
            self._outboxes.committed(db, bool(self._rows) and good)
        finally:
            self._outboxes.let_go(db)


def checked(written: Written, subject: str, extra: Extra) -> Waiting:
    """Raises PublishRefused: what the mesh would not take must not stand before all others."""
    check_text("type", written.type, LONGEST_TYPE, least=1)
    check_text("content", written.content, LONGEST_TYPE)
    check_text("subject", subject, LONGEST_SUBJECT)
    if len(written.data) > LONGEST_EVENT:
        raise PublishRefused(f"data: expected at most {LONGEST_EVENT} bytes, found {len(written.data)}")
    at = time.time_ns() // 1000
    return Waiting(written.type, subject, written.content, written.data, extra.encode(), at)


class Outboxes:
    """Of one node: its databases, and who sends from each."""

    def __init__(self, sender: Sender, write: Write, inbox_age: float = INBOX_AGE) -> None:
        self.sender, self.write, self.inbox_age = sender, write, inbox_age
        self._open: dict[int, Database] = {}
        self._known: set[str] = set()
        self._relays: dict[str, Relay] = {}
        self._lock = threading.Lock()
        self._start: Callable[[Relay], object] | None = None

    def transaction(self, connection: Any, handled: Handled, part: str = "") -> Transaction:
        """`part` tells several transactions of one event apart; without it the second one raises Repeated."""
        return Transaction(self, connection, handled, part)

    def outbox(self, connection: Any) -> None:
        """Sends what an earlier life left behind, from the start and not only after the first transaction."""
        db = database(connection)
        self._relay(db)

    def start(self, start: Callable[[Relay], object]) -> None:
        """From now on relays run: `start` begins one, on the event loop, from any thread."""
        self._start = start
        for relay in list(self._relays.values()):
            start(relay)

    @property
    def relays(self) -> list[Relay]:
        return list(self._relays.values())

    def make(self, db: Database) -> Any:
        return tables.make_tables(db, self.sender.new_stream())

    # What transactions ask for

    def hold(self, connection: Any) -> Database:
        """All who use one connection meet at one lock."""
        with self._lock:
            db = self._open.get(id(connection))
            if db is None:
                db = self._open[id(connection)] = database(connection)
            db.users += 1
            return db

    def let_go(self, db: Database) -> None:
        with self._lock:
            db.users -= 1
            if not db.users:
                self._open.pop(id(db.connection), None)

    def is_new(self, db: Database) -> bool:
        """Its tables may have to be made."""
        return not db.identity or db.identity not in self._known

    def made(self, db: Database) -> None:
        self._known.add(db.identity)

    def committed(self, db: Database, wrote: bool) -> None:
        relay = self._relay(db)
        if wrote:
            relay.wake()

    def _relay(self, db: Database) -> Relay:
        with self._lock:
            key = db.identity or f"memory {id(db.connection)}"
            relay = self._relays.get(key)
            if relay is None:
                if not db.identity:
                    # The relay uses the author's connection: all meet at this one's lock.
                    db = self._open.setdefault(id(db.connection), db)
                    db.users += 1
                relay = self._relays[key] = Relay(db, self.sender, self.inbox_age)
                if self._start:
                    self._start(relay)
            return relay
