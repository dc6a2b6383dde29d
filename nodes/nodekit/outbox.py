"""How do events come from the author's database to the mesh, once and in order?

Rows were written in the transaction that they belong to. After its commit they are sent as one stream whose
sequences are kept in the database: whatever dies in between, a second try has the same ids, and the mesh
ignores it. One instance sends at a time; when it dies, another one goes on after LEASE seconds.
"""

import asyncio
import contextlib
import logging
import os
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

from . import tables
from .database import Beside, Database
from .fields import chunk, number
from .frames import MOST_BYTES, MOST_EVENTS, Head, encode_columns, encode_frame
from .link import Link
from .tables import Batch, Waiting
from .wire import Published

MOST = (MOST_EVENTS, MOST_BYTES)
# Rows of an instance that died are found after so long, when nothing else happens.
LOOK = 15.0
# While another instance sends, or the database is in trouble.
PAUSE = 0.05
LONGEST_PAUSE = 5.0
LEAVE_TIME = 1.0
INBOX_AGE = 30 * 86400.0
PRUNE_EVERY = 60.0
logger = logging.getLogger("nodekit")


@dataclass(frozen=True, slots=True)
class Sender:
    """Who publishes, and how it reaches the mesh."""

    node: str
    instance: str
    version: str
    connect: Callable[[], Link]
    checked: bool = True
    """Events were held against their contracts before they were written."""

    def new_stream(self) -> str:
        return f"{self.node}-outbox-{os.urandom(6).hex()}"

    def hello(self, stream: str) -> bytes:
        head = Head(
            f"/{self.node}", stream, version=self.version, instance=self.instance, checked=self.checked
        )
        return encode_frame(head)

    def frame(self, stream: str, rows: Sequence[Waiting]) -> bytes:
        types = tuple(dict.fromkeys(row.type for row in rows))
        places = {type: place for place, type in enumerate(types)}
        at = min(row.at for row in rows)
        head = Head(
            f"/{self.node}", stream, rows[0].sequence, len(rows), at, types, rows[0].content, self.version
        )
        subjects = [row.subject for row in rows] if any(row.subject for row in rows) else []
        columns = encode_columns(
            [places[row.type] for row in rows] if len(types) > 1 else (),
            # Four bytes of microseconds last for an hour; what waited longer is told no younger than that.
            [min(row.at - at, 2**32 - 1) for row in rows] if any(row.at != at for row in rows) else (),
            subjects,
            [zlib.crc32(subject.encode()) for subject in subjects],
        )
        extras = [chunk(4, number(1, place) + row.extra) for place, row in enumerate(rows) if row.extra]
        return encode_frame(head, columns, [row.data for row in rows]) + b"".join(extras)


