"""Does every event of the outbox reach the mesh just once, in order, whatever goes wrong on the way?"""

import asyncio
import contextlib
import sqlite3
import time
from pathlib import Path

from nodekit.outbox import Sender
from nodekit.standin import StandIn, Wire
from nodekit.transaction import Handled, Outboxes
from tests.nodekit.boxes import EXTRA, outboxes, relays, until, write


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
