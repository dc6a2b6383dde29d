"""Does an alarm ring once, in time, and only the newest of a node?"""

import asyncio

from noded.adapters.boot_clock import BootClock
from noded.model.inputs import Woken
from noded.runtime.alarms import Alarms
from tests.adapters.looped import looped, until
from tests.fakes.clock import FakeClock
from tests.fakes.inbox import FakeInbox


async def rung(inbox: FakeInbox, count: int) -> None:
    async def enough() -> bool:
        return len(inbox.facts) >= count

    await until(enough)


@looped
async def test_it_rings_not_before_its_time() -> None:
    clock, inbox = BootClock(), FakeInbox()
    at = clock.now() + 0.03
    Alarms(clock, inbox).wake("catalog", at)
    await rung(inbox, 1)
    (woken,) = inbox.all(Woken)
    assert woken.node == "catalog"
    assert woken.at >= at - 0.002


@looped
async def test_what_is_past_rings_at_once() -> None:
    clock, inbox = FakeClock(), FakeInbox()
    Alarms(clock, inbox).wake("catalog", 0.0)
    await rung(inbox, 1)
    assert inbox.facts == [Woken(clock.now(), "catalog")]


@looped
async def test_a_later_call_replaces_an_earlier_one() -> None:
    clock, inbox = FakeClock(), FakeInbox()
    alarms = Alarms(clock, inbox)
    alarms.wake("catalog", 0.0)
    alarms.wake("catalog", clock.now() + 3600)
    alarms.wake("ticker", clock.now() + 0.02)
    await rung(inbox, 1)
    assert [woken.node for woken in inbox.all(Woken)] == ["ticker"]
    alarms.wake("catalog", clock.now())
    await rung(inbox, 2)
    await asyncio.sleep(0.02)
    assert [woken.node for woken in inbox.all(Woken)] == ["ticker", "catalog"]


@looped
async def test_after_it_rang_it_can_be_set_again() -> None:
    clock, inbox = FakeClock(), FakeInbox()
    alarms = Alarms(clock, inbox)
    for count in (1, 2, 3):
        alarms.wake("catalog", clock.now())
        await rung(inbox, count)
    assert len(inbox.facts) == 3
