"""What must hold for every proxy, the real one and the fake?"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from noded.adapters.haproxy import HaproxyProxy
from noded.model.route import Place, Route, Server
from noded.ports import Proxy, Refused, Unavailable
from tests.adapters.looped import looped
from tests.adapters.running_haproxy import RunningHaproxy, running
from tests.adapters.shop import served
from tests.adapters.small_client import ask_once, connect_once
from tests.fakes.proxy import FakeProxy


@dataclass(frozen=True, slots=True)
class World:
    """A proxy with what a test does around it."""

    proxy: Proxy
    folder: Path
    first: int
    last: int
    tcp: int
    """A port for connections."""
    ready: Callable[[], Awaitable[None]]
    request: Callable[[int, str], Awaitable[str]]
    """Ask a port once for a host; the name of the instance that answered, or "" for none, or "nobody" when
    nodes share the port and none is known by that name."""
    restart: Callable[[], None]
    leave: Callable[[], None]

    def route(
        self,
        *places: tuple[int, Place],
        share: float = 0.0,
        port: int = 0,
        node: str = "shop",
        host: str = "",
    ) -> Route:
        servers = tuple(Server(f"{node}.{n}", f"unix:{self.folder}/{n}.sock", place) for n, place in places)
        lease = 60.0 if share else 0.0
        return Route(node, port or self.first, servers, share, lease, hosts=(host,) if host else ())

    async def asked(self, host: str) -> str:
        """The number of the instance that answered."""
        return (await self.request(self.first, host)).rpartition(".")[2]

    async def instances(self) -> set[str]:
        return {traffic.instance for traffic in await self.proxy.traffic()}


@pytest.fixture(params=["fake", "haproxy"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "fake":
        yield faked(tmp_path)
    else:
        with running() as haproxy:
            yield real(haproxy)


def faked(folder: Path) -> World:
    fake = FakeProxy((8081, 8084), tcp_ports=(8085, 8085))

    async def ready() -> None:
        return None

    async def ask(port: int, host: str) -> str:
        server = fake.chosen(port, host)
        if server is None:
            return "nobody" if fake.nobody(port, host) else ""
        fake.serve(server.instance, 1)
        return server.instance

    def leave() -> None:
        fake.is_away = True

    return World(fake, folder, 8081, 8084, 8085, ready, ask, fake.restart, leave)


def real(haproxy: RunningHaproxy) -> World:
    async def ready() -> None:
        await haproxy.ready()
        for number in (1, 2, 3):
            await served(f"shop.{number}", f"unix:{haproxy.folder}/{number}.sock")

    async def ask(port: int, host: str) -> str:
        if port == haproxy.tcp:
            return await connect_once(port)
        status, body = await ask_once(port, host=host)
        return body if status == 200 else "nobody" if status == 404 else ""

    def restart() -> None:
        haproxy.kill()
        haproxy.start()

    proxy = HaproxyProxy(haproxy.socket)
    first, last, tcp = haproxy.first, haproxy.last, haproxy.tcp
    return World(proxy, haproxy.folder, first, last, tcp, ready, ask, restart, haproxy.kill)


@looped
async def test_a_route_serves_and_is_counted(world: World) -> None:
    await world.ready()
    await world.proxy.install(world.route((1, Place.PINNED), (2, Place.SPARE)))
    assert [await world.request(world.first, "a") for _ in range(3)] == ["shop.1"] * 3
    counts = {traffic.instance: traffic for traffic in await world.proxy.traffic()}
    assert (counts["shop.1"].requests, counts["shop.1"].bad, counts["shop.1"].up) == (3, 0, True)
    assert counts["shop.2"].requests == 0


@looped
async def test_install_is_idempotent_and_keeps_counts(world: World) -> None:
    await world.ready()
    route = world.route((1, Place.PINNED))
    await world.proxy.install(route)
    await world.request(world.first, "a")
    before = await world.proxy.traffic()
    await world.proxy.install(route)
    assert await world.proxy.traffic() == before


@looped
async def test_servers_not_in_the_route_are_removed(world: World) -> None:
    await world.ready()
    await world.proxy.install(world.route((1, Place.PINNED), (2, Place.SPARE)))
    await world.proxy.install(world.route((3, Place.PINNED)))
    assert await world.instances() == {"shop.3"}
    assert await world.request(world.first, "a") == "shop.3"


@looped
async def test_a_server_changes_place_and_keeps_its_counts(world: World) -> None:
    await world.ready()
    await world.proxy.install(world.route((1, Place.PINNED)))
    await world.request(world.first, "a")
    await world.proxy.install(world.route((1, Place.CANARY), (2, Place.PINNED)))
    await world.proxy.install(world.route((1, Place.SPARE), (2, Place.PINNED)))
    counts = {traffic.instance: traffic.requests for traffic in await world.proxy.traffic()}
    assert counts == {"shop.1": 1, "shop.2": 0}


@looped
async def test_draining_what_was_never_there_adds_nothing(world: World) -> None:
    await world.ready()
    await world.proxy.install(world.route((1, Place.PINNED), (2, Place.DRAINING)))
    assert await world.instances() == {"shop.1"}


@looped
async def test_slots_do_not_touch_each_other(world: World) -> None:
    await world.ready()
    await world.proxy.install(world.route((1, Place.PINNED)))
    await world.proxy.install(world.route((2, Place.PINNED), port=world.last))
    await world.proxy.remove(world.route())
    assert await world.request(world.first, "a") == ""
    assert await world.request(world.last, "a") == "shop.2"
    assert await world.instances() == {"shop.2"}


@looped
async def test_an_empty_slot_may_be_removed(world: World) -> None:
    await world.ready()
    await world.proxy.remove(world.route())
    await world.proxy.remove(world.route())
    assert await world.request(world.first, "a") == ""


@looped
async def test_what_is_another_nodes_by_now_is_not_removed(world: World) -> None:
    await world.ready()
    await world.proxy.install(world.route((1, Place.PINNED)))
    await world.proxy.install(world.route((2, Place.PINNED), node="till"))
    await world.proxy.remove(world.route())
    assert await world.instances() == {"till.2"}
    assert await world.asked("a") == "2"


@looped
async def test_nodes_share_a_port_by_host_name(world: World) -> None:
    await world.ready()
    await world.proxy.install(world.route((1, Place.PINNED), node="shop", host="shop.example.org"))
    await world.proxy.install(world.route((2, Place.PINNED), node="till", host="till.example.org"))
    assert await world.asked("shop.example.org") == "1"
    assert await world.asked("till.example.org") == "2"
    assert await world.asked("other.example.org") == "nobody"
    await world.proxy.install(world.route((3, Place.PINNED), node="rest"))
    assert await world.asked("other.example.org") == "3"
    assert await world.asked("till.example.org") == "2"
    await world.proxy.remove(world.route(node="rest"))
    assert await world.asked("other.example.org") == "nobody"
    await world.proxy.remove(world.route(node="shop", host="shop.example.org"))
    assert await world.asked("shop.example.org") == "nobody"
    assert await world.asked("till.example.org") == "2"
    assert await world.instances() == {"till.2"}
    await world.proxy.remove(world.route(node="till", host="till.example.org"))
    assert await world.asked("till.example.org") == ""


@looped
async def test_a_node_changes_its_host_names(world: World) -> None:
    await world.ready()
    await world.proxy.install(world.route((1, Place.PINNED), host="old.example.org"))
    await world.proxy.install(world.route((1, Place.PINNED), host="new.example.org"))
    assert await world.asked("new.example.org") == "1"
    assert await world.asked("old.example.org") == "nobody"
    await world.proxy.install(world.route((1, Place.PINNED)))
    await world.proxy.remove(world.route(host="new.example.org"))
    assert await world.asked("new.example.org") == "1", "it has the whole port now"


@looped
async def test_who_is_told_last_has_a_name_that_two_claim(world: World) -> None:
    await world.ready()
    await world.proxy.install(world.route((1, Place.PINNED), node="shop", host="a.example.org"))
    await world.proxy.install(world.route((2, Place.PINNED), node="till", host="a.example.org"))
    assert await world.asked("a.example.org") == "2"
    await world.proxy.remove(world.route(node="shop", host="a.example.org"))
    assert await world.asked("a.example.org") == "2"


@looped
async def test_connections_have_ports_of_their_own(world: World) -> None:
    await world.ready()
    server = Server("shop.1", f"unix:{world.folder}/1.sock", Place.PINNED)
    with pytest.raises(Refused, match=str(world.tcp)):
        await world.proxy.install(Route("shop", world.tcp, (server,)))
    with pytest.raises(Refused, match=str(world.first)):
        await world.proxy.install(Route("shop", world.first, (server,), tcp=True))
    await world.proxy.install(Route("shop", world.tcp, (server,), tcp=True))
    assert await world.instances() == {"shop.1"}
    await world.proxy.remove(Route("shop", world.tcp, tcp=True))
    assert await world.instances() == set()


@looped
async def test_a_port_outside_the_ranges_is_refused(world: World) -> None:
    await world.ready()
    with pytest.raises(Refused, match=str(world.last + 1)):
        await world.proxy.install(world.route((1, Place.PINNED), port=world.last + 1))
    assert await world.instances() == set()


PIN = Server("shop.1", "unix:/run/1.sock", Place.PINNED)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (Route("shop", 1, (PIN,), share=1.5, lease=1), "share"),
        (Route("shop", 1, (PIN,), share=-0.1, lease=1), "share"),
        (Route("shop", 1, (PIN,), share=float("nan"), lease=1), "share"),
        (Route("shop", 1, (PIN,), share=0.5), "lease"),
        (Route("shop", 1, (PIN,), share=0.5, lease=float("inf")), "lease"),
        (Route("shop", 1, (PIN,), lease=-1.0), "lease"),
        (Route("shop", 1, (PIN, PIN)), "twice"),
        (Route("shop", 1, (Server("shop", "unix:/1", Place.PINNED),)), "catalog.7"),
        (
            Route("shop", 1, (Server("shop.1; disable frontend clients", "unix:/1", Place.PINNED),)),
            "instance",
        ),
        (Route("shop", 1, (Server("shop.1", "unix:/1 weight 256", Place.PINNED),)), "address"),
        (Route("shop", 1, (Server("shop.1", "unix:/1\nshow info", Place.PINNED),)), "address"),
        (Route("shop", 1, (Server("shop.1", "unix:1", Place.PINNED),)), "address"),
        (Route("shop", 1, (Server("shop.1", "unix:/" + "x" * 200, Place.PINNED),)), "address"),
        (Route("shop", 1, (Server("shop.1", "localhost", Place.PINNED),)), "address"),
        (Route("shop", 1, (Server("shop.1", "127.0.0.256:80", Place.PINNED),)), "address"),
        (Route("shop", 1, (Server("shop.1", "127.0.0.1:0", Place.PINNED),)), "address"),
        (Route("shop", 1, (Server("shop.1", "127.0.0.1:65536", Place.PINNED),)), "address"),
        (Route("shop", 1, tuple(Server(f"shop.{n}", "unix:/1", Place.SPARE) for n in range(65))), "64"),
        (Route("shop", 1, (PIN,), idempotent=("get",)), "idempotent"),
        (Route("shop", 1, (PIN,), idempotent=("GET 1",)), "idempotent"),
        (Route("shop", 1, (PIN,), hosts=("shop.example.org n5",)), "host names"),
        (Route("shop", 1, (PIN,), hosts=("*",)), "host names"),
        (Route("shop", 1, (PIN,), hosts=("shop.example.org",), tcp=True), "names no host"),
        (Route("shop", 1, (Server("shop.1", "unix:/1", Place.CANARY, raised=-1),)), "raised"),
    ],
)
@looped
async def test_a_wrong_route_is_refused_whole(wrong: Route, says: str) -> None:
    for proxy in (FakeProxy(), HaproxyProxy(Path("/nonexistent"))):
        with pytest.raises(Refused, match=says):
            await proxy.install(wrong)


@looped
async def test_a_restart_is_told_by_the_generation(world: World) -> None:
    await world.ready()
    before = await world.proxy.generation()
    await world.proxy.install(world.route((1, Place.PINNED)))
    assert await world.proxy.generation() == before
    world.restart()
    await world.ready()
    assert await world.proxy.generation() != before
    assert await world.instances() == set()
    await world.proxy.install(world.route((1, Place.PINNED)))
    assert await world.request(world.first, "a") == "shop.1"


@looped
async def test_a_proxy_that_is_away_is_unavailable(world: World) -> None:
    await world.ready()
    world.leave()
    for call in (
        world.proxy.install(world.route((1, Place.PINNED))),
        world.proxy.remove(world.route()),
        world.proxy.traffic(),
        world.proxy.generation(),
    ):
        with pytest.raises(Unavailable):
            await call


@looped
async def test_the_fake_ends_a_lease_on_its_clock() -> None:
    now = [100.0]
    fake = FakeProxy(clock=lambda: now[0])
    servers = (PIN, Server("shop.2", "unix:/run/2.sock", Place.CANARY))
    await fake.install(Route("shop", 1, servers, share=0.1, lease=5.0))
    assert fake.share(1) == 0.1
    now[0] = 105.0
    assert fake.share(1) == 0.0
