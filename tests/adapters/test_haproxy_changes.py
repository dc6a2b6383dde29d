"""Does the real HAProxy change from one route to the next without losing a request?"""

import asyncio
import time
from collections.abc import Iterator

import pytest

from noded.adapters.haproxy import HaproxyProxy
from tests.adapters.looped import looped, until
from tests.adapters.running_haproxy import RunningHaproxy, running
from tests.adapters.shop import CANARY, DRAINING, PINNED, SPARE, opened
from tests.adapters.small_client import Load, ask_once


@pytest.fixture
def haproxy() -> Iterator[RunningHaproxy]:
    with running() as one:
        yield one


@looped
async def test_a_promoted_canary_loses_nothing_and_keeps_its_counts(haproxy: RunningHaproxy) -> None:
    shop = await opened(haproxy)
    await shop.server(1)
    canary = await shop.server(2)
    canary.seconds = 0.01
    await shop.install((1, PINNED), (2, CANARY), share=0.5)
    async with Load(shop.port) as load:
        await load.reach(200)
        at_half = (await shop.counts())["shop.2"].requests
        await shop.install((1, PINNED), (2, CANARY), share=1.0)
        await load.reach(50)
        await shop.install((2, PINNED), (1, SPARE))
        promoted = (await shop.counts())["shop.2"].requests
        await load.reach(100)
        await shop.install((2, PINNED))
        await load.reach(100)
    assert load.failed == []
    assert 0 < at_half < promoted
    assert (await shop.counts())["shop.2"].requests == load.by_server["shop.2"]


@looped
async def test_a_promoted_canary_has_no_fuse(haproxy: RunningHaproxy) -> None:
    shop = await opened(haproxy)
    canary = await shop.server(2)
    await shop.install((2, CANARY), share=1.0)
    await shop.install((2, PINNED))
    canary.status = "500 Broken"
    statuses = [(await ask_once(shop.port))[0] for _ in range(6)]
    assert statuses == [500] * 6


@looped
async def test_a_draining_server_finishes_what_it_has(haproxy: RunningHaproxy) -> None:
    shop = await opened(haproxy)
    old, _ = await shop.server(1), await shop.server(2)
    old.seconds = 0.5
    await shop.install((1, PINNED), (2, SPARE))
    slow = asyncio.create_task(ask_once(shop.port))

    async def has_arrived() -> bool:
        return old.answered.total() == 1

    await until(has_arrived)
    await shop.install((1, DRAINING), (2, PINNED))
    assert await ask_once(shop.port) == (200, "shop.2")
    assert (await shop.counts())["shop.1"].sessions == 1
    assert await slow == (200, "shop.1")
    assert old.answered.total() == 1


@looped
async def test_a_draining_server_can_come_back(haproxy: RunningHaproxy) -> None:
    shop = await opened(haproxy)
    await shop.server(1)
    await shop.server(2)
    await shop.install((1, PINNED), (2, PINNED))
    await shop.install((1, DRAINING), (2, PINNED))
    await shop.install((1, PINNED), (2, DRAINING))
    assert {(await ask_once(shop.port))[1] for _ in range(10)} == {"shop.1"}


@looped
async def test_a_server_that_left_finishes_its_request_before_it_is_deleted(haproxy: RunningHaproxy) -> None:
    shop = await opened(haproxy)
    old, _ = await shop.server(1), await shop.server(2)
    old.seconds = 0.5
    await shop.install((1, PINNED), (2, SPARE))
    slow = asyncio.create_task(ask_once(shop.port))

    async def has_arrived() -> bool:
        return old.answered.total() == 1

    await until(has_arrived)
    await shop.install((2, PINNED))
    assert await slow == (200, "shop.1")
    assert set(await shop.counts()) == {"shop.2"}


@looped
async def test_a_server_that_left_is_cut_off_after_its_grace(haproxy: RunningHaproxy) -> None:
    shop = await opened(haproxy)
    shop.proxy = HaproxyProxy(haproxy.socket, grace=0.2)
    old, _ = await shop.server(1), await shop.server(2)
    old.seconds = 20.0
    await shop.install((1, PINNED))
    slow = asyncio.create_task(ask_once(shop.port, "POST"))

    async def has_arrived() -> bool:
        return old.answered.total() == 1

    await until(has_arrived)
    begun = time.monotonic()
    await shop.install((2, PINNED))
    assert 0.2 <= time.monotonic() - begun < 3
    assert (await slow)[0] in (0, 502, 503)
    assert set(await shop.counts()) == {"shop.2"}


@looped
async def test_a_rollback_overtakes_a_slow_removal(haproxy: RunningHaproxy) -> None:
    shop = await opened(haproxy)
    old, _ = await shop.server(1), await shop.server(2)
    old.seconds = 2.0
    await shop.install((1, PINNED))
    slow = asyncio.create_task(ask_once(shop.port))

    async def has_arrived() -> bool:
        return old.answered.total() == 1

    await until(has_arrived)
    leaving = asyncio.create_task(shop.install((2, PINNED)))

    async def second_answers() -> bool:
        return await ask_once(shop.port) == (200, "shop.2")

    await until(second_answers)
    old.seconds = 0.0
    begun = time.monotonic()
    await shop.install((1, PINNED), (2, DRAINING))
    assert await ask_once(shop.port) == (200, "shop.1")
    assert time.monotonic() - begun < 1
    await leaving
    assert await slow == (200, "shop.1")
