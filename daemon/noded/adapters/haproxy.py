"""How is HAProxy made equal to a route, and what does it count?

Everything goes through the runtime API; HAProxy is never reloaded and holds all state itself, so
noded may die and come back, and so may HAProxy (`generation` tells, and every route is installed again).
"""

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path, PurePath

from noded.adapters import haproxy_names as names
from noded.adapters.haproxy_config import FUSE, FUSES, HOSTS, NAMES, NUMBERS
from noded.adapters.haproxy_counts import blown, counts, generation, is_second, is_up, rows
from noded.adapters.haproxy_slot import (
    Command,
    Maps,
    Present,
    check,
    cut,
    first_questions,
    instance_of,
    leaving,
    plan,
    present,
    questions,
    slot_of,
    stop,
)
from noded.adapters.haproxy_socket import Line, ask
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
        self._line = Line(socket)
        self._grace = grace
        self._found = ""
        self._maps: Maps | None = None
        self._looking = asyncio.Lock()
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._newest: dict[str, Route] = {}
        """What was last asked for, by `_door`."""
        self._slots: dict[str, str] = {}
        """Slots as they were last found, by `_door`; who needs one looks whose it is."""
        self._naming = asyncio.Lock()
        """Held while a slot or a host name changes hands."""
        self._kept: defaultdict[str, tuple[int, int, int]] = defaultdict(lambda: (0, 0, 0))
        self._kept_of = ""
        self._counting = asyncio.Lock()
        """Held while a server's counts move from HAProxy to `_kept`: nobody reads them twice."""

    async def install(self, route: Route) -> None:
        check(route)
        maps = await self._paths()
        door = _door(route)
        before = self._newest.get(door)
        self._newest[door] = route
        if before is not None and route.share < before.share and door in self._slots:
            await self._cut(maps, self._slots[door], route.share)
        async with self._locks[door]:
            if self._newest[door] is not route:
                return  # overtaken while waiting: the newer route says it all
            slot = await self._slot(maps, route)
            rises = before is not None and route.share > before.share
            there, claims = await self._present(maps, slot, route, lowered=not rises)
            self._slots[door] = slot
            gone, replaced = leaving(slot, route, there)
            await self._send([*claims, *plan(maps, slot, route, there, time.time())])
            if route.hosts:
                await self._open(maps, slot, route)
        await self._take_out(maps, route, gone, self._grace, cut_off=True)
        await self._take_out(maps, route, replaced, _REPLACED_GRACE, cut_off=False)

    async def remove(self, route: Route) -> None:
        check(route)
        maps = await self._paths()
        door = _door(route)
        if door in self._newest and self._newest[door].node != route.node:
            return
        empty = Route(route.node, route.port, hosts=route.hosts, tcp=route.tcp)
        self._newest[door] = empty
        async with self._locks[door]:
            slot = await self._close(maps, empty)
            if not slot or self._newest[door] is not empty:
                return
            there, _ = await self._present(maps, slot, empty, lowered=True)
            await self._send(plan(maps, slot, empty, there, time.time()))
        gone, _ = leaving(slot, empty, there)
        if await self._take_out(maps, empty, gone, self._grace, cut_off=True):
            await self._release(maps, slot, empty)

    async def _cut(self, maps: Maps, slot: str, share: float) -> None:
        """On a connection of its own, before anything else: nobody's batch is waited for."""
        command = cut(maps, slot, share)
        (answer,) = await self._line.urgent([command.text])
        _expected(command, answer)

    async def _slot(self, maps: Maps, route: Route) -> str:
        """The slot of the route's door; one with host names is given the first free one and keeps it."""
        if not route.hosts:
            return slot_of(route)
        if not maps.hosts:
            raise Refused(
                f"cannot install the route of {route.node} on port {route.port}: HAProxy runs with an older"
                " configuration, without host names; restart the proxy"
            )
        async with self._naming:
            known = names.read((await self._send([], [f"show map {maps.hosts}"]))[0])
            slot = names.held(known, route)
            if not slot:
                slot = names.chosen(known, route)
                await self._send(list(names.claim(maps.hosts, slot, route, known)))
            return slot

    async def _present(
        self, maps: Maps, slot: str, route: Route, *, lowered: bool
    ) -> tuple[Present, list[Command]]:
        """What the slot has, and what makes its port the route's; a slot never used is asked little.

        A share that does not rise is written at once, so that it falls even when the rest fails.
        """
        first = [cut(maps, slot, route.share)] if lowered else []
        owned = maps.hosts and not route.hosts
        whose = [f"get map {maps.hosts} {slot}"] if owned else []
        whole = self._slots.get(_door(route)) == slot
        asked = questions(maps, slot, route) if whole else first_questions(maps, slot)
        answers = await self._send(first, [*whose, *asked])
        claims = names.own_port(maps.hosts, slot, names.told(answers.pop(0)), route) if owned else []
        there = present(route, asked, answers)
        if not whole and (there.servers or there.apart or there.entries):
            asked = questions(maps, slot, route)
            there = present(route, asked, await self._send([], asked))
        return there, claims

    async def _open(self, maps: Maps, slot: str, route: Route) -> None:
        """Lead the host names to the slot, once it has its servers."""
        async with self._naming:
            known = names.read((await self._send([], [f"show map {maps.hosts}"]))[0])
            commands = list(names.open_doors(maps.hosts, slot, route, known))
            if commands:
                (own,) = await self._send(commands, [f"get map {maps.hosts} s{route.port}"])
                await self._send([names.rest(maps.hosts, route)] if names.told(own) else [])

    async def _close(self, maps: Maps, route: Route) -> str:
        """Lead nobody to the node's slot any more; empty when it has none."""
        if not maps.hosts:
            return "" if route.hosts or route.tcp else slot_of(route)
        async with self._naming:
            known = names.read((await self._send([], [f"show map {maps.hosts}"]))[0])
            slot = names.held(known, route)
            if slot:
                freed = [] if route.hosts else [names.release(maps.hosts, slot)]
                await self._send([*names.close_doors(maps.hosts, slot, route, known), *freed])
        return slot

    async def _release(self, maps: Maps, slot: str, route: Route) -> None:
        """Give a slot for host names back, now that it is empty."""
        async with self._locks[_door(route)]:
            if route.hosts and self._newest[_door(route)] is route:
                await self._send([names.release(maps.hosts, slot)])
                self._slots.pop(_door(route), None)

    async def traffic(self) -> Sequence[Traffic]:
        async with self._counting:
            asked = ["show info", f"{_COUNTS} -1 4 -1", f"show table {FUSES} data.gpt0 ge {FUSE}"]
            info, answer, table = await ask(self._socket, asked)
            self._forget_kept_of_other(generation(info))
            return self._summed(answer, blown(table))

    def _summed(self, answer: str, blown: Collection[str]) -> tuple[Traffic, ...]:
        total: dict[str, Traffic] = {}
        for row in rows(answer):
            name = instance_of(row["svname"])
            seen = total.get(name) or self._before(name)
            requests, bad, moved = counts(row)
            again, again_bad = (requests, bad) if is_second(row) else (0, 0)
            total[name] = Traffic(
                instance=name,
                requests=seen.requests + requests,
                bad=seen.bad + bad,
                sessions=seen.sessions + int(row["scur"] or 0),
                up=seen.up or (is_up(row["status"]) and row["svname"] not in blown),
                moved=seen.moved + moved,
                again=seen.again + again,
                again_bad=seen.again_bad + again_bad,
            )
        for name in set(self._kept) - set(total):
            del self._kept[name]
        return tuple(total.values())

    def _before(self, instance: str) -> Traffic:
        requests, bad, moved = self._kept[instance]
        return Traffic(instance, requests, bad, sessions=0, up=False, moved=moved)

    async def generation(self) -> str:
        found = generation((await ask(self._socket, ["show info"]))[0])
        if found != self._found:
            # Another HAProxy has no slots of ours, and may have another configuration.
            self._found, self._maps = found, None
            self._slots.clear()
        return found

    async def _paths(self) -> Maps:
        """The maps' paths are part of HAProxy's configuration; HAProxy is asked for them once."""
        async with self._looking:
            if self._maps is None:
                self._maps = self._read_paths((await self._line.ask(["show map"]))[0])
            return self._maps

    def _read_paths(self, answer: str) -> Maps:
        found = {PurePath(path).name: path for path in re.findall(r"(?m)^\d+ \(([^)]+)\)", answer)}
        if NUMBERS not in found or NAMES not in found:
            raise Refused(
                f"cannot use HAProxy at {self._socket}: it has no maps {NUMBERS} and {NAMES};"
                " start it with the configuration noded writes"
            )
        return Maps(found[NUMBERS], found[NAMES], found.get(HOSTS, ""))

    async def _send(self, commands: Sequence[Command], asked: Sequence[str] = ()) -> list[str]:
        """Run the commands, then ask: the answers to what was asked. Unexpected answers are `Refused`."""
        texts = [*(command.text for command in commands), *asked]
        answers = await self._line.ask(texts) if texts else []
        for command, answer in zip(commands, answers, strict=False):
            _expected(command, answer)
        return answers[len(commands) :]

    async def _take_out(
        self, maps: Maps, route: Route, servers: list[tuple[str, str]], grace: float, *, cut_off: bool
    ) -> bool:
        """Delete servers of backends as they fall idle; true when all are gone.

        After the grace what is left is cut off, or left to the next install. A newer route for the
        door takes the work over.
        """
        deadline = time.monotonic() + grace
        left = servers
        while left:
            async with self._locks[_door(route)]:
                late = time.monotonic() - deadline
                if self._newest[_door(route)] is not route or late > (_CUT_OFF if cut_off else 0):
                    return False
                left = [
                    (backend, name)
                    for backend, name in left
                    if not await self._delete(maps, backend, route, name, cut_off=late > 0)
                ]
            if left:
                await asyncio.sleep(_POLL)
        return True

    async def _delete(self, maps: Maps, slot: str, route: Route, name: str, *, cut_off: bool) -> bool:
        """True when the server is gone. HAProxy deletes only idle servers in maintenance."""
        path = f"{slot}/{name}"
        count = f"{_COUNTS} {slot} 4 -1"
        if cut_off:
            await self._send([Command(f"shutdown sessions server {path}", ("", "No such server."))])
        found = {row["svname"]: row for row in rows((await self._send([], [count]))[0])}
        if name not in found:
            return True
        if int(found[name]["scur"] or 0):
            return False
        async with self._counting:
            asked = ["show info", count, f"del server {path}"]
            info, last, answer = await self._send(stop(maps, slot, name), asked)
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
        requests, bad, moved = counts(row)
        before = self._kept[instance]
        self._kept[instance] = (before[0] + requests, before[1] + bad, before[2] + moved)

    def _forget_kept_of_other(self, generation: str) -> None:
        if generation != self._kept_of:
            self._kept.clear()
            self._kept_of = generation


def _door(route: Route) -> str:
    """What its servers stand behind, as far as it can be told without HAProxy."""
    return names.owner(route) if route.hosts else slot_of(route)


def _expected(command: Command, answer: str) -> None:
    if answer not in command.answers:
        raise Refused(f"cannot change the proxy: HAProxy answered {answer!r} to '{command.text}'")
