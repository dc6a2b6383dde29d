"""Whose is a slot, and which host names lead to it?

Pure: HAProxy's map of hosts read into `Names`, commands out. The map is the only record of who has which
slot: it outlives noded, and is gone together with the servers it tells of.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from zlib import crc32

from noded.adapters.haproxy_config import NAME_SLOTS, NOBODY
from noded.adapters.haproxy_slot import NO_ENTRY, NO_KEY, Command, slot_of
from noded.model.route import Route
from noded.ports import Refused


@dataclass(frozen=True, slots=True)
class Names:
    owners: Mapping[str, str]
    """Node and port, as `owner` writes them, by slot."""
    doors: Mapping[str, str]
    """Slots by `<port>/<host>`, and `nobody` by `<port>/*`."""


def owner(route: Route) -> str:
    return f"{route.node}:{route.port}"


def read(answer: str) -> Names:
    """Read the answer to `show map`: an address in memory, the key and the value in each line."""
    entries = {}
    for line in answer.splitlines():
        words = line.split()
        if not words:
            continue
        if len(words) != 3:
            raise Refused(f"cannot read the map of hosts: unexpected line {line[:200]!r}")
        entries[words[1]] = words[2]
    doors = {key: value for key, value in entries.items() if "/" in key}
    return Names({key: value for key, value in entries.items() if "/" not in key}, doors)


def told(answer: str) -> str:
    """Read the answer to `get map` for one slot: whose it is, empty when nobody's."""
    value = re.search(r' value="([^"]*)"', answer)
    return value[1] if value else ""


def held(names: Names, route: Route) -> str:
    """The slot that the route's node has at its door; empty when none."""
    if not route.hosts:
        return slot_of(route) if names.owners.get(slot_of(route)) == owner(route) else ""
    mine = (slot for slot, who in names.owners.items() if slot.startswith("n") and who == owner(route))
    return next(mine, "")


def chosen(names: Names, route: Route) -> str:
    """A slot that nobody has, beginning where the owner's name points: the choice seldom changes."""
    start = crc32(owner(route).encode())
    slots = (f"n{(start + step) % NAME_SLOTS}" for step in range(NAME_SLOTS))
    free = next((slot for slot in slots if slot not in names.owners), "")
    if not free:
        where = f"cannot install the route of {route.node} on port {route.port}"
        raise Refused(f"{where}: {NAME_SLOTS} nodes share ports by host name already, which is the most")
    return free


def claim(path: str, slot: str, route: Route, names: Names) -> Iterator[Command]:
    if slot not in names.owners:
        yield Command(f"add map {path} {slot} {owner(route)}")
    elif names.owners[slot] != owner(route):
        yield Command(f"set map {path} {slot} {owner(route)}")


def own_port(path: str, slot: str, owned_by: str, route: Route) -> list[Command]:
    """A route without host names takes its port, and with it every name that nobody else has there.

    Each command is right whatever came between it and the question who owned the slot.
    """
    if owned_by == owner(route):
        return []
    written = Command(f"{'set' if owned_by else 'add'} map {path} {slot} {owner(route)}", ("", NO_ENTRY))
    return [written, *([] if route.tcp else [rest(path, route)])]


def open_doors(path: str, slot: str, route: Route, names: Names) -> Iterator[Command]:
    """Names lead to the slot, those it no longer has lead elsewhere, and all others of the port to nobody."""
    wanted = {f"{route.port}/{host}" for host in route.hosts}
    for key in sorted(wanted):
        if key not in names.doors:
            yield Command(f"add map {path} {key} {slot}")
        elif names.doors[key] != slot:
            yield Command(f"set map {path} {key} {slot}", ("", NO_ENTRY))
    for key, where in names.doors.items():
        if where == slot and key not in wanted:
            yield Command(f"del map {path} {key}", ("", NO_KEY))
    if f"{route.port}/*" not in names.doors and f"s{route.port}" not in names.owners:
        yield Command(f"add map {path} {route.port}/* {NOBODY}")


def close_doors(path: str, slot: str, route: Route, names: Names) -> Iterator[Command]:
    """Before a slot is emptied: nobody is led there any more."""
    there = {key for key in names.doors if key.startswith(f"{route.port}/") and key != f"{route.port}/*"}
    mine = {key for key in there if names.doors[key] == slot}
    for key in sorted(mine):
        yield Command(f"del map {path} {key}", ("", NO_KEY))
    if slot.startswith("n") and there == mine:
        yield rest(path, route)
    if slot.startswith("s") and there and f"{route.port}/*" not in names.doors:
        yield Command(f"add map {path} {route.port}/* {NOBODY}")


def release(path: str, slot: str) -> Command:
    """The slot is empty and anybody's again."""
    return Command(f"del map {path} {slot}", ("", NO_KEY))


def rest(path: str, route: Route) -> Command:
    """Unknown names no longer lead to nobody but to the slot of the port."""
    return Command(f"del map {path} {route.port}/*", ("", NO_KEY))
