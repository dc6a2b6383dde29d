"""A proxy in virtual time: routes, leases, counts by share, and the fuse of the canary."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from noded.model.route import Place, Route, Server, Traffic
from tests.sim.living import Living

RATE = 100.0
"""Requests a second on every port."""


@dataclass
class Proxy:
    up: bool = True
    reachable: bool = True
    """Whether noded gets an answer; requests are served all the same."""
    generation: str = "g0"
    routes: dict[int, Route] = field(default_factory=dict)
    until: dict[int, float] = field(default_factory=dict)
    """When the lease of a port's share ends."""
    counted: float = 0.0

    def take(self, route: Route, now: float) -> None:
        self.routes[route.port] = route
        self.until[route.port] = now + route.lease

    def restart(self) -> None:
        self.generation = f"g{int(self.generation[1:]) + 1}"
        self.routes.clear()
        self.until.clear()

    def share(self, port: int, now: float) -> float:
        return self.routes[port].share if now < self.until.get(port, 0.0) else 0.0

    def count(self, now: float, living: Mapping[str, Living]) -> tuple[Traffic, ...]:
        asked = (now - self.counted) * RATE
        self.counted = now
        told = []
        for port, route in self.routes.items():
            self._serve(route, asked, self.share(port, now), living)
            for server in route.servers:
                one = living.get(server.instance)
                requests, bad, up = (int(one.asked), int(one.bad), one.up) if one else (0, 0, False)
                told.append(Traffic(server.instance, requests, bad, 0, up))
        return tuple(told)

    def _serve(self, route: Route, asked: float, share: float, living: Mapping[str, Living]) -> None:
        canaries = _up(route, Place.CANARY, living)
        stable = _up(route, Place.PINNED, living) or _up(route, Place.SPARE, living)
        part = share if canaries else 0.0
        for group, requests in ((canaries, asked * part), (stable, asked * (1.0 - part))):
            for one in group:
                one.asked += requests / len(group)
                one.bad += requests / len(group) * one.traits.errors
        for one in canaries:
            # Three failures in a row: likely only when most requests fail.
            one.up = one.up and not (part and one.traits.errors >= 0.5 and one.bad >= 3.0)


def _up(route: Route, place: Place, living: Mapping[str, Living]) -> list[Living]:
    found = [living.get(server.instance) for server in _servers(route, place)]
    return [one for one in found if one is not None and one.up]


def _servers(route: Route, place: Place) -> list[Server]:
    return [server for server in route.servers if server.place is place]
