"""Does an event change the database just once, and leave nothing when its block fails?"""

import asyncio
import contextlib
import itertools
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from nodekit import tables
from nodekit.bounds import PublishRefused
from nodekit.database import BUSY_FOR, Busy, Misused, database
from nodekit.frames import LONGEST_FRAME
from nodekit.outbox import MOST, Sender
from nodekit.standin import StandIn
from nodekit.transaction import Handled, Outboxes, Repeated
from tests.nodekit.boxes import EXTRA, outboxes, relays, until, write
from tests.nodekit.noded_side import DEADLINE


@pytest.fixture(params=["legacy", "autocommit", "memory", "wal"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> sqlite3.Connection:
    name = ":memory:" if request.param == "memory" else str(tmp_path / "node.db")
    more: dict[str, Any] = {"isolation_level": None} if request.param == "autocommit" else {}
    connection = sqlite3.connect(name, **more)
    if request.param == "wal":
        connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE effects (event TEXT)")
    connection.commit()
    return connection


def effects(db: sqlite3.Connection) -> list[str]:
    return [row[0] for row in db.execute("SELECT event FROM effects ORDER BY rowid")]


def test_an_event_has_its_effect_once(db: sqlite3.Connection) -> None:
    async def main() -> None:
        mesh = StandIn()
        boxes = outboxes(mesh)

        async def handle(event: str) -> None:
            async with boxes.transaction(db, Handled(event, EXTRA)) as tx:
                db.execute("INSERT INTO effects VALUES (?)", (event,))
                tx.publish({"for": event}, subject=event)
                await asyncio.sleep(0)

        async with relays(boxes):
            await handle("a.1")
            with pytest.raises(Repeated, match=r"pay has handled a\.1 already"):
                await handle("a.1")
            await handle("a.2")
            await until(lambda: len(mesh.published) == 2)
        assert effects(db) == ["a.1", "a.2"]
        assert not db.in_transaction
        assert [event.json() for event in mesh.published] == [{"for": "a.1"}, {"for": "a.2"}]
        first = mesh.published[0]
        assert (first.type, first.subject, first.source, first.version) == ("shop.paid", "a.1", "/pay", "1.0")
        assert (first.extra.trace, first.extra.span, first.extra.cause) == (b"t" * 16, b"s" * 8, "other.1")
        assert first.id.startswith("pay-outbox-") and first.sequence == 1

    asyncio.run(main())


def test_a_block_that_fails_leaves_nothing(db: sqlite3.Connection) -> None:
    async def main() -> None:
        mesh = StandIn()
        boxes = outboxes(mesh)
        async with relays(boxes):
            for bad in (True, False, False):
                with contextlib.suppress(ValueError, Repeated):
                    async with boxes.transaction(db, Handled("a.1", EXTRA)) as tx:
                        db.execute("INSERT INTO effects VALUES ('a.1')")
                        tx.publish({"n": 1})
                        tx.publish({"bad": bad})
            await until(lambda: len(mesh.published) == 2)
        assert effects(db) == ["a.1"]

    asyncio.run(main())


def test_one_that_is_cancelled_leaves_nothing(db: sqlite3.Connection) -> None:
    async def main() -> None:
        boxes = outboxes(StandIn())

        async def handle() -> None:
            async with boxes.transaction(db, Handled("a.1", EXTRA)):
                db.execute("INSERT INTO effects VALUES ('a.1')")
                await asyncio.sleep(DEADLINE)

        task = asyncio.get_running_loop().create_task(handle())
        await until(lambda: db.in_transaction)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert effects(db) == []
        async with boxes.transaction(db, Handled("a.1", EXTRA)):
            pass

    asyncio.run(main())


def test_those_who_share_a_connection_take_turns(db: sqlite3.Connection) -> None:
    async def main() -> None:
        mesh = StandIn()
        boxes = outboxes(mesh)

        async def handle(event: str) -> None:
            async with boxes.transaction(db, Handled(event, EXTRA)) as tx:
                db.execute("INSERT INTO effects VALUES (?)", (event,))
                await asyncio.sleep(0.001)
                tx.publish({"for": event})
                if event.endswith("3"):
                    raise LookupError

        async with relays(boxes):
            tasks = [asyncio.get_running_loop().create_task(handle(f"a.{n % 20}")) for n in range(40)]
            await asyncio.wait(tasks)
            good = [f"a.{n}" for n in range(20) if n not in (3, 13)]
            await until(lambda: len(mesh.published) == len(good))
        errors = [type(task.exception()) for task in tasks if task.exception()]
        assert sorted(error.__name__ for error in errors) == ["LookupError"] * 4 + ["Repeated"] * 18
        assert effects(db) == good
        assert [event.json()["for"] for event in mesh.published] == good

    asyncio.run(main())


def test_parts_and_consumers_are_told_apart(db: sqlite3.Connection) -> None:
    async def main() -> None:
        boxes, other = outboxes(StandIn()), Outboxes(Sender("mail", "mail.1", "1", StandIn().connect), write)
        for each in (
            boxes.transaction(db, Handled("a.1", EXTRA)),
            other.transaction(db, Handled("a.1", EXTRA)),
        ):
            async with each:
                pass
        async with boxes.transaction(db, Handled("a.1", EXTRA), "second"):
            pass
        with pytest.raises(Repeated, match="pay/second has handled"):
            async with boxes.transaction(db, Handled("a.1", EXTRA), "second"):
                pass

    asyncio.run(main())


def test_in_threads(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    sqlite3.connect(path).execute("CREATE TABLE effects (event TEXT)").connection.close()

    async def main() -> None:
        mesh = StandIn()
        boxes = outboxes(mesh)
        told: list[str] = []

        def handle(number: int) -> None:
            db = sqlite3.connect(path, timeout=DEADLINE)
            for event in range(5):
                try:
                    with boxes.transaction(db, Handled(f"a.{event}", EXTRA)) as tx:
                        db.execute("INSERT INTO effects VALUES (?)", (f"a.{event}",))
                        tx.publish({"for": event}, subject=str(event))
                except Repeated:
                    told.append(f"{number} {event}")
            db.close()

        async with relays(boxes):
            threads = [threading.Thread(target=handle, args=(number,)) for number in range(4)]
            for thread in threads:
                thread.start()
            await asyncio.to_thread(lambda: [thread.join(DEADLINE) for thread in threads])
            await until(lambda: len(mesh.published) == 5)
        assert len(told) == 15
        assert sorted(event.subject for event in mesh.published) == list("01234")
        left = sqlite3.connect(path)
        assert sorted(effects(left)) == [f"a.{n}" for n in range(5)]
        assert left.execute("SELECT count(*) FROM noded_outbox").fetchone() == (0,)

    asyncio.run(main())


def test_the_loop_goes_on_while_another_program_writes(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE effects (event TEXT)")
    db = sqlite3.connect(path)

    async def main() -> None:
        boxes = outboxes(StandIn())
        async with boxes.transaction(db, Handled("a.0", EXTRA)):
            pass
        other.execute("BEGIN IMMEDIATE")
        turns = [time.monotonic()]

        async def handle() -> None:
            async with boxes.transaction(db, Handled("a.1", EXTRA)):
                db.execute("INSERT INTO effects VALUES ('a.1')")

        task = asyncio.get_running_loop().create_task(handle())
        while turns[-1] - turns[0] < 0.3:
            await asyncio.sleep(0.005)
            turns.append(time.monotonic())
        assert not task.done()
        other.execute("COMMIT")
        await task
        assert max(after - before for before, after in itertools.pairwise(turns)) < 0.2
        assert db.execute("PRAGMA busy_timeout").fetchone() == (5000,), "the author's own setting is kept"

    asyncio.run(main())
    assert effects(other) == ["a.1"]


def test_misuse_is_named(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "node.db")
    db.execute("CREATE TABLE effects (event TEXT)")

    async def main() -> None:
        boxes = outboxes(StandIn())
        db.execute("INSERT INTO effects VALUES ('open')")
        with pytest.raises(Misused, match="commit or roll back first"):
            async with boxes.transaction(db, Handled("a.1", EXTRA)):
                pass
        db.rollback()
        with pytest.raises(Misused, match="ended inside its own block"):
            async with boxes.transaction(db, Handled("a.1", EXTRA)):
                db.commit()
        with pytest.raises(
            TypeError, match=r"expected a connection of sqlite3 or psycopg 3, found builtins\.str"
        ):
            boxes.transaction("node.db", Handled("a.1", EXTRA)).__enter__()
        outside = boxes.transaction(db, Handled("a.3", EXTRA))
        with pytest.raises(RuntimeError, match="inside the block"):
            outside.publish({})
        async with boxes.transaction(db, Handled("a.4", EXTRA)) as tx:
            too_many = {"attributes": {f"a{n}": "" for n in range(33)}}
            for wrong in ({"type": "x" * 257}, {"subject": "x" * 1025}, {"subject": "a\nb"}, too_many):
                with pytest.raises(PublishRefused):
                    tx.publish({}, **wrong)
            for attributes in ({"Bad-Name": "x"}, {"id": "x"}, {"x": "a\nb"}, {"x": "x" * 1025}):
                with pytest.raises(PublishRefused, match="attributes"):
                    tx.publish({}, attributes=attributes)
            with pytest.raises(PublishRefused, match="at most 1048576 bytes"):
                tx.publish("x" * 1024 * 1024)
        assert db.execute("SELECT count(*) FROM noded_outbox").fetchone() == (0,)

    asyncio.run(main())


def test_a_database_that_stays_busy(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    other, db = sqlite3.connect(path, isolation_level=None), sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")

    async def main() -> None:
        own = database(db)
        own.busy_for = 0.05
        with pytest.raises(Busy, match="another program has been writing"):
            await own.enter_async()
        other.execute("COMMIT")
        await own.enter_async()
        await own.leave_async(False)

    asyncio.run(main())
    assert BUSY_FOR > 5


def test_what_is_said_of_events_makes_no_frame_too_long_for_the_mesh(tmp_path: Path) -> None:
    boxes, db = outboxes(StandIn()), sqlite3.connect(tmp_path / "node.db")
    said = {f"a{n}": "x" * 1024 for n in range(4)}
    with boxes.transaction(db, Handled("a.1", EXTRA)) as tx:
        for _ in range(MOST[0]):
            tx.publish({}, attributes=said, subject="s" * 1024)
    batch = database(db).perform(
        lambda _: tables.take(_, owner="o", through=0, refused=(), most=MOST),
    )
    assert batch.rows
    assert len(boxes.sender.frame(batch.stream, batch.rows)) < LONGEST_FRAME
