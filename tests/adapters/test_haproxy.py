"""Does the real HAProxy keep what routes promise, under load?"""

import asyncio
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from noded.adapters.haproxy import HaproxyProxy
from noded.model.route import Route, Server, Traffic
from noded.ports import TimedOut
from tests.adapters.looped import looped, until
from tests.adapters.running_haproxy import RunningHaproxy, running
from tests.adapters.shop import CANARY, PINNED, SPARE, opened, served
from tests.adapters.small_client import Load, ask_once
from tests.adapters.small_server import SmallServer


@pytest.fixture
def haproxy() -> Iterator[RunningHaproxy]:
    with running() as one:
        yield one


@looped
async def test_an_empty_slot_answers_503(haproxy: RunningHaproxy) -> None:
    shop = await opened(haproxy)
    assert (await ask_once(shop.port))[0] == 503


@looped
async def test_a_pinned_server_answers_at_once_and_the_spare_gets_nothing(haproxy: RunningHaproxy) -> None:
    shop = await opened(haproxy)
    await shop.server(1)
    spare = await shop.server(2)
    await shop.install((1, PINNED), (2, SPARE))
    async with Load(shop.port) as load:
        await load.reach(500)
    assert not load.failed
    assert not spare.answered
    assert (await shop.counts())["shop.1"].requests == load.count


@looped
async def test_several_pinned_servers_share_evenly(haproxy: RunningHaproxy) -> None:
    shop = await opened(haproxy)
    for number in (1, 2, 3):
        await shop.server(number)
    await shop.install((1, PINNED), (2, PINNED), (3, PINNED))
    async with Load(shop.port) as load:
        await load.reach(3000)
    assert not load.failed
    for number in (1, 2, 3):
        assert within(load.by_server[f"shop.{number}"], load.count, 1 / 3)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 1.0])
@looped
async def test_the_canary_gets_its_share(haproxy: RunningHaproxy, share: float) -> None:
    shop = await opened(haproxy)
    await shop.server(1)
    await shop.server(2)
    await shop.install((1, PINNED), (2, CANARY), share=share)
    async with Load(shop.port) as load:
        await load.reach(3000)
    assert not load.failed
    assert within(load.by_server["shop.2"], load.count, share)
    counts = await shop.counts()
    assert counts["shop.2"] == Traffic("shop.2", load.by_server["shop.2"], 0, 0, True)


@looped
async def test_a_killed_only_server_with_a_spare_loses_no_get(haproxy: RunningHaproxy) -> None:
    shop = await opened(haproxy)
    await shop.server(2)
    script = Path(__file__).with_name("small_server.py")
    process = subprocess.Popen(
        [sys.executable, str(script), str(haproxy.folder / "1.sock"), "shop.1"], stdout=subprocess.PIPE
    )
    assert process.stdout and process.stdout.readline() == b"ready\n"
    await shop.install((1, PINNED), (2, SPARE))
    async with Load(shop.port) as load:
        await load.reach(500)
        process.kill()
        process.wait()
        await load.reach(500)
    process.stdout.close()
    assert load.failed == []
    assert load.by_server["shop.2"] >= 400
    counts = await shop.counts()
    assert counts["shop.1"].bad >= 1
    assert counts["shop.1"].bad <= counts["shop.1"].requests


@looped
async def test_a_killed_server_among_several_loses_no_get(haproxy: RunningHaproxy) -> None:
    shop = await opened(haproxy)
    one, _ = await shop.server(1), await shop.server(2)
    await shop.install((1, PINNED), (2, PINNED))
    async with Load(shop.port) as load:
        await load.reach(300)
        one.die()
        await load.reach(500)
    assert load.failed == []


@looped
async def test_a_killed_canary_loses_no_get_even_without_a_spare(haproxy: RunningHaproxy) -> None:
    shop = await opened(haproxy)
    _, canary = await shop.server(1), await shop.server(2)
    await shop.install((1, PINNED), (2, CANARY), share=0.5)
    async with Load(shop.port) as load:
        await load.reach(300)
        canary.die()
        await load.reach(500)
    assert load.failed == []
    assert not (await shop.counts())["shop.2"].up


