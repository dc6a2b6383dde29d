"""Does the pulse notice an event loop that is late, and one that is stuck now?"""

import asyncio
import time

from nodekit.pulse import PERIOD, Pulse


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
