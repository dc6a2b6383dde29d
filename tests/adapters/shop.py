"""One slot of a running HAProxy with servers of our own behind it."""

from noded.adapters.haproxy import HaproxyProxy
from noded.model.route import Place, Route, Server, Traffic
from tests.adapters.looped import at_end
from tests.adapters.running_haproxy import RunningHaproxy
from tests.adapters.small_server import SmallServer

PINNED, SPARE, CANARY, DRAINING = Place.PINNED, Place.SPARE, Place.CANARY, Place.DRAINING


class Shop:
    """One slot, its proxy and the servers a test started."""

    def __init__(self, haproxy: RunningHaproxy) -> None:
        self.haproxy = haproxy
        self.port = haproxy.first
        self.proxy = HaproxyProxy(haproxy.socket)

    def address(self, number: int) -> str:
        return f"unix:{self.haproxy.folder}/{number}.sock"

    async def server(self, number: int) -> SmallServer:
        return await served(f"shop.{number}", self.address(number))

    def route(self, *places: tuple[int, Place], share: float = 0.0, lease: float = 0.0) -> Route:
        servers = tuple(Server(f"shop.{n}", self.address(n), place) for n, place in places)
        return Route("shop", self.port, servers, share, lease or (60.0 if share else 0.0))

    async def install(self, *places: tuple[int, Place], share: float = 0.0, lease: float = 0.0) -> None:
        await self.proxy.install(self.route(*places, share=share, lease=lease))

    async def counts(self) -> dict[str, Traffic]:
        return {traffic.instance: traffic for traffic in await self.proxy.traffic()}


async def served(name: str, address: str) -> SmallServer:
    """A server of the test that runs."""
    server = await SmallServer(name, address).start()
    at_end(server.die)
    return server


async def opened(haproxy: RunningHaproxy) -> Shop:
    await haproxy.ready()
    return Shop(haproxy)
