"""Does the mesh for tests deliver through the SDK's own way, and do its faults find what they should?"""

import asyncio
import json
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nodekit import Context, Node, Reject, Retry, testing


@dataclass(frozen=True, slots=True)
class OrderPlaced:
    TYPE = "shop.order.placed"
    order_id: str
    total: float = 0.0


def node() -> Node:
    return Node({"NODED_NODE": "pay", "NODED_INSTANCE": "pay.1", "NODED_VERSION": "2.0"})


def test_events_come_and_go() -> None:
    pay, hooks = node(), []
    pay.on_start(lambda: hooks.append("start"))
    pay.on_stop(lambda: hooks.append("stop"))

    @pay.on(OrderPlaced)
    async def capture(event: OrderPlaced, ctx: Context) -> None:
        await ctx.publish({"id": event.order_id}, type="shop.payment.captured", subject=ctx.subject)

    @pay.on("shop.payment.captured")
    def count(event: dict[str, Any], ctx: Context) -> None:
        hooks.append(f"{event['id']} {ctx.cause} {ctx.attempt}")

    mesh = testing.Mesh(pay)
    first = mesh.publish(OrderPlaced("1", 12.0), subject="1")
    mesh.publish("shop.order.placed", {"order_id": "2", "unknown": True})
    mesh.publish("shop.other", {})
    asyncio.run(mesh.run())
    assert [(event.type, event.subject, event.json()) for event in mesh.published] == [
        ("shop.payment.captured", "1", {"id": "1"}),
        ("shop.payment.captured", "", {"id": "2"}),
    ]
    assert (mesh.published[0].source, mesh.published[0].version) == ("/pay", "2.0")
    assert mesh.published[0].extra.cause == first
    assert sorted(hooks[1:3]) == sorted([f"1 {first} 1", f"2 {first.replace('.1', '.2')} 1"])
    assert (hooks[0], hooks[3]) == ("start", "stop")
    assert len(mesh.handled) == 4
    mesh.publish(OrderPlaced("3"))
    asyncio.run(mesh.run())
    assert [event.json()["id"] for event in mesh.published] == ["1", "2", "3"]


def test_retries_wait_on_the_meshs_clock() -> None:
    pay, seen = node(), []

    @pay.on("a", attempts=4)
    async def handle(event: int, ctx: Context) -> None:
        seen.append((event, ctx.attempt, round(mesh.now(), 3)))
        if event == 1 and ctx.attempt < 3:
            raise Retry(after=100)
        if event == 2:
            raise LookupError("never")
        if event == 3:
            raise Reject("no such order")

    mesh = testing.Mesh(pay)
    for number in (1, 2, 3):
        mesh.publish("a", number)
    asyncio.run(mesh.run())
    assert [(attempt, at) for event, attempt, at in seen if event == 1] == [(1, 0.0), (2, 100.0), (3, 200.0)]
    assert [(attempt, at) for event, attempt, at in seen if event == 2] == [
        (1, 0),
        (2, 0.2),
        (3, 0.6),
        (4, 1.4),
    ]
    assert sorted((dead.event.json(), dead.attempts, dead.reason) for dead in mesh.dead) == [
        (2, 4, "LookupError: never"),
        (3, 1, "no such order"),
    ]
    assert [event.json() for event in mesh.handled] == [1]


def test_a_handler_that_hangs_is_named() -> None:
    pay = node()

    @pay.on("a", timeout=60)
    async def handle(event: int, ctx: Context) -> None:
        await asyncio.Event().wait()

    mesh = testing.Mesh(pay)
    id = mesh.publish("a", 1)
    with pytest.raises(BaseExceptionGroup) as caught:
        asyncio.run(mesh.run(timeout=0.2))
    assert caught.group_contains(testing.Stuck, match=f"not handled in time: a {id}")


@pytest.mark.parametrize("seed", range(5))
def test_order_of_a_subject_holds_in_any_order(seed: int) -> None:
    pay, seen = node(), []

    @pay.on("a", attempts=50)
    async def handle(event: list[int], ctx: Context) -> None:
        if ctx.attempt < event[1] % 3:
            raise Retry
        await asyncio.sleep(0)
        seen.append(tuple(event))

    mesh = testing.Mesh(pay, seed=seed, duplicates=0.2, crashes=0.1, reorder=True)
    sent = [(key, number) for number in range(10) for key in range(5)]
    for key, number in sent:
        mesh.publish("a", [key, number], subject=str(key))
    asyncio.run(mesh.run())
    assert seen != sorted(seen), "nothing was mixed"
    for key in range(5):
        numbers = [number for each, number in seen if each == key]
        assert sorted(set(numbers)) == list(range(10))
        assert numbers == sorted(numbers)
    assert len(seen) > len(sent)
    assert mesh.lives > 1
    assert mesh.dead == []


