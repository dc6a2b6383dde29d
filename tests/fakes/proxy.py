"""A proxy without a proxy: it keeps routes, counts what a test tells it and ends leases on a clock.

It refuses what `HaproxyProxy` refuses and passes the same contract suite.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from noded.adapters.haproxy_slot import check
from noded.model.route import Place, Route, Server, Traffic
from noded.ports import Refused, Unavailable


class FakeProxy:
    def __init__(
        self,
        ports: tuple[int, int] = (1, 65_535),
        clock: Callable[[], float] = lambda: 0.0,
        tcp_ports: tuple[int, int] = (1, 65_535),
    ) -> None:
        self.told: dict[tuple[int, str], Route] = {}
        """By port and, where they have host names, by node."""
        self.installed: list[Route] = []
        """Every route in the order it came."""
        self.is_away = False
        self._ports = {False: ports, True: tcp_ports}
        self._clock = clock
        self._until: dict[tuple[int, str], float] = {}
        self._counts: dict[str, Traffic] = {}
        self._raised: dict[str, int] = {}
        self._restarts = 0

    @property
    def routes(self) -> dict[int, Route]:
        """Those without host names, by port."""
        return {port: route for (port, node), route in self.told.items() if not node}

    async def install(self, route: Route) -> None:
        self._reach()
        check(route)
        first, last = self._ports[route.tcp]
        if not first <= route.port <= last:
            raise Refused(
                f"cannot install the route of {route.node}: port {route.port} lies outside the ranges"
            )
        self.installed.append(route)
        self._take(route)

    async def remove(self, route: Route) -> None:
        self._reach()
        check(route)
        before = self.told.get(_door(route))
        if before is not None and before.node == route.node:
            self._take(replace(before, servers=()))
            del self.told[_door(route)]

    def _take(self, route: Route) -> None:
        door = _door(route)
        kept = {server.instance for server in route.servers}
        before = self.told.get(door)
        for server in before.servers if before else ():
            if server.instance not in kept and not self._elsewhere(server.instance, door):
                self._counts.pop(server.instance, None)
                self._raised.pop(server.instance, None)
        for server in route.servers:
            known = before is not None and any(one.instance == server.instance for one in before.servers)
            if not known and server.place is not Place.DRAINING:
                self._counts[server.instance] = Traffic(server.instance, 0, 0, 0, True)
            if server.place is Place.CANARY and self._raised.get(server.instance, 0) != server.raised:
                self._raised[server.instance] = server.raised
                self.set_up(server.instance, True)
        self.told.pop(door, None)
        self.told[door] = route
        self._until[door] = self._clock() + route.lease

    def _elsewhere(self, instance: str, door: tuple[int, str]) -> bool:
        others = (route for key, route in self.told.items() if key != door)
        return any(server.instance == instance for route in others for server in route.servers)

    async def traffic(self) -> Sequence[Traffic]:
        self._reach()
        return tuple(self._counts.values())

    async def generation(self) -> str:
        self._reach()
        return f"{self._restarts}"

    def restart(self) -> None:
        """Forget everything, as a killed proxy does."""
        self._restarts += 1
        self.told.clear()
        self._counts.clear()
        self._raised.clear()

    def share(self, port: int, host: str = "") -> float:
        """The canary's share as clients see it now."""
        route = self._asked(port, host)
        if route is None or not any(server.place is Place.CANARY for server in route.servers):
            return 0.0
        return route.share if self._clock() < self._until[_door(route)] else 0.0

    def serve(self, instance: str, requests: int, bad: int = 0) -> None:
        """Let a server answer."""
        seen = self._counts[instance]
        self._counts[instance] = replace(seen, requests=seen.requests + requests, bad=seen.bad + bad)

    def set_up(self, instance: str, up: bool) -> None:
        """What health checks or the fuse say."""
        self._counts[instance] = replace(self._counts[instance], up=up)

    def chosen(self, port: int, host: str = "") -> Server | None:
        """Where a request goes that is not the canary's: a pinned server that is up, else a spare."""
        route = self._asked(port, host)
        servers = route.servers if route else ()
        for place in (Place.PINNED, Place.SPARE):
            for server in servers:
                if server.place is place and self._counts[server.instance].up:
                    return server
        return None

    def nobody(self, port: int, host: str = "") -> bool:
        """Nodes share the port and none of them answers for this name."""
        return self._asked(port, host) is None and any(self._named(port))

    def _named(self, port: int) -> Iterator[Route]:
        return (route for route in self.told.values() if route.port == port and route.hosts)

    def _asked(self, port: int, host: str) -> Route | None:
        named = [route for route in self._named(port) if host in route.hosts]
        # Who was told last has a name that two claim.
        return named[-1] if named else self.told.get((port, ""))

    def _reach(self) -> None:
        if self.is_away:
            raise Unavailable("cannot reach the proxy: it is away")


def _door(route: Route) -> tuple[int, str]:
    return route.port, route.node if route.hosts else ""
