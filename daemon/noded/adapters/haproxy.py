"""How is HAProxy made equal to a route, and what does it count?

Everything goes through the runtime API; HAProxy is never reloaded and holds all state itself, so
noded may die and come back, and so may HAProxy (`generation` tells, and every route is installed again).
"""

import asyncio
import csv
import re
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from noded.adapters.haproxy_config import NAMES, NUMBERS
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

GRACE = 5.0
"""Seconds a server that left the route may take to finish its requests before they are cut."""
_REPLACED_GRACE = 0.2
"""Seconds install waits for a replaced server of a staying instance; it drains on by itself."""
_POLL = 0.02
_SERVER_ROWS = "show stat -1 4 -1"
_BUSY = "Server still has connections attached to it, cannot remove it."


class HaproxyProxy:
    """`noded.ports.Proxy` on HAProxy 2.6 with the configuration of `haproxy_config`.

    Counts of one instance never fall within one life of this object and one `generation`: what a
    server had counted is kept when it is replaced by another of the same instance. After a restart
    of noded they may be lower than before; a reader takes a lower count as a new beginning.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._maps: Maps | None = None
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._newest: dict[int, Route] = {}
        self._kept: defaultdict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
        self._kept_of = ""

    async def install(self, route: Route) -> None:
        check(route)
        maps = await self._paths()
        before = self._newest.get(route.port)
        self._newest[route.port] = route
        if before is None or route.share <= before.share:
            await self._send([cut(maps, route.port, route.share)])
        async with self._locks[route.port]:
            if self._newest[route.port] is not route:
                return  # overtaken while waiting: the newer route says it all
            asked = questions(maps, route)
            there = present(route, asked, await ask(self._socket, asked))
            gone, replaced = leaving(route, there)
            commands = plan(maps, route, there, time.time())
            await self._send([*commands, *(stop(route.port, name) for name in gone)])
        await self._take_out(route, gone, GRACE, cut_off=True)
        await self._take_out(route, replaced, _REPLACED_GRACE, cut_off=False)

    async def remove(self, port: int) -> None:
        await self.install(Route(node="", port=port))

    async def traffic(self) -> Sequence[Traffic]:
        info, rows = await ask(self._socket, ["show info", _SERVER_ROWS])
        self._forget_kept_of_other(_generation(info))
        total: dict[str, Traffic] = {}
        for row in _rows(rows):
            name = instance_of(row["svname"])
            seen = total.get(name) or Traffic(name, *self._kept[name], sessions=0, up=False)
            requests, bad = _counts(row)
            total[name] = Traffic(
                instance=name,
                requests=seen.requests + requests,
                bad=seen.bad + bad,
                sessions=seen.sessions + int(row["scur"] or 0),
                up=seen.up or _is_up(row["status"]),
            )
        for name in set(self._kept) - set(total):
            del self._kept[name]
        return tuple(total.values())

    async def generation(self) -> str:
        return _generation((await ask(self._socket, ["show info"]))[0])

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

    async def _send(self, commands: Sequence[Command]) -> None:
        if not commands:
            return
        answers = await ask(self._socket, [command.text for command in commands])
        for command, answer in zip(commands, answers, strict=True):
            if answer not in command.answers:
                raise Refused(f"cannot change the proxy: HAProxy answered {answer!r} to '{command.text}'")

    async def _take_out(self, route: Route, names: list[str], grace: float, *, cut_off: bool) -> None:
        """Delete servers as they fall idle.

        After the grace what is left is cut off, or left to the next install. A newer route for the
        port takes the work over.
        """
        deadline = time.monotonic() + grace
        left = names
        while left:
            async with self._locks[route.port]:
                if self._newest[route.port] is not route:
                    return
                late = time.monotonic() > deadline
                if late and not cut_off:
                    return
                left = [name for name in left if not await self._delete(route, name, cut_off=late)]
            if left:
                await asyncio.sleep(_POLL)

    async def _delete(self, route: Route, name: str, *, cut_off: bool) -> bool:
        """True when the server is gone. Its last counts are read in the same batch."""
        path = f"{slot(route.port)}/{name}"
        commands = [_SERVER_ROWS.replace("-1", slot(route.port), 1)]
        if cut_off:
            commands.append(f"shutdown sessions server {path}")
        # HAProxy deletes only servers in maintenance; one that still works must not enter it.
        rows = {row["svname"]: row for row in _rows((await ask(self._socket, commands))[0])}
        row = rows.get(name)
        if row is None:
            return True
        if int(row["scur"] or 0) and not cut_off:
            return False
        await self._send([stop(route.port, name)])
        asked = ["show info", commands[0], f"del server {path}"]
        info, last, answer = await ask(self._socket, asked)
        if answer == _BUSY:
            return False
        if answer not in ("Server deleted.", "No such server."):
            raise Refused(f"cannot change the proxy: HAProxy answered {answer!r} to '{asked[2]}'")
        if any(server.instance == instance_of(name) for server in route.servers):
            self._forget_kept_of_other(_generation(info))
            self._keep(instance_of(name), next(r for r in _rows(last) if r["svname"] == name))
        return True

    def _keep(self, instance: str, row: dict[str, str]) -> None:
        requests, bad = _counts(row)
        before = self._kept[instance]
        self._kept[instance] = (before[0] + requests, before[1] + bad)

    def _forget_kept_of_other(self, generation: str) -> None:
        if generation != self._kept_of:
            self._kept.clear()
            self._kept_of = generation


def _generation(info: str) -> str:
    fields = dict(line.split(": ", 1) for line in info.splitlines() if ": " in line)
    try:
        return f"{fields['Pid']}@{fields['Start_time_sec']}"
    except KeyError as error:
        raise Refused(f"cannot read HAProxy's generation: no {error} in its answer {info[:200]!r}") from error


def _rows(answer: str) -> Iterator[dict[str, str]]:
    """Servers of slots in the CSV of `show stat`, by the names of its header."""
    if not answer.startswith("# pxname,svname,"):
        raise Refused(f"cannot read HAProxy's counts: unexpected answer {answer[:200]!r}")
    for row in csv.DictReader(answer[2:].splitlines()):
        if row["svname"] and ":" in row["svname"]:
            yield row


def _counts(row: dict[str, str]) -> tuple[int, int]:
    """Requests a server was given, each once, and those of them that went badly.

    A request ends at a server in exactly one way: answered (`req_tot`), failed there for good
    (`econ`, `eresp`), or sent on to another server (`wredis`). `stot` is no use: it counts a request
    redispatched after an empty answer and leaves out one redispatched after a refused connection.
    `wretr` is left out: a retry that is redispatched is in `wredis` as well, a retry that fails in
    the end is in `econ` or `eresp`, and 2.6 counts some of them twice.
    """
    failed = sum(int(row[column] or 0) for column in ("econ", "eresp", "wredis"))
    return int(row["req_tot"] or 0) + failed, int(row["hrsp_5xx"] or 0) + failed


def _is_up(status: str) -> bool:
    """A server of weight 0 shows as DRAIN while it works; "UP 1/3" is on its way down or up."""
    return status.startswith(("UP", "DRAIN", "no check"))
