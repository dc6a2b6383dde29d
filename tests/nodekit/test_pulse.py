"""Does the pulse notice an event loop that is late, one that is stuck now, and one that turns again?"""

import asyncio
import time

from nodekit.pulse import LATE, PERIOD, Pulse


def test_a_free_loop_is_hardly_late_and_a_blocked_one_is() -> None:
    async def life() -> None:
        pulse = Pulse()
        pulse.start(asyncio.get_running_loop())
        await asyncio.sleep(3 * PERIOD)
        calm = pulse.lag()
        await asyncio.to_thread(time.sleep, PERIOD)
        time.sleep(PERIOD + 0.3)  # noqa: ASYNC251 - blocking the loop is the subject
        assert pulse.overdue() > 0.2
        await asyncio.sleep(0.01)
        late = pulse.lag()
        assert 0.2 < late < 3.0
        assert calm < late / 2
        assert pulse.lag() < late / 2, "each reading begins anew"
        pulse.stop()
        assert pulse.lag() == 0.0

    asyncio.run(life())


def test_a_loop_that_turns_again_says_so_once() -> None:
    async def life() -> None:
        pulse = Pulse()
        told: list[float] = []
        pulse.on_late = lambda: told.append(pulse.overdue())
        pulse.start(asyncio.get_running_loop())
        await asyncio.sleep(2 * PERIOD)
        assert told == []
        time.sleep(PERIOD + LATE + 0.1)  # noqa: ASYNC251 - blocking the loop is the subject
        assert pulse.overdue() > LATE
        await asyncio.sleep(2 * PERIOD)
        assert len(told) == 1
        assert told[0] < LATE, "it stands still no more"
        pulse.stop()

    asyncio.run(life())