@looped
async def test_the_fuse_cuts_a_canary_at_its_third_error_and_stays_cut(haproxy: RunningHaproxy) -> None:
    """Also when its health checks pass between the errors."""
    shop = await opened(haproxy)
    _, canary, spare = await shop.server(1), await shop.server(2), await shop.server(3)
    canary.status = "500 Broken"
    await shop.install((1, PINNED), (2, CANARY), (3, SPARE), share=0.5)
    async with Load(shop.port, clients=1, method="POST", pause=0.1) as load:
        await load.reach(40)
    assert [status for status, _ in load.failed] == [500, 500, 500]
    assert canary.answered["POST"] == 3
    assert spare.answered["POST"] == 0, "the cut share goes to the stable version"
    counted = (await shop.counts())["shop.2"]
    assert (counted.requests, counted.bad, counted.up, counted.moved) == (3, 3, False, 0)


@looped
async def test_what_may_be_asked_again_is_answered_by_stable_where_the_canary_fails(
    haproxy: RunningHaproxy,
) -> None:
    shop = await opened(haproxy)
    stable, canary = await shop.server(1), await shop.server(2)
    canary.status = "500 Broken"
    await shop.install((1, PINNED), (2, CANARY), share=0.5)
    async with Load(shop.port, clients=2) as load:
        await load.reach(200)
    assert load.failed == [] and set(load.by_server) == {"shop.1"}
    counted = (await shop.counts())["shop.2"]
    assert counted.bad == counted.requests == counted.moved == canary.answered["GET"] > 50
    assert (await shop.counts())["shop.1"].requests == stable.answered["GET"]


@looped
async def test_a_second_failure_is_told_from_a_first(haproxy: RunningHaproxy) -> None:
    """What is asked of stable because the canary failed at it, and fails there too."""
    shop = await opened(haproxy)
    stable, canary = await shop.server(1), await shop.server(2)
    stable.status = canary.status = "500 Broken"
    await shop.install((1, PINNED), (2, CANARY), share=0.5)
    async with Load(shop.port, clients=1) as load:
        await load.reach(100)
    counts = await shop.counts()
    one, two = counts["shop.1"], counts["shop.2"]
    assert one.again == one.again_bad == two.moved == two.requests == 3, "then the fuse has cut it"
    assert one.bad == one.requests == load.count and two.again == 0


@looped
async def test_a_canary_that_fails_now_and_then_keeps_its_share(haproxy: RunningHaproxy) -> None:
    shop = await opened(haproxy)
    _, canary = await shop.server(1), await shop.server(2)
    await shop.install((1, PINNED), (2, CANARY), share=1.0)
    answers = []
    for number in range(60):
        canary.status = "500 Broken" if number % 6 == 5 else "200 OK"
        answers.append(await ask_once(shop.port, "POST"))
    assert [status for status, _ in answers].count(500) == 10
    assert {body for status, body in answers if status == 200} == {"shop.2"}
    assert (await shop.counts())["shop.2"].up


@looped
async def test_what_stable_answers_is_not_asked_again(haproxy: RunningHaproxy) -> None:
    shop = await opened(haproxy)
    stable, spare = await shop.server(1), await shop.server(2)
    stable.status = "503 Busy"
    await shop.install((1, PINNED), (2, SPARE))
    async with Load(shop.port, clients=1) as load:
        await load.reach(50)
    assert stable.answered["GET"] == len(load.failed) and spare.answered["GET"] == 0


@looped
async def test_a_canary_that_the_fuse_cut_can_be_put_back_once(haproxy: RunningHaproxy) -> None:
    shop = await opened(haproxy)
    _, canary = await shop.server(1), await shop.server(2)

    async def install(raised: int) -> None:
        servers = (
            Server("shop.1", shop.address(1), PINNED),
            Server("shop.2", shop.address(2), CANARY, raised=raised),
        )
        await shop.proxy.install(Route("shop", shop.port, servers, 1.0, 60.0))

    async def cut() -> None:
        canary.status = "500 Broken"
        assert [(await ask_once(shop.port, "POST"))[0] for _ in range(4)] == [500, 500, 500, 200]
        canary.status = "200 OK"
        assert not (await shop.counts())["shop.2"].up

    await install(0)
    await cut()
    await install(0)
    assert await ask_once(shop.port) == (200, "shop.1"), "a renewed lease does not put it back"
    await install(1)
    assert (await shop.counts())["shop.2"].up
    assert await ask_once(shop.port) == (200, "shop.2")
    await cut()
    shop.proxy = HaproxyProxy(haproxy.socket)
    await install(1)
    assert await ask_once(shop.port) == (200, "shop.1"), "nor does a noded that was restarted"
    await install(2)
    assert await ask_once(shop.port) == (200, "shop.2")


