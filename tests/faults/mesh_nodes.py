"""Which nodes are driven through the faults of the mesh? Each notes what is done, with one write."""

import asyncio
import os
import random
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path

from nodekit import BufferFull, Context, Node, PublishRefused, Receipt, Retry

DATA = Path(os.environ["NODED_DATA"])
KEYS = 11
PAID = 25
"""One event of so many is paid for."""
STUBBORN = 97
"""One event of so many fails at its first try."""


class Notes:
    """A line that was written survives the end of its process."""

    def __init__(self, name: str) -> None:
        self.file = os.open(DATA / f"{name}.notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, *words: object) -> None:
        os.write(self.file, ("\t".join(map(str, words)) + "\n").encode())


def connected(path: Path, *statements: str) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=30)
    with db:
        for statement in statements:
            db.execute(statement)
    return db


def publish(node: Node) -> None:
    """RATE events a second in small and large groups; MOST events, or without end."""
    rate, most = float(os.environ.get("RATE", "800")), int(os.environ.get("MOST", "0"))
    refused, dice = Notes(f"{node.name}.refused"), random.Random(node.instance)
    said: asyncio.Queue[tuple[Receipt, str] | None] = asyncio.Queue()
    put = putting(node)

    async def put_soon(n: int) -> Receipt:
        try:
            return put(n)
        except BufferFull as full:
            refused.write("full", full)
        await node.room()
        return put(n)

    @node.task
    async def load() -> None:
        n, began = 0, time.monotonic()
        while not most or n < most:
            group = dice.choice((1, 1, 3, 20, 60))
            for _ in range(min(group, most - n) if most else group):
                n += 1
                said.put_nowait((await put_soon(n), kind_of(n)))
            await asyncio.sleep(max(0.0, began + n / rate - time.monotonic()))
        said.put_nowait(None)

    @node.task
    async def note() -> None:
        notes = Notes(f"{node.name}.acked")
        while (each := await said.get()) is not None:
            receipt, kind = each
            try:
                notes.write(await receipt, kind)
            except PublishRefused as error:
                refused.write("refused", error)
        node.stop()


def kind_of(n: int) -> str:
    kind = os.environ.get("TYPE", "shop.placed")
    return "shop.paid" if n % PAID == 0 and kind == "shop.placed" else kind


def putting(node: Node) -> Callable[[int], Receipt]:
    padding = "x" * int(os.environ.get("SIZE", "100"))

    def put(n: int) -> Receipt:
        return node.publish_nowait({"n": n, "padding": padding}, type=kind_of(n), subject=str(n % KEYS))

    return put


def handle(node: Node) -> None:
    """In no order."""
    notes = Notes(node.name)
    timeout = float(os.environ.get("TIMEOUT", "10"))

    @node.on(os.environ.get("TYPE", "shop.placed"), timeout=timeout)
    async def came(event: dict[str, int], ctx: Context) -> None:
        if event["n"] % 20 == 0:
            await asyncio.sleep(0.05)
        notes.write(ctx.id, ctx.subject, ctx.attempt, node.instance, os.getpid(), time.monotonic())


def keep_order(node: Node) -> None:
    notes = Notes(node.name)

    async def came(event: dict[str, int], ctx: Context) -> None:
        if event["n"] % 5 == 0:
            await asyncio.sleep(0.001)
        if event["n"] % STUBBORN == 0 and ctx.attempt == 1:
            raise Retry(after=0.02)
        notes.write(ctx.id, ctx.subject, ctx.attempt, node.instance, os.getpid(), time.monotonic())

    node.on("shop.placed")(came)
    node.on("shop.paid")(came)


def book(node: Node) -> None:
    """Once in its database, and once in what it publishes."""
    db = connected(DATA / "till.db", "CREATE TABLE IF NOT EXISTS booked (id TEXT)")

    @node.on_start
    def left_behind() -> None:
        node.outbox(db)

    @node.on("shop.paid")
    async def paid(event: dict[str, int], ctx: Context) -> None:
        async with ctx.transaction(db) as tx:
            db.execute("INSERT INTO booked VALUES (?)", (ctx.id,))
            await asyncio.sleep(0)
            tx.publish({"of": ctx.id}, type="till.booked", subject=ctx.subject)


def audit(node: Node) -> None:
    db = connected(DATA / "audit.db", "CREATE TABLE IF NOT EXISTS seen (of TEXT)")

    @node.on("till.booked")
    def booked(event: dict[str, str], ctx: Context) -> None:
        own = sqlite3.connect(DATA / "audit.db", timeout=30)
        try:
            with ctx.transaction(own):
                own.execute("INSERT INTO seen VALUES (?)", (event["of"],))
        finally:
            own.close()

    db.close()


def fall(node: Node) -> None:
    """One event in it is the end of it."""
    notes = Notes(node.name)
    poison = int(os.environ["POISON"])

    @node.on("shop.placed")
    async def came(event: dict[str, int], ctx: Context) -> None:
        if event["n"] == poison:
            os._exit(7)
        notes.write(ctx.id, ctx.subject, ctx.attempt, node.instance, os.getpid(), time.monotonic())


def stumble(node: Node) -> None:
    """Fails every event until a file is there."""
    notes = Notes(node.name)
    tried = Notes(f"{node.name}.tried")

    @node.on("shop.placed", attempts=100)
    async def came(event: dict[str, int], ctx: Context) -> None:
        if not (DATA / "well").exists():
            tried.write(ctx.id, ctx.attempt)
            raise Retry(after=1.0)
        notes.write(ctx.id, ctx.subject, ctx.attempt, node.instance, os.getpid(), time.monotonic())


PROGRAMS = {each.__name__: each for each in (publish, handle, keep_order, book, audit, fall, stumble)}

if __name__ == "__main__":
    this = Node()
    PROGRAMS[sys.argv[1]](this)
    this.main()
