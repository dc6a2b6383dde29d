"""How is HAProxy made equal to a route, and what does it count?

Everything goes through the runtime API; HAProxy is never reloaded and holds all state itself, so
noded may die and come back, and so may HAProxy (`generation` tells, and every route is installed again).
"""

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePath

from noded.adapters.haproxy_config import NAMES, NUMBERS
from noded.adapters.haproxy_counts import counts, generation, is_up, rows
from noded.adapters.haproxy_slot import (
    Command,
    Maps,
    check,
    cut,
    instance_of,
    leaving,
    plan,
    present,
    questions,
    slot,
    stop,
)
from noded.adapters.haproxy_socket import ask
from noded.model.route import Route, Traffic
from noded.ports import Refused

_REPLACED_GRACE = 0.2
"""Seconds install waits for a replaced server of a staying instance; it drains on by itself."""
_CUT_OFF = 1.0
"""Seconds HAProxy gets to end sessions that were cut off; what is left is left to the next install."""
_POLL = 0.02
_COUNTS = "show stat"
_BUSY = "Server still has connections attached to it, cannot remove it."


class HaproxyProxy:
    """`noded.ports.Proxy` on HAProxy 2.6 with the configuration of `haproxy_config`.

    Counts of one instance never fall within one life of this object and one `generation`: what a
    server had counted is kept when it is replaced by another of the same instance. After a restart
    of noded they may be lower than before; a reader takes a lower count as a new beginning.
    """

    def __init__(self, socket: Path, grace: float = 5.0) -> None:
        """`grace`: seconds a server that left its route may take to finish before it is cut off."""
        self._socket = socket
        self._grace = grace
        self._maps: Maps | None = None
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._newest: dict[int, Route] = {}
        self._kept: defaultdict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
        self._kept_of = ""
        self._counting = asyncio.Lock()
        """Held while a server's counts move from HAProxy to `_kept`: nobody reads them twice."""

    async def install(self, route: Route) -> None:
        check(route)
        maps = await self._paths()
        before = self._newest.get(route.port)
        self._newest[route.port] = route
        rises = before is not None and route.share > before.share
        first = [] if rises else [cut(maps, route.port, route.share)]
        lock = self._locks[route.port]
        if lock.locked():
            await self._send(first)
        async with lock:
            if self._newest[route.port] is not route:
                return  # overtaken while waiting: the newer route says it all
            asked = questions(maps, route)
            there = present(route, asked, await self._send(first, asked))
            gone, replaced = leaving(route, there)
            commands = plan(maps, route, there, time.time())
            await self._send(commands)
        await self._take_out(route, gone, self._grace, cut_off=True)
        await self._take_out(route, replaced, _REPLACED_GRACE, cut_off=False)

    async def remove(self, port: int) -> None:
        await self.install(Route(node="", port=port))

    async def traffic(self) -> Sequence[Traffic]:
        async with self._counting:
            info, answer = await ask(self._socket, ["show info", f"{_COUNTS} -1 4 -1"])
            self._forget_kept_of_other(generation(info))
            return self._summed(answer)

    def _summed(self, answer: str) -> tuple[Traffic, ...]:
        total: dict[str, Traffic] = {}
        for row in rows(answer):
            name = instance_of(row["svname"])
            seen = total.get(name) or Traffic(name, *self._kept[name], sessions=0, up=False)
            requests, bad = counts(row)
            total[name] = Traffic(
                instance=name,
                requests=seen.requests + requests,
                bad=seen.bad + bad,
                sessions=seen.sessions + int(row["scur"] or 0),
                up=seen.up or is_up(row["status"]),
            )
        for name in set(self._kept) - set(total):
            del self._kept[name]
        return tuple(total.values())

    async def generation(self) -> str:
        return generation((await ask(self._socket, ["show info"]))[0])

    async def _paths(self) -> Maps:
        """The maps' paths are part of HAProxy's configuration; HAProxy is asked for them once."""
        if self._maps is None:
            answer = (await ask(self._socket, ["show map"]))[0]
            found = {PurePath(path).name: path for path in re.findall(r"(?m)^\d+ \(([^)]+)\)", answer)}
            if NUMBERS not in found or NAMES not in found:
                raise Refused(
                    f"cannot use HAProxy at {self._socket}: it has no maps {NUMBERS} and {NAMES};"
                    " start it with the configuration noded writes"
                )
            self._maps = Maps(found[NUMBERS], found[NAMES])
        return self._maps

    async def _send(self, commands: Sequence[Command], asked: Sequence[str] = ()) -> list[str]:
        """Run the commands, then ask: the answers to what was asked. Unexpected answers are `Refused`."""
        texts = [*(command.text for command in commands), *asked]
        answers = await ask(self._socket, texts) if texts else []
        for command, answer in zip(commands, answers, strict=False):
            if answer not in command.answers:
                raise Refused(f"cannot change the proxy: HAProxy answered {answer!r} to '{command.text}'")
        return answers[len(commands) :]

    async def _take_out(self, route: Route, names: list[str], grace: float, *, cut_off: bool) -> None:
        """Delete servers as they fall idle.

        After the grace what is left is cut off, or left to the next install. A newer route for the
        port takes the work over.
        """
        deadline = time.monotonic() + grace
        left = names
        while left:
            async with self._locks[route.port]:
                late = time.monotonic() - deadline
                if self._newest[route.port] is not route or late > (_CUT_OFF if cut_off else 0):
                    return
                left = [name for name in left if not await self._delete(route, name, cut_off=late > 0)]
            if left:
                await asyncio.sleep(_POLL)

    async def _delete(self, route: Route, name: str, *, cut_off: bool) -> bool:
        """True when the server is gone. HAProxy deletes only idle servers in maintenance."""
        path = f"{slot(route.port)}/{name}"
        count = f"{_COUNTS} {slot(route.port)} 4 -1"
        if cut_off:
            await self._send([Command(f"shutdown sessions server {path}", ("", "No such server."))])
        found = {row["svname"]: row for row in rows((await self._send([], [count]))[0])}
        if name not in found:
            return True
        if int(found[name]["scur"] or 0):
            return False
        async with self._counting:
            asked = ["show info", count, f"del server {path}"]
            info, last, answer = await self._send([stop(route.port, name)], asked)
            if answer == _BUSY:
                return False
            if answer == "No such server.":
                return True
            if answer != "Server deleted.":
                raise Refused(f"cannot change the proxy: HAProxy answered {answer!r} to '{asked[2]}'")
            self._forget_kept_of_other(generation(info))
            if any(server.instance == instance_of(name) for server in route.servers):
                self._keep(instance_of(name), next(row for row in rows(last) if row["svname"] == name))
        return True

    def _keep(self, instance: str, row: dict[str, str]) -> None:
        requests, bad = counts(row)
        before = self._kept[instance]
        self._kept[instance] = (before[0] + requests, before[1] + bad)

    def _forget_kept_of_other(self, generation: str) -> None:
        if generation != self._kept_of:
            self._kept.clear()
            self._kept_of = generation
