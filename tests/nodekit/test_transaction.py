"""Does an event change the database just once, and does every event it publishes reach the mesh just once?"""

import asyncio
import contextlib
import itertools
import json
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from nodekit.bounds import PublishRefused
from nodekit.database import BUSY_FOR, Busy, Misused, database
from nodekit.frames import Extra
from nodekit.outbox import Relay, Sender
from nodekit.standin import StandIn, Wire
from nodekit.transaction import Handled, Outboxes, Repeated, Written
from tests.nodekit.noded_side import DEADLINE

EXTRA = Extra(trace=b"t" * 16, span=b"s" * 8, cause="other.1")


def write(event: object, type: str, content: str) -> Written:
    if isinstance(event, dict) and event.get("bad"):
        raise ValueError("it breaks its contract")
    return Written(type or "shop.paid", content, json.dumps(event).encode())


def outboxes(mesh: StandIn, instance: str = "pay.1", connect: Callable[[], Wire] | None = None) -> Outboxes:
    return Outboxes(Sender("pay", instance, "1.0", connect or mesh.connect), write)


@contextlib.asynccontextmanager
async def relays(boxes: Outboxes) -> AsyncIterator[None]:
    tasks: list[asyncio.Task[None]] = []
    loop = asyncio.get_running_loop()

    def start(relay: Relay) -> None:
        loop.call_soon_threadsafe(lambda: tasks.append(loop.create_task(relay.run())))

    boxes.start(start)
    try:
        yield
    finally:
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not true():  # noqa: ASYNC110 - what is waited for lies in a database
            await asyncio.sleep(0.01)


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
            for wrong in ({"type": "x" * 257}, {"subject": "x" * 1025}, {"subject": "a\nb"}):
                with pytest.raises(PublishRefused):
                    tx.publish({}, **wrong)
            with pytest.raises(PublishRefused, match="at most 1048576 bytes"):
                tx.publish("x" * 1024 * 1024)
        assert db.execute("SELECT count(*) FROM noded_outbox").fetchone() == (0,)

    asyncio.run(main())


def test_rows_of_an_earlier_life_are_sent_first_and_once(tmp_path: Path) -> None:
    path = tmp_path / "node.db"

    async def life(mesh: StandIn, instance: str, events: range, send: bool) -> None:
        boxes = outboxes(mesh, instance)
        db = sqlite3.connect(path)
        async with relays(boxes) if send else contextlib.nullcontext():
            boxes.outbox(db)
            for event in events:
                async with boxes.transaction(db, Handled(f"a.{event}", EXTRA)) as tx:
                    tx.publish({"n": event}, subject=str(event))
            if send:
                await until(
                    lambda: [event.json()["n"] for event in mesh.published] == list(range(events.stop))
                )
        db.close()

    async def main() -> None:
        mesh = StandIn()
        await life(mesh, "pay.1", range(3), send=False)
        assert mesh.published == []
        await life(mesh, "pay.2", range(3, 3), send=True)
        await life(mesh, "pay.3", range(3, 5), send=True)
        assert [event.sequence for event in mesh.published] == [1, 2, 3, 4, 5]
        assert len({event.stream for event in mesh.published}) == 1

    asyncio.run(main())


class Deaf(Wire):
    """A mesh whose answers are lost, for as long as `lost` says."""

    lost = 0

    def answer(self) -> None:
        if Deaf.lost and self.mesh.published:
            Deaf.lost -= 1
            self.say(lambda: self.lose("cut"))
        else:
            super().answer()


def test_an_answer_that_is_lost_costs_no_event_and_doubles_none(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "node.db")

    async def main() -> None:
        mesh = StandIn()
        Deaf.lost = 5
        boxes = outboxes(mesh, connect=lambda: Deaf(mesh))
        async with relays(boxes):
            for event in range(20):
                async with boxes.transaction(db, Handled(f"a.{event}", EXTRA)) as tx:
                    tx.publish({"n": event})
                await asyncio.sleep(0.002)
            await until(lambda: db.execute("SELECT count(*) FROM noded_outbox").fetchone() == (0,))
        assert Deaf.lost == 0
        assert [event.json()["n"] for event in mesh.published] == list(range(20))

    asyncio.run(main())


