"""What is counted, replayed and told when HAProxy or its servers fail?"""

import asyncio
import random
import subprocess
import time
from collections.abc import Iterator

import pytest

from noded.adapters.haproxy import HaproxyProxy
from noded.model.route import Place, Route, Server
from noded.ports import PortError, Refused, TimedOut, Unavailable
from tests.adapters.looped import looped
from tests.adapters.running_haproxy import RunningHaproxy, program, running
from tests.adapters.shop import CANARY, DRAINING, PINNED, SPARE, Shop, opened
from tests.adapters.small_client import Load, ask_once


@pytest.fixture
def haproxy() -> Iterator[RunningHaproxy]:
    with running() as one:
        yield one


@looped
async def test_every_kind_of_failure_is_counted_bad_once(haproxy: RunningHaproxy) -> None:
    shop = await opened(haproxy)
    one, _ = await shop.server(1), await shop.server(2)
    await shop.install((1, PINNED), (2, SPARE))
    await ask_once(shop.port)
    assert await bad_more(shop, 0) == 0
    one.status = "500 Broken"
    await ask_once(shop.port)
    assert await bad_more(shop, 0) == 1
    one.hang_up = True
    await ask_once(shop.port)  # redispatched after an empty answer
    assert await bad_more(shop, 1) == 1
    await ask_once(shop.port, "POST")  # an empty answer that may not be asked for again
    assert await bad_more(shop, 2) == 1
    one.hang_up, one.status, one.cut_short = False, "200 OK", True
    await ask_once(shop.port)  # broken off in the body
    assert await bad_more(shop, 3) == 1
    one.die()
    await ask_once(shop.port)  # redispatched after a refused connection
    assert await bad_more(shop, 4) == 1


async def bad_more(shop: Shop, before: int) -> int:
    """More bad requests than before. HAProxy 2.8 (where there is no Debian) counts some of them twice."""
    counted = (await shop.counts())["shop.1"]
    assert counted.bad <= counted.requests
    return counted.bad - before if is_2_6() else min(counted.bad - before, 1)


def is_2_6() -> bool:
    return b"version 2.6" in subprocess.run([program(), "-v"], capture_output=True, check=True).stdout


@looped
async def test_a_restarted_haproxy_is_filled_again(haproxy: RunningHaproxy) -> None:
    shop = await opened(haproxy)
    await shop.server(1)
    await shop.install((1, PINNED))
    first = await shop.proxy.generation()
    assert await shop.proxy.generation() == first
    haproxy.kill()
    with pytest.raises(Unavailable, match="cannot reach HAProxy"):
        await shop.install((1, PINNED))
    haproxy.start()
    await haproxy.ready()
    assert await shop.proxy.generation() != first
    assert (await ask_once(shop.port))[0] == 503
    await shop.install((1, PINNED))
    assert await ask_once(shop.port) == (200, "shop.1")


def test_two_hundred_routes_are_replayed_quickly() -> None:
    with running(ports=200) as haproxy:
        seconds = asyncio.run(replay(haproxy))
    print(f"400 servers in {seconds * 1000:.0f} ms")
    assert seconds < 2  # 0.2 s on a quiet machine; the tests share theirs


async def replay(haproxy: RunningHaproxy) -> float:
    await haproxy.ready()
    proxy = HaproxyProxy(haproxy.socket)
    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number, port in enumerate(range(haproxy.first, haproxy.last + 1)):
            servers = (
                Server(f"shop.{2 * number}", "unix:/nowhere/1.sock", PINNED),
                Server(f"shop.{2 * number + 1}", "unix:/nowhere/2.sock", SPARE),
            )
            group.create_task(proxy.install(Route("shop", port, servers)))
    seconds = time.perf_counter() - begun
    assert len(await proxy.traffic()) == 400
    return seconds


@looped
async def test_many_shares_are_cut_at_once(haproxy: RunningHaproxy) -> None:
    """More than the socket takes connections: none is refused for that."""
    shop = await opened(haproxy)
    ports = range(haproxy.first, haproxy.last + 1)

    def route(port: int, share: float) -> Route:
        servers = (
            Server("shop.1", shop.address(1), PINNED),
            Server("shop.2", shop.address(2), CANARY),
        )
        return Route(f"shop{port}", port, servers, share, 60.0 if share else 0.0)

    for _ in range(10):
        await asyncio.gather(*(shop.proxy.install(route(port, 0.5)) for port in ports))
        await asyncio.gather(*(shop.proxy.install(route(port, 0.0)) for port in ports for _ in range(20)))


@looped
async def test_ten_random_changes_under_load_lose_nothing(haproxy: RunningHaproxy) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    dice = random.Random(seed)
    shop = await opened(haproxy)
    for number in range(1, 6):
        (await shop.server(number)).seconds = 0.002
    await shop.install((1, PINNED))
    async with Load(shop.port) as load:
        for _ in range(10):
            places, share = random_route(dice)
            print(places, share)
            await shop.install(*places, share=share)
            await load.reach(40)
    assert load.failed == [], f"seed {seed}"


def random_route(dice: random.Random) -> tuple[list[tuple[int, Place]], float]:
    numbers = dice.sample(range(1, 6), dice.randint(1, 5))
    rest = [PINNED, SPARE, CANARY, DRAINING]
    places = [(number, dice.choice(rest)) for number in numbers[1:]]
    with_canary = any(place is CANARY for _, place in places)
    return [(numbers[0], PINNED), *places], dice.choice([0.0, 0.1, 1.0]) if with_canary else 0.0


@looped
async def test_a_port_outside_the_ranges_is_refused(haproxy: RunningHaproxy) -> None:
    shop = await opened(haproxy)
    route = Route("shop", haproxy.last + 1, (Server("shop.1", shop.address(1), PINNED),))
    with pytest.raises(Refused, match="outside the proxy's port ranges"):
        await shop.proxy.install(route)


@looped
async def test_a_silent_haproxy_times_out(haproxy: RunningHaproxy) -> None:
    silent = haproxy.folder / "silent.sock"

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_unix_server(say_nothing, silent):
        begun = time.monotonic()
        with pytest.raises(TimedOut, match="no answer within 2 s"):
            await HaproxyProxy(silent).generation()
        assert time.monotonic() - begun < 4


@pytest.mark.parametrize("says", [b"", b"\n> who are you\n\n> ", b"\n> Pid: 1\n\n> "])
@looped
async def test_a_stranger_on_the_socket_is_an_error(haproxy: RunningHaproxy, says: bytes) -> None:
    path = haproxy.folder / "stranger.sock"

    async def stranger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(says)
        writer.close()

    async with await asyncio.start_unix_server(stranger, path):
        with pytest.raises(PortError):
            await HaproxyProxy(path).generation()
        with pytest.raises(PortError):
            await HaproxyProxy(path).traffic()
        with pytest.raises(PortError):
            await HaproxyProxy(path).install(Route("shop", 8081))