def test_without_order_anything_may_come_first() -> None:
    pay, seen = node(), []

    @pay.on("a")
    async def handle(event: int, ctx: Context) -> None:
        seen.append(event)

    mesh = testing.Mesh(pay, seed=3, reorder=True, ordered=False)
    for number in range(30):
        mesh.publish("a", number, subject="same")
    asyncio.run(mesh.run())
    assert seen != list(range(30))
    assert sorted(seen) == list(range(30))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("threads", [False, True])
def test_inbox_and_outbox_stand_all_faults(tmp_path: Path, seed: int, threads: bool) -> None:
    pay, path = node(), tmp_path / "pay.db"
    with sqlite3.connect(path) as made:
        made.execute("CREATE TABLE accounts (name TEXT PRIMARY KEY, balance INTEGER)")
        made.execute("INSERT INTO accounts VALUES ('till', 0)")
    made.close()
    state: dict[str, sqlite3.Connection] = {}

    @pay.on_start
    def open_database() -> None:
        state["db"] = sqlite3.connect(path)
        pay.outbox(state["db"])

    def change(db: sqlite3.Connection, amount: int) -> None:
        db.execute("UPDATE accounts SET balance = balance + ?", (amount,))

    if threads:

        @pay.on("order", concurrency=3)
        def capture_in_thread(event: int, ctx: Context) -> None:
            db = sqlite3.connect(path, timeout=10)
            with ctx.transaction(db) as tx:
                change(db, event)
                tx.publish({"paid": event}, type="paid", subject=str(event))
            db.close()

    else:

        @pay.on("order")
        async def capture(event: int, ctx: Context) -> None:
            await asyncio.sleep(0)
            async with ctx.transaction(state["db"]) as tx:
                change(state["db"], event)
                await asyncio.sleep(0)
                tx.publish({"paid": event}, type="paid", subject=str(event))
            await asyncio.sleep(0)

    mesh = testing.Mesh(pay, seed=seed, duplicates=0.3, crashes=0.4, reorder=True, ordered=False)
    for number in range(1, 41):
        mesh.publish("order", number)
    asyncio.run(mesh.run(timeout=30))
    with sqlite3.connect(path) as left:
        assert left.execute("SELECT balance FROM accounts").fetchone() == (sum(range(1, 41)),)
        assert left.execute("SELECT count(*) FROM noded_outbox").fetchone() == (0,)
    left.close()
    assert sorted(event.json()["paid"] for event in mesh.published) == list(range(1, 41))
    assert mesh.lives > 1
    assert len(mesh.handled) > 40, "nothing came twice"
    assert threading.active_count() < 20


def test_without_an_inbox_the_faults_are_seen() -> None:
    """The faults are real: a handler without protection acts twice."""
    pay, done = node(), []

    @pay.on("order")
    async def capture(event: int, ctx: Context) -> None:
        done.append(event)
        await asyncio.sleep(0)
        await ctx.publish(event, type="paid")

    mesh = testing.Mesh(pay, seed=1, duplicates=0.3, crashes=0.3)
    for number in range(40):
        mesh.publish("order", number)
    asyncio.run(mesh.run())
    assert set(done) == set(range(40))
    assert len(done) > 45


def test_a_contract_in_the_release_holds_here_too(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text('[[publishes]]\ntype = "paid"\nschema = "paid.json"\n')
    (tmp_path / "paid.json").write_text(json.dumps({"type": "object", "required": ["id"]}))
    pay = node()

    @pay.on("order")
    async def capture(event: int, ctx: Context) -> None:
        await ctx.publish({"no": "id"}, type="paid")

    mesh = testing.Mesh(pay, release=tmp_path)
    mesh.publish("order", 1)
    asyncio.run(mesh.run())
    assert "event paid breaks its contract: $.id: expected a value, found none" in mesh.dead[0].reason


def test_what_cannot_be_published() -> None:
    with pytest.raises(TypeError, match="expected a type and its data"):
        testing.Mesh(node()).publish({"order": 1})
