"""A proxy without a proxy: it keeps routes, counts what a test tells it and ends leases on a clock.

It refuses what `HaproxyProxy` refuses and passes the same contract suite.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from noded.adapters.haproxy_slot import check
from noded.model.route import Place, Route, Server, Traffic
from noded.ports import Refused, Unavailable


class FakeProxy:
    def __init__(
        self, ports: tuple[int, int] = (1, 65_535), clock: Callable[[], float] = lambda: 0.0
    ) -> None:
        self.routes: dict[int, Route] = {}
        self.installed: list[Route] = []
        """Every route in the order it came."""
        self.is_away = False
        self._ports = ports
        self._clock = clock
        self._until: dict[int, float] = {}
        self._counts: dict[str, Traffic] = {}
        self._restarts = 0

    async def install(self, route: Route) -> None:
        self._reach()
        check(route)
        if not self._ports[0] <= route.port <= self._ports[1]:
            raise Refused(
                f"cannot install the route of {route.node}: port {route.port} lies outside the ranges"
            )
        self.installed.append(route)
        kept = {server.instance for server in route.servers}
        before = self.routes.get(route.port)
        for server in before.servers if before else ():
            if server.instance not in kept:
                del self._counts[server.instance]
        for server in route.servers:
            known = before is not None and any(one.instance == server.instance for one in before.servers)
            if not known and server.place is not Place.DRAINING:
                self._counts[server.instance] = Traffic(server.instance, 0, 0, 0, True)
        self.routes[route.port] = route
        self._until[route.port] = self._clock() + route.lease

    async def remove(self, port: int) -> None:
        await self.install(Route(node="", port=port))
        del self.routes[port]

    async def traffic(self) -> Sequence[Traffic]:
        self._reach()
        return tuple(self._counts.values())

    async def generation(self) -> str:
        self._reach()
        return f"{self._restarts}"

    def restart(self) -> None:
        """Forget everything, as a killed proxy does."""
        self._restarts += 1
        self.routes.clear()
        self._counts.clear()

    def share(self, port: int) -> float:
        """The canary's share as clients see it now."""
        route = self.routes.get(port)
        if route is None or not any(server.place is Place.CANARY for server in route.servers):
            return 0.0
        return route.share if self._clock() < self._until[port] else 0.0

    def serve(self, instance: str, requests: int, bad: int = 0) -> None:
        """Let a server answer."""
        seen = self._counts[instance]
        self._counts[instance] = replace(seen, requests=seen.requests + requests, bad=seen.bad + bad)

    def set_up(self, instance: str, up: bool) -> None:
        """What health checks or the fuse say."""
        self._counts[instance] = replace(self._counts[instance], up=up)

    def chosen(self, port: int) -> Server | None:
        """Where a request goes that is not the canary's: a pinned server that is up, else a spare."""
        servers = self.routes[port].servers if port in self.routes else ()
        for place in (Place.PINNED, Place.SPARE):
            for server in servers:
                if server.place is place and self._counts[server.instance].up:
                    return server
        return None

    def _reach(self) -> None:
        if self.is_away:
            raise Unavailable("cannot reach the proxy: it is away")
