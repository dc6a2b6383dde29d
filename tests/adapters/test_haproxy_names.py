"""Do host names lead to the right node, whatever is restarted, and does every node keep what is its own?"""

import asyncio
from collections.abc import Iterator

import pytest

from noded.adapters import haproxy_names as names
from noded.adapters.haproxy import HaproxyProxy
from noded.adapters.haproxy_config import NAME_SLOTS
from noded.model.route import Route, Server
from noded.ports import Refused
from tests.adapters.looped import looped, until
from tests.adapters.running_haproxy import RunningHaproxy, running
from tests.adapters.shop import CANARY, PINNED, Shop, opened, served
from tests.adapters.small_client import Load, ask_once
from tests.adapters.small_server import SmallServer

PATH = "/m/hosts.map"


@pytest.fixture
def haproxy() -> Iterator[RunningHaproxy]:
    with running() as one:
        yield one


def route_of(node: str, *hosts: str, port: int = 1) -> Route:
    return Route(node, port, hosts=hosts)


# What the map says


def test_the_map_is_read() -> None:
    known = names.read(
        "0x1 n7 shop:8100\n0x2 8100/shop.example.org n7\n0x3 8100/* nobody\n0x4 s8101 till:8101\n"
    )
    assert known.owners == {"n7": "shop:8100", "s8101": "till:8101"}
    assert known.doors == {"8100/shop.example.org": "n7", "8100/*": "nobody"}
    assert names.held(known, route_of("shop", "x", port=8100)) == "n7"
    assert names.held(known, route_of("till", "x", port=8100)) == ""
    assert names.held(known, route_of("till", port=8101)) == "s8101"
    assert names.held(known, route_of("shop", port=8101)) == ""


@pytest.mark.parametrize("answer", ["Unknown map identifier. Please use #<id> or <file>.", "0x1 n7\n"])
def test_an_unexpected_answer_is_refused(answer: str) -> None:
    with pytest.raises(Refused, match="cannot read the map of hosts"):
        names.read(answer)


def test_a_free_slot_is_chosen_always_the_same_and_nobody_elses() -> None:
    first = names.chosen(names.Names({}, {}), route_of("shop", "a"))
    assert names.chosen(names.Names({}, {}), route_of("shop", "a")) == first
    assert names.chosen(names.Names({first: "till:1"}, {}), route_of("shop", "a")) != first
    full = {f"n{number}": f"till{number}:1" for number in range(NAME_SLOTS)}
    with pytest.raises(Refused, match=f"{NAME_SLOTS} nodes share ports"):
        names.chosen(names.Names(full, {}), route_of("shop", "a"))


def test_what_is_right_is_not_said_again() -> None:
    known = names.Names({"n7": "shop:1"}, {"1/a": "n7", "1/*": "nobody"})
    assert list(names.open_doors(PATH, "n7", route_of("shop", "a"), known)) == []
    assert list(names.claim(PATH, "n7", route_of("shop", "a"), known)) == []
    assert names.own_port(PATH, "s1", "shop:1", route_of("shop")) == []


# The real thing


class Street(Shop):
    """One port that nodes share."""

    async def open(self, node: str, number: int) -> SmallServer:
        server = await served(f"{node}.{number}", self.address(number))
        await self.proxy.install(self.named(node, number))
        return server

    def named(self, node: str, number: int, *hosts: str) -> Route:
        server = Server(f"{node}.{number}", self.address(number), PINNED)
        return Route(node, self.port, (server,), hosts=hosts or (f"{node}.example.org",))

    async def asks(self, host: str) -> tuple[int, str]:
        return await ask_once(self.port, host=host)


async def street(haproxy: RunningHaproxy) -> Street:
    await haproxy.ready()
    return Street(haproxy)


@looped
async def test_a_name_is_known_with_its_port_and_in_capitals(haproxy: RunningHaproxy) -> None:
    shop = await street(haproxy)
    await shop.open("shop", 1)
    for host in ("shop.example.org", f"shop.example.org:{shop.port}", "SHOP.Example.org"):
        assert await shop.asks(host) == (200, "shop.1")
    status, body = await shop.asks("shop.example.com")
    assert (status, body) == (404, "no node answers for this host name on this port\n")


@looped
async def test_another_noded_finds_every_slot_again(haproxy: RunningHaproxy) -> None:
    shop = await street(haproxy)
    await shop.open("shop", 1)
    await shop.open("till", 2)
    shop.proxy = HaproxyProxy(haproxy.socket)
    await shop.server(3)
    await shop.proxy.install(shop.named("shop", 3))
    assert await shop.asks("shop.example.org") == (200, "shop.3")
    assert await shop.asks("till.example.org") == (200, "till.2")
    assert set(await shop.counts()) == {"shop.3", "till.2"}
    await shop.proxy.remove(shop.named("till", 2))
    assert set(await shop.counts()) == {"shop.3"}
    assert (await shop.asks("till.example.org"))[0] == 404


@looped
async def test_a_restarted_proxy_is_filled_again_in_any_order(haproxy: RunningHaproxy) -> None:
    shop = await street(haproxy)
    nodes = ["shop", "till", "mail", "desk"]
    for number, node in enumerate(nodes):
        await shop.open(node, number)
    haproxy.kill()
    haproxy.start()
    await haproxy.ready()
    assert (await shop.asks("shop.example.org"))[0] == 503, "nobody knows yet whose name it is"
    routes = [shop.named(node, number) for number, node in enumerate(nodes)]
    async with asyncio.TaskGroup() as group:
        for route in reversed(routes):
            group.create_task(shop.proxy.install(route))
    for number, node in enumerate(nodes):
        assert await shop.asks(f"{node}.example.org") == (200, f"{node}.{number}")


