"""What does the proxy by itself cost, and how fast is it told? `python -m tests.bench.rollout_proxy`

HAProxy with the shipped configuration and adapter, alone with cheap servers: no noded, no node.
"""

import asyncio
import json
import mmap
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from noded.adapters.haproxy import HaproxyProxy
from noded.model.route import Place, Route, Server
from noded.ports import PortError
from noded.runtime.monitors import TRAFFIC_LOST
from tests.adapters.looped import until
from tests.adapters.running_haproxy import RunningHaproxy, running
from tests.adapters.small_client import ask_once
from tests.bench.load.many_servers import ANSWER, TIME
from tests.bench.load.steady_clients import REQUEST

NODES = 200
MB = 1_000_000
COLD_ROUNDS = 7
TRIALS = 100
CLIENTS, RATE = 32, 3000.0
SHARE = 0.5
SETTLED = 0.15
"""Seconds after a decision in which the last request of the canary must have come."""
LOAD = Path(__file__).parent / "load"


@dataclass(frozen=True, slots=True)
class Servers:
    folder: Path
    port: int
    """Of the first server, for those who ask it without the proxy."""

    def address(self, number: int) -> str:
        return f"unix:{self.folder}/{number}.sock"

    def newest(self, number: int) -> float:
        """When its newest request came."""
        with (
            (self.folder / "newest").open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as times,
        ):
            (found,) = TIME.unpack_from(times, TIME.size * number)
        return float(found)


