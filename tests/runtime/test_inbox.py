"""In which order do facts arrive, and what becomes of readings nobody took?"""

import asyncio

from noded.model.inputs import Sampled, TrafficCounted, Woken
from noded.runtime.inbox import Inbox
from tests.adapters.looped import looped


@looped
async def test_facts_keep_their_order_and_readings_come_last() -> None:
    inbox = Inbox()
    inbox.put(Sampled(1.0))
    inbox.put(Woken(2.0, "a"))
    inbox.put(TrafficCounted(3.0))
    inbox.put(Woken(4.0, "b"))
    assert await inbox.take() == (Woken(2.0, "a"), Woken(4.0, "b"), Sampled(1.0), TrafficCounted(3.0))


@looped
async def test_a_newer_reading_takes_the_place_of_one_that_waits() -> None:
    inbox = Inbox()
    for at in range(1000):
        inbox.put(Sampled(float(at)))
        inbox.put(TrafficCounted(float(at)))
    assert await inbox.take() == (Sampled(999.0), TrafficCounted(999.0))


@looped
async def test_what_is_no_reading_is_never_dropped() -> None:
    inbox = Inbox()
    facts = tuple(Woken(1.0, "a") for _ in range(1000))
    for fact in facts:
        inbox.put(fact)
    assert await inbox.take() == facts


@looped
async def test_taking_waits_for_something_and_takes_it_once() -> None:
    inbox = Inbox()
    async with asyncio.TaskGroup() as group:
        taking = group.create_task(inbox.take())
        await asyncio.sleep(0)
        assert not taking.done()
        inbox.put(Woken(1.0, "a"))
    assert taking.result() == (Woken(1.0, "a"),)
    again = asyncio.ensure_future(inbox.take())
    await asyncio.sleep(0)
    assert not again.done()
    again.cancel()


@looped
async def test_a_taker_that_was_cancelled_loses_nothing() -> None:
    inbox = Inbox()
    taking = asyncio.ensure_future(inbox.take())
    await asyncio.sleep(0)
    inbox.put(Woken(1.0, "a"))
    taking.cancel()
    await asyncio.sleep(0)
    assert await inbox.take() == (Woken(1.0, "a"),)
