"""When is a loop that stands still told, whatever is heard of it late and whatever evidence costs?"""

import asyncio
from collections.abc import Mapping

import pytest

from noded.ports import TimedOut
from noded.runtime.liveness import LEAST
from tests.adapters.looped import looped
from tests.adapters.sdk import wait
from tests.fakes.nodes import FakeNodes
from tests.runtime.watching import UID, Watching, sdk


@looped
async def test_the_word_of_one_standstill_does_not_move_its_beginning_when_it_is_heard_late() -> None:
    world = Watching(sdk("stuck"))
    began = world.held.clock.now()
    async with world.watching():
        # Heard at once, then a little late each time, the last just when the silence is to be told.
        for at, late in ((1.0, 0.0), (1.5, 0.1), (LEAST - 0.05, 0.2)):
            await asyncio.sleep(began + at - world.held.clock.now())
            world.nodes.beat("stuck.1", UID, stuck=at - late)
        await wait(lambda: world.silent("stuck.1"), "silence of a loop that stands still")
    assert world.silent()[0].at - began == pytest.approx(LEAST, abs=0.15)


@looped
async def test_a_loop_that_turned_again_is_given_its_time_anew() -> None:
    world = Watching(sdk("slow"))
    began = world.held.clock.now()
    async with world.watching():
        for at, stuck in ((1.0, 1.0), (2.2, 0.5)):
            await asyncio.sleep(began + at - world.held.clock.now() - 0.3)
            world.nodes.beat("slow.1", UID, stuck=stuck)
        await wait(lambda: world.silent(), "silence")
    assert world.silent()[0].at - began >= 1.9 - 0.5 + LEAST - 0.05


@looped
async def test_evidence_does_not_delay_the_end_of_a_silence() -> None:
    """This one never answers what it is asked."""

    class Mute(FakeNodes):
        async def order(
            self, instance: str, order: Mapping[str, object], timeout: float
        ) -> Mapping[str, object]:
            await asyncio.sleep(timeout)
            raise TimedOut("no answer")

    world = Watching(sdk("ceases"))
    world.liveness.nodes = Mute(world.held.inbox, world.held.clock)
    began = world.held.clock.now()
    async with world.watching():
        await wait(lambda: world.silent(), "silence")
    assert world.silent()[0].at - began == pytest.approx(LEAST, abs=0.15)