@contextmanager
def serving(folder: Path, count: int) -> Iterator[Servers]:
    program = [sys.executable, str(LOAD / "many_servers.py"), str(folder), str(count)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield Servers(folder, int(process.stdout.readline()))
        finally:
            process.kill()


@contextmanager
def asking(port: int) -> Iterator[None]:
    """Load from a process of its own; a request that fails fails the measurement."""
    program = [sys.executable, str(LOAD / "steady_clients.py"), str(port), str(CLIENTS), str(RATE)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield
            told, _ = process.communicate("\n", timeout=10)
        finally:
            process.kill()
    answered, failed = map(int, told.split())
    print(f"load: {answered} requests, {failed} failed", file=sys.stderr)
    if failed or not answered:
        raise RuntimeError(f"{failed} of {answered + failed} requests failed under a steady load")


# From nothing to two hundred nodes


def cold() -> dict[str, float]:
    """HAProxy starts, noded finds it and tells every route; after that every port is asked."""
    with running(ports=NODES, tcp=16) as haproxy, serving(haproxy.folder, 2 * NODES) as servers:
        rounds, memory = [], 0
        for _ in range(COLD_ROUNDS):
            haproxy.kill()
            took, used = asyncio.run(_cold(haproxy, servers))
            rounds.append(took)
            memory = max(memory, used)
    print(f"cold: {', '.join(f'{took * 1000:.0f}' for took in sorted(rounds))} ms", file=sys.stderr)
    return {
        "cold_200_ms": round(statistics.median(rounds) * 1000, 1),
        "cold_200_worst_ms": round(max(rounds) * 1000, 1),
        "rss_200_mb": round(memory / MB, 1),
    }


async def _cold(haproxy: RunningHaproxy, servers: Servers) -> tuple[float, int]:
    proxy = HaproxyProxy(haproxy.socket)
    routes = [_two(servers, node, haproxy.first + node) for node in range(NODES)]
    began = time.perf_counter()
    haproxy.start()
    await until(partial(_found, proxy), pause=TRAFFIC_LOST)
    async with asyncio.TaskGroup() as group:
        for route in routes:
            group.create_task(proxy.install(route))
    took = time.perf_counter() - began
    answers = [await ask_once(route.port) for route in routes]
    if answers != [(200, "ok")] * NODES:
        raise RuntimeError(f"not every node serves: {answers}")
    return took, haproxy.resident()


async def _found(proxy: HaproxyProxy) -> bool:
    try:
        await proxy.generation()
    except PortError:
        return False
    return True


def _two(servers: Servers, node: int, port: int) -> Route:
    one, other = 2 * node, 2 * node + 1
    return Route(
        f"node{node}",
        port,
        (
            Server(f"node{node}.1", servers.address(one), Place.PINNED),
            Server(f"node{node}.2", servers.address(other), Place.SPARE),
        ),
    )


# From a decision to the last request


def last_request() -> dict[str, float]:
    """Milliseconds from the call that takes a canary's share to the arrival of its last request."""
    with running() as haproxy, serving(haproxy.folder, 2) as servers:
        found = asyncio.run(_last_requests(haproxy, servers))
    centiles = statistics.quantiles(found, n=100, method="inclusive")
    return {
        "p50": round(centiles[49] * 1000, 2),
        "p99": round(centiles[98] * 1000, 2),
        "worst": round(max(found) * 1000, 2),
    }


async def _last_requests(haproxy: RunningHaproxy, servers: Servers) -> list[float]:
    await haproxy.ready()
    proxy, found = HaproxyProxy(haproxy.socket), []
    await proxy.install(_canary(servers, haproxy.first, SHARE))
    with asking(haproxy.first):
        while len(found) < TRIALS:
            await proxy.install(_canary(servers, haproxy.first, SHARE))
            begun = time.monotonic()
            await until(partial(_is_asked, servers, begun))
            await asyncio.sleep(0.05)
            decided = time.monotonic()
            await proxy.install(_canary(servers, haproxy.first, 0.0))
            await asyncio.sleep(SETTLED)
            found.append(max(0.0, servers.newest(1) - decided))
    return found


async def _is_asked(servers: Servers, since: float) -> bool:
    """Whether the canary had a request since."""
    return servers.newest(1) > since


def _canary(servers: Servers, port: int, share: float) -> Route:
    stable = Server("shop.1", servers.address(0), Place.PINNED)
    canary = Server("shop.2", servers.address(1), Place.CANARY)
    return Route("shop", port, (stable, canary), share, 14.0 if share else 0.0)


# What a request through it costs


def added() -> dict[str, float]:
    """Answer times through the proxy and beside it, in turns on two connections; CPU under a steady load."""
    with running() as haproxy, serving(haproxy.folder, 2) as servers:
        asyncio.run(_opened(haproxy, servers))
        direct, proxied = _times(servers.port, haproxy.first)
        cpu, requests = _burnt(haproxy)
    return {
        "added_p50_us": round((proxied - direct) * 1e6, 1),
        "direct_p50_us": round(direct * 1e6, 1),
        "proxied_p50_us": round(proxied * 1e6, 1),
        "proxy_cpu_us_per_request": round(cpu / requests * 1e6, 1),
    }


async def _opened(haproxy: RunningHaproxy, servers: Servers) -> None:
    await haproxy.ready()
    await HaproxyProxy(haproxy.socket).install(_canary(servers, haproxy.first, 0.1))


def _times(direct: int, proxied: int, count: int = 5000) -> tuple[float, float]:
    """Medians of both, in seconds."""
    told: tuple[list[float], list[float]] = ([], [])
    with (
        closing(socket.create_connection(("127.0.0.1", direct))) as one,
        closing(socket.create_connection(("127.0.0.1", proxied))) as other,
    ):
        for _ in range(count):
            for times, connection in zip(told, (one, other), strict=True):
                begun = time.perf_counter()
                connection.send(REQUEST)
                answer = connection.recv(65_536)
                times.append(time.perf_counter() - begun)
                if not answer.startswith(ANSWER[:12]):
                    raise RuntimeError(f"unexpected answer: {answer[:200]!r}")
    return statistics.median(told[0]), statistics.median(told[1])


def _burnt(haproxy: RunningHaproxy, seconds: float = 5.0) -> tuple[float, int]:
    """CPU seconds of the proxy, and requests, while clients ask at a steady rate."""
    before, begun = asyncio.run(_requests(haproxy)), haproxy.cpu()
    with asking(haproxy.first):
        time.sleep(seconds)
    return haproxy.cpu() - begun, asyncio.run(_requests(haproxy)) - before


async def _requests(haproxy: RunningHaproxy) -> int:
    return sum(traffic.requests for traffic in await HaproxyProxy(haproxy.socket).traffic())


if __name__ == "__main__":
    print(json.dumps({"last_request_ms": last_request(), **added(), **cold()}))