@looped
async def test_a_share_ends_with_its_lease(haproxy: RunningHaproxy) -> None:
    shop = await opened(haproxy)
    await shop.server(1)
    canary = await shop.server(2)
    await shop.install((1, PINNED), (2, CANARY), share=1.0, lease=1.0)
    begun = time.time()
    assert await ask_once(shop.port) == (200, "shop.2")

    async def stable_answers() -> bool:
        return await ask_once(shop.port) == (200, "shop.1")

    await until(stable_answers, 4)
    assert 0.9 <= time.time() - begun <= 1.3
    before = canary.answered.total()
    async with Load(shop.port) as load:
        await load.reach(100)
    assert canary.answered.total() == before


@looped
async def test_a_renewed_lease_keeps_the_share(haproxy: RunningHaproxy) -> None:
    shop = await opened(haproxy)
    await shop.server(1)
    await shop.server(2)
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        await shop.install((1, PINNED), (2, CANARY), share=1.0, lease=1.0)
        assert await ask_once(shop.port) == (200, "shop.2")
        await asyncio.sleep(0.2)


@looped
async def test_a_share_is_cut_even_when_the_rest_fails(haproxy: RunningHaproxy) -> None:
    shop = await opened(haproxy)
    await shop.server(1)
    await shop.server(2)
    await shop.install((1, PINNED), (2, CANARY), share=1.0)
    assert await ask_once(shop.port) == (200, "shop.2")
    left = 2  # one connection for the names of the maps, one for the cut

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal left
        left -= 1
        if left >= 0:
            up_reader, up_writer = await asyncio.open_unix_connection(haproxy.socket)
            async with asyncio.TaskGroup() as group:
                group.create_task(pass_on(reader, up_writer))
                group.create_task(pass_on(up_reader, writer))
        writer.close()

    path = haproxy.folder / "relay.sock"
    async with await asyncio.start_unix_server(relay, path):
        with pytest.raises(TimedOut):
            await HaproxyProxy(path).install(shop.route((1, PINNED), (2, CANARY), (3, SPARE)))
    assert left < 0
    assert await ask_once(shop.port) == (200, "shop.1")
    assert set(await shop.counts()) == {"shop.1", "shop.2"}


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(65_536):
        writer.write(chunk)
    writer.close()


@looped
async def test_servers_on_ports_and_on_sockets_serve_alike(haproxy: RunningHaproxy) -> None:
    shop = await opened(haproxy)
    server = SmallServer("shop.1", "unix:/unused")
    listening = await asyncio.start_server(server.client, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    await shop.proxy.install(Route("shop", shop.port, (Server("shop.1", f"127.0.0.1:{port}", PINNED),)))
    assert await ask_once(shop.port) == (200, "shop.1")
    listening.close()


@looped
async def test_an_instance_at_another_address_is_another_server(haproxy: RunningHaproxy) -> None:
    shop = await opened(haproxy)
    await shop.server(1)
    moved = await served("moved", f"unix:{haproxy.folder}/moved.sock")
    await shop.install((1, PINNED))
    async with Load(shop.port) as load:
        await load.reach(50)
        await shop.proxy.install(Route("shop", shop.port, (Server("shop.1", moved.address, PINNED),)))
        await load.reach(50)
    assert load.failed == []
    assert load.by_server["moved"] >= 40
    assert (await shop.counts())["shop.1"].requests == load.count


@looped
async def test_only_idempotent_methods_are_sent_again(haproxy: RunningHaproxy) -> None:
    shop = await opened(haproxy)
    one, spare = await shop.server(1), await shop.server(2)
    one.hang_up = True
    await shop.install((1, PINNED), (2, SPARE))
    assert await ask_once(shop.port, "GET") == (200, "shop.2")
    assert (await ask_once(shop.port, "POST"))[0] == 502
    assert (one.answered["POST"], spare.answered["POST"]) == (1, 0)


@looped
async def test_a_node_may_declare_its_posts_idempotent_and_take_it_back(haproxy: RunningHaproxy) -> None:
    shop = await opened(haproxy)
    one, _ = await shop.server(1), await shop.server(2)
    one.hang_up = True
    places = shop.route((1, PINNED), (2, SPARE)).servers
    await shop.proxy.install(Route("shop", shop.port, places, idempotent=("POST",)))
    assert await ask_once(shop.port, "POST") == (200, "shop.2")
    await shop.proxy.install(Route("shop", shop.port, places))
    assert (await ask_once(shop.port, "POST"))[0] == 502


def within(hits: int, count: int, share: float) -> bool:
    """Five standard deviations of the binomial: one false alarm in a million."""
    return abs(hits - count * share) <= 5 * math.sqrt(count * share * (1 - share)) + 0.5