class Relay:
    """Of one database. It hears what the mesh says about its stream (link.Ears)."""

    def __init__(self, of: Database, sender: Sender, inbox_age: float = INBOX_AGE) -> None:
        self.beside = Beside(of)
        self.sender, self.inbox_age = sender, inbox_age
        self.owner = f"{sender.instance}-{os.urandom(4).hex()}"
        self.link: Link | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.on_empty: Callable[[], object] = bool
        """Told on the event loop when nothing is left to send."""
        self.stream, self.holds = "", False
        self.through: int | None = None
        self.refused: list[tuple[int, int, str]] = []
        self.news, self.work, self.empty = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def wake(self) -> None:
        """Something was written to the outbox. From any thread."""
        if self.loop:
            self.loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self.empty.clear()
        self.work.set()

    async def run(self) -> None:
        """Until cancelled. Whatever fails is tried again: the rows wait."""
        pause, self.loop = PAUSE, asyncio.get_running_loop()
        try:
            while True:
                try:
                    await self.work_on()
                # The author's database may fail in ways of its own: the node goes on, the rows wait.
                except Exception as error:  # noqa: BLE001
                    logger.warning("outbox: %s: %s; trying again", type(error).__name__, error)
                    await self.beside.close()
                    pause = min(LONGEST_PAUSE, 2 * pause)
                    await asyncio.sleep(pause)
        finally:
            self.loop = None
            await self.leave()

    async def leave(self) -> None:
        if self.link:
            await self.link.close()
        try:
            if self.holds:
                async with asyncio.timeout(LEAVE_TIME):
                    await self.beside.perform(lambda _: tables.leave(self.owner))
        # Without it the others wait until the lease is over.
        except Exception as error:  # noqa: BLE001
            logger.info("outbox: %s: %s", type(error).__name__, error)
        finally:
            await self.beside.close()

    async def work_on(self) -> NoReturn:
        """Sends until nothing is left, then waits for more."""
        db, new = self.beside, self.sender.new_stream()
        await db.perform(lambda own: tables.make_tables(own, new))
        pruned = 0.0
        while True:
            self.work.clear()
            batch = await self.send_all()
            if batch.mine and not self.work.is_set():
                self.empty.set()
                self.on_empty()
            if time.monotonic() - pruned > PRUNE_EVERY:
                pruned = time.monotonic()
                await self.prune()
            if batch.mine:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK):
                        await self.work.wait()
            else:
                await asyncio.sleep(PAUSE)

    async def send_all(self) -> Batch:
        """Returns a batch without rows: nothing is left, or another instance sends."""
        sent = 0
        while True:
            refused, self.refused = tuple(self.refused), []
            # Cut off in the middle it may hold all the same: a thread goes on.
            self.holds = True
            batch = await self.beside.perform(
                partial(tables.take, owner=self.owner, through=sent, refused=refused, most=MOST)
            )
            self.holds = bool(batch.rows)
            if not batch.rows:
                return batch
            sent = await self.deliver(batch)
            if not sent:
                name = self.sender.new_stream()
                logger.warning(
                    "outbox: the mesh has %s otherwise than the database: now %s", batch.stream, name
                )
                await self.beside.perform(lambda _, name=name: tables.begin_stream(self.owner, name))  # type: ignore[misc]

    async def deliver(self, batch: Batch) -> int:
        """The sequence up to which the mesh has all; 0 when its stream and the database's are two."""
        self.say_hello(batch.stream)
        last = batch.rows[-1].sequence
        while True:
            if self.through is None:
                await self.heard()
                continue
            if not batch.first - 1 <= self.through < batch.next:
                return 0
            left = [row for row in batch.rows if row.sequence > self.through]
            if left:
                assert self.link
                self.link.send(self.sender.frame(batch.stream, left))
            if await self.acknowledged(last):
                return last

    async def acknowledged(self, last: int) -> bool:
        """False when the connection went first."""
        while self.through is not None:
            if self.through >= last:
                return True
            await self.heard()
        return False

    async def prune(self) -> None:
        age, pruned = self.inbox_age, tables.PRUNED
        while pruned == tables.PRUNED:
            pruned = await self.beside.perform(lambda db: tables.prune(db, age))
            # Others who write come in between.
            await asyncio.sleep(PAUSE if pruned == tables.PRUNED else 0)

    def say_hello(self, stream: str) -> None:
        if self.link is None:
            self.link = self.sender.connect()
            self.link.open(self)
        if stream != self.stream:
            self.stream, self.through = stream, None
            self.link.hello(self.sender.hello(stream))

    async def heard(self) -> None:
        self.news.clear()
        await self.news.wait()

    # What the mesh says

    def on_open(self) -> None:
        self.through = None

    def on_published(self, published: Published) -> None:
        """The first one of a connection says what the mesh has of the stream."""
        self.through = published.through
        for one in published.refused:
            logger.error("outbox: the mesh refused an event: %s", one.reason)
            self.refused.append((one.first, one.first + one.count - 1, one.reason[:2000]))
        self.news.set()

    def on_frame(self, frame: bytes) -> None:
        """Nothing was subscribed to."""

    def on_lost(self, why: str) -> None:
        self.through = None
        self.news.set()