@looped
async def test_slots_that_were_given_back_are_given_again(haproxy: RunningHaproxy) -> None:
    shop = await street(haproxy)
    await shop.server(1)
    for number in range(NAME_SLOTS + 5):
        route = shop.named("shop", 1)
        node = f"shop{number}"
        servers = (Server(f"{node}.1", route.servers[0].address, PINNED),)
        mine = Route(node, shop.port, servers, hosts=("a.example.org",))
        await shop.proxy.install(mine)
        await shop.proxy.remove(mine)
    assert await shop.counts() == {}
    assert (await shop.asks("a.example.org"))[0] == 503


@looped
async def test_names_come_and_go_without_a_failed_request(haproxy: RunningHaproxy) -> None:
    shop = await street(haproxy)
    await shop.server(1)
    server = Server("shop.1", shop.address(1), PINNED)
    await shop.proxy.install(Route("shop", shop.port, (server,)))
    async with Load(shop.port) as load:
        for _ in range(5):
            await shop.proxy.install(Route("shop", shop.port, (server,), hosts=("a",)))
            await shop.proxy.remove(Route("shop", shop.port))
            await load.reach(20)
            await shop.proxy.install(Route("shop", shop.port, (server,)))
            await shop.proxy.remove(Route("shop", shop.port, hosts=("a",)))
            await load.reach(20)
    assert load.failed == []


@looped
async def test_a_canary_behind_a_name_has_a_share_of_its_own(haproxy: RunningHaproxy) -> None:
    shop = await street(haproxy)
    await shop.open("till", 3)
    await shop.server(1)
    await shop.server(2)
    servers = (Server("shop.1", shop.address(1), PINNED), Server("shop.2", shop.address(2), CANARY))
    await shop.proxy.install(Route("shop", shop.port, servers, 1.0, 1.0, hosts=("shop.example.org",)))
    assert await shop.asks("shop.example.org") == (200, "shop.2")
    assert await shop.asks("till.example.org") == (200, "till.3")

    async def is_over() -> bool:
        return await shop.asks("shop.example.org") == (200, "shop.1")

    await until(is_over, 3)


# Between two versions of noded


BEFORE = """\
# Written by noded; servers and shares are set through the admin socket.
global
  nbthread 1
  fd-hard-limit 65536
  hard-stop-after 30s
  stats socket {folder}/admin.sock mode 660 level admin
  stats timeout 10s

defaults slot
  mode http
  timeout connect 1s
  timeout client 60s
  timeout server 60s
  timeout tunnel 1h
  option http-keep-alive
  http-reuse safe
  balance roundrobin
  option redispatch 1
  retries 3
  retry-on conn-failure empty-response response-timeout
  http-request set-var(txn.n) be_name,concat(.pinned),map_str_int({folder}/numbers.map,1)
  http-request set-var-fmt(txn.key) %[be_name].pinned.%[rand(1000000),mod(txn.n)]
  http-request set-var(txn.to) var(txn.key),map_str({folder}/names.map)
  http-request set-var(txn.share) be_name,concat(.share),map_str_int({folder}/numbers.map,0)
  http-request set-var(txn.until) be_name,concat(.until),map_str_int({folder}/numbers.map,0)
  http-request set-var(txn.n) be_name,concat(.canary),map_str_int({folder}/numbers.map,1)
  http-request set-var-fmt(txn.key) %[be_name].canary.%[rand(1000000),mod(txn.n)]
  http-request set-var(txn.to) var(txn.key),map_str({folder}/names.map) if {{ rand(10000),sub(txn.share) -m int lt 0 }} {{ date(),sub(txn.until) -m int lt 0 }}
  http-request set-var-fmt(txn.key) %[be_name].retry.%[method]
  http-request disable-l7-retry unless {{ var(txn.key),map_str_int({folder}/numbers.map,0) -m int eq 1 }}

defaults clients
  mode http
  timeout client 60s
  timeout http-request 30s
  timeout http-keep-alive 60s
  option http-keep-alive

frontend clients from clients
  bind 127.0.0.1:{port}
  use_backend s%[dst_port]

backend s{port} from slot
  use-server %[var(txn.to)] if {{ var(txn.to) -m found }}
"""  # noqa: E501 - HAProxy knows no line that goes on
"""What HAProxy was told before there were host names, ports for connections, and places for canaries."""


@looped
async def test_a_proxy_with_the_configuration_of_before_still_serves(haproxy: RunningHaproxy) -> None:
    haproxy.kill()
    (haproxy.folder / "haproxy.cfg").write_text(BEFORE.format(folder=haproxy.folder, port=haproxy.first))
    haproxy.start()
    shop = await opened(haproxy)
    await shop.server(1)
    await shop.server(2)
    await shop.install((1, PINNED), (2, CANARY), share=1.0, lease=2.5)
    assert await ask_once(shop.port) == (200, "shop.2")

    async def is_over() -> bool:
        return await ask_once(shop.port) == (200, "shop.1")

    await until(is_over, 4)
    with pytest.raises(Refused, match="restart the proxy"):
        await shop.proxy.install(Route("till", shop.port, hosts=("till",)))
    await shop.proxy.remove(Route("shop", shop.port))
    assert await shop.counts() == {}
