"""Do inbox and outbox keep their word in a real PostgreSQL, by psycopg's plain and async connections?"""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pytest

from nodekit.database import Misused
from nodekit.standin import StandIn
from nodekit.transaction import Handled, Outboxes, Repeated
from tests.nodekit import postgres
from tests.nodekit.boxes import EXTRA, outboxes, relays, until
from tests.nodekit.noded_side import DEADLINE


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with contextlib.ExitStack() as stack:
        try:
            where = stack.enter_context(postgres.server())
        except postgres.Missing as missing:
            pytest.skip(str(missing))
        import psycopg

        deadline = time.monotonic() + 3 * DEADLINE
        while True:
            try:
                psycopg.connect(where).close()
                break
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, "PostgreSQL did not come up"
                time.sleep(0.02)
        yield where


@pytest.fixture
def where(server: str) -> str:
    import psycopg

    with psycopg.connect(server, autocommit=True) as db:
        db.execute("DROP SCHEMA public CASCADE")
        db.execute("CREATE SCHEMA public")
        db.execute("CREATE TABLE effects (n SERIAL, event TEXT)")
    return server


def rows(where: str, query: str) -> list[tuple[Any, ...]]:
    import psycopg

    with psycopg.connect(where, autocommit=True) as db:
        return db.execute(query).fetchall()


@pytest.mark.parametrize("autocommit", [False, True])
def test_async(where: str, autocommit: bool) -> None:
    import psycopg

    async def main() -> None:
        mesh = StandIn()
        boxes = outboxes(mesh)
        db = await psycopg.AsyncConnection.connect(where, autocommit=autocommit)

        async def handle(event: str) -> None:
            async with boxes.transaction(db, Handled(event, EXTRA)) as tx:
                await db.execute("INSERT INTO effects (event) VALUES (%s)", (event,))
                tx.publish({"for": event}, subject=event)
                if event == "a.3":
                    raise LookupError

        async with relays(boxes):
            tasks = [asyncio.get_running_loop().create_task(handle(f"a.{n % 10}")) for n in range(20)]
            await asyncio.wait(tasks)
            await until(lambda: len(mesh.published) == 9)
            await until(lambda: rows(where, "SELECT count(*) FROM noded_outbox") == [(0,)])
        good = [f"a.{n}" for n in range(10) if n != 3]
        assert rows(where, "SELECT event FROM effects ORDER BY n") == [(each,) for each in good]
        assert [event.json()["for"] for event in mesh.published] == good
        assert [event.sequence for event in mesh.published] == list(range(1, 10))
        assert mesh.published[0].extra.cause == "other.1"
        errors = sorted(type(task.exception()).__name__ for task in tasks if task.exception())
        assert errors == ["LookupError"] * 2 + ["Repeated"] * 9
        await db.close()

    asyncio.run(main())


@pytest.mark.parametrize("autocommit", [False, True])
def test_plain_connections_of_two_instances(where: str, autocommit: bool) -> None:
    import psycopg

    def work(boxes: Outboxes) -> int:
        repeated = 0
        with psycopg.connect(where, autocommit=autocommit) as db:
            for event in range(20):
                try:
                    with boxes.transaction(db, Handled(f"a.{event}", EXTRA)) as tx:
                        db.execute("INSERT INTO effects (event) VALUES (%s)", (f"a.{event}",))
                        tx.publish({"n": event})
                except Repeated:
                    repeated += 1
        return repeated

    async def main() -> None:
        mesh = StandIn()
        both = [outboxes(mesh, f"pay.{n}") for n in range(2)]
        async with relays(both[0]), relays(both[1]):
            repeated = await asyncio.gather(*(asyncio.to_thread(work, boxes) for boxes in both))
            await until(lambda: len(mesh.published) == 20)
        assert sum(repeated) == 20
        assert sorted(event.json()["n"] for event in mesh.published) == list(range(20))
        assert len({event.id for event in mesh.published}) == 20
        assert rows(where, "SELECT count(*), count(DISTINCT event) FROM effects") == [(20, 20)]

    asyncio.run(main())


def test_misuse_and_failure_leave_nothing(where: str) -> None:
    import psycopg

    async def main() -> None:
        boxes = outboxes(StandIn())
        async with await psycopg.AsyncConnection.connect(where) as db:
            await db.execute("SELECT 1")
            with pytest.raises(Misused, match="commit or roll back first"):
                async with boxes.transaction(db, Handled("a.1", EXTRA)):
                    pass
            await db.rollback()
            with (
                pytest.raises(Misused, match="write `async with"),
                boxes.transaction(db, Handled("a.1", EXTRA)),
            ):
                pass
            with pytest.raises(Misused, match="ended inside its own block"):
                async with boxes.transaction(db, Handled("a.0", EXTRA)):
                    await db.commit()
            with pytest.raises(Misused, match="let its error leave the block"):
                async with boxes.transaction(db, Handled("a.1", EXTRA)):
                    with contextlib.suppress(psycopg.errors.UndefinedTable):
                        await db.execute("SELECT * FROM nowhere")
            with pytest.raises(psycopg.errors.UndefinedTable):
                async with boxes.transaction(db, Handled("a.1", EXTRA)) as tx:
                    tx.publish({})
                    await db.execute("SELECT * FROM nowhere")
            async with boxes.transaction(db, Handled("a.1", EXTRA)):
                pass
        assert rows(where, "SELECT consumer, event FROM noded_inbox") == [("pay", "a.0"), ("pay", "a.1")]
        assert rows(where, "SELECT count(*) FROM noded_outbox") == [(0,)]

    asyncio.run(main())