def test_a_database_from_a_backup_begins_a_stream_of_its_own(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "node.db")

    async def main() -> None:
        mesh = StandIn()
        for event in range(4):
            boxes = outboxes(mesh, f"pay.{event}")
            async with relays(boxes):
                async with boxes.transaction(db, Handled(f"a.{event}", EXTRA)) as tx:
                    tx.publish({"n": event})
                await until(lambda: len(mesh.published) == event + 1)  # noqa: B023 - awaited at once
                await until(lambda: db.execute("SELECT count(*) FROM noded_outbox").fetchone() == (0,))
            if event == 1:
                with db:
                    db.execute("UPDATE noded_outbox_stream SET next = 1")
            if event == 2:
                mesh.streams.clear()
        assert [event.sequence for event in mesh.published] == [1, 2, 1, 1]
        assert len({event.stream for event in mesh.published}) == 3

    asyncio.run(main())


def test_two_instances_send_in_turn(tmp_path: Path) -> None:
    path = tmp_path / "node.db"

    async def main() -> None:
        mesh = StandIn()
        both = [outboxes(mesh, f"pay.{n}") for n in range(2)]

        async def work(boxes: Outboxes, events: range) -> None:
            db = sqlite3.connect(path)
            for event in events:
                async with boxes.transaction(db, Handled(f"a.{event}", EXTRA)) as tx:
                    tx.publish({"n": event})
            db.close()

        async with relays(both[0]), relays(both[1]), asyncio.TaskGroup() as group:
            group.create_task(work(both[0], range(0, 100, 2)))
            group.create_task(work(both[1], range(1, 100, 2)))
            await until(lambda: len(mesh.published) == 100)
        assert sorted(event.json()["n"] for event in mesh.published) == list(range(100))
        assert [event.sequence for event in mesh.published] == list(range(1, 101))

    asyncio.run(main())


class Picky(Wire):
    """Refuses what says so, as a mesh does with broken contracts."""

    def answer(self) -> None:
        from nodekit.wire import Published, Refusal

        assert self.ears
        refused = [
            Refusal(event.sequence, 1, "$.n: expected less")
            for event in self.mesh.published
            if event.json()["n"] == 1
        ]
        self.say(
            self.ears.on_published, Published(self.mesh.streams.get(self.stream, 0), 1000, tuple(refused))
        )


def test_what_the_mesh_refuses_stays_for_people(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "node.db")

    async def main() -> None:
        mesh = StandIn()
        boxes = outboxes(mesh, connect=lambda: Picky(mesh))
        async with boxes.transaction(db, Handled("a.1", EXTRA)) as tx:
            for n in range(3):
                tx.publish({"n": n})
        async with relays(boxes):
            await until(lambda: db.execute("SELECT count(*) FROM noded_outbox").fetchone() == (1,))
        left = db.execute("SELECT data, refused FROM noded_outbox").fetchall()
        assert left == [(b'{"n": 1}', "$.n: expected less")]

    asyncio.run(main())


def test_the_inbox_forgets_after_its_age(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "node.db")

    async def main() -> None:
        boxes = Outboxes(Sender("pay", "pay.1", "1", StandIn().connect), write, inbox_age=100.0)
        async with boxes.transaction(db, Handled("new.1", EXTRA)):
            pass
        with db:
            db.executemany(
                "INSERT INTO noded_inbox VALUES ('pay', ?, ?)",
                [(f"old.{n}", time.time() - 101) for n in range(1200)],
            )
        async with relays(boxes):
            await until(lambda: db.execute("SELECT event FROM noded_inbox").fetchall() == [("new.1",)])

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
