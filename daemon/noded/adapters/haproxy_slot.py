"""Which commands turn a slot of HAProxy from what it is into what a route says?

Pure: text read from HAProxy and a route in, commands with their permitted answers out.

What HAProxy cannot change in a server in place (address, protocol, fuse) is part of the server's name,
`<instance>:<plain|fuse>-<hash>`. A promoted canary is therefore a second server beside the first: the
pin moves to it, and the first drains. No request is ever between the two.
"""

import hashlib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from noded.adapters.haproxy_config import FUSES, SHARE_STEPS
from noded.model.route import Place, Route, Server
from noded.ports import Refused

METHODS = ("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "POST", "PATCH")
MOST_SERVERS = 64
_INSTANCE = re.compile(r"[a-z][a-z0-9-]{0,31}\.[0-9]{1,18}")
_UNIX = re.compile(r"unix:(/[A-Za-z0-9._/+:@=-]{1,106})")
_HOST = re.compile(r"[a-z0-9][a-z0-9.-]{0,252}")
_INET = re.compile(r"([0-9.]{7,15}):([0-9]{1,5})")

_ADDED = "New server registered."
NO_KEY = "Key not found."
NO_ENTRY = "entry not found."
_NO_SLOT = "Can't find backend."

# A pinned server must be worth choosing (a canary's failed request goes there, and so does one of a
# pinned server that died while others live), and far more so than a spare, which is the last resort.
_WEIGHT = {Place.PINNED: 256, Place.SPARE: 1, Place.CANARY: 0, Place.DRAINING: 0}
_CHECK = "check inter 200ms fall 3"
# After the third error the canary stays down for a minute of good checks, longer than its lease, unless it is
# put back by `Server.raised`.
_FUSE = "rise 300 observe {layer} error-limit 3 on-error mark-down"
_MAINT, _DRAIN = 0x01, 0x08


Held = Mapping[str, tuple[int, int]]
"""Weight and administrative bits by a server's name."""


@dataclass(frozen=True, slots=True)
class Command:
    text: str
    answers: tuple[str, ...] = ("",)
    """What HAProxy may say; anything else is a refusal."""


@dataclass(frozen=True, slots=True)
class Maps:
    """Paths of the maps as HAProxy knows them."""

    numbers: str
    names: str
    hosts: str = ""
    """Empty where HAProxy runs with a configuration of before there were host names and ports for TCP: its
    leases are in whole seconds."""


@dataclass(frozen=True, slots=True)
class Present:
    """A slot as HAProxy has it."""

    servers: Held
    entries: Mapping[str, str]
    """Map entries by key; a key that is not there is missing."""
    apart: Held | None = None
    """Servers of its `apart`; None where there is no such backend: of connections, and in a configuration of
    before there were any. There the canary stands in the slot itself."""


def check(route: Route) -> None:
    """Refuse a route that could not be installed whole; `Refused` says what is wrong."""
    where = f"cannot install the route of {route.node or 'no node'} on port {route.port}"
    if not (math.isfinite(route.share) and 0 <= route.share <= 1):
        raise Refused(f"{where}: share must lie between 0 and 1, got {route.share}")
    if not (math.isfinite(route.lease) and route.lease >= 0):
        raise Refused(f"{where}: lease must be 0 or more seconds, got {route.lease}")
    if route.share > 0 and route.lease == 0:
        raise Refused(f"{where}: a share needs a lease")
    for method in route.idempotent:
        if method not in METHODS:
            raise Refused(f"{where}: idempotent may name {', '.join(METHODS)}, got {method!r}")
    if route.tcp and route.hosts:
        raise Refused(f"{where}: a TCP connection names no host, got hosts {', '.join(route.hosts)}")
    for host in route.hosts:
        if not _HOST.fullmatch(host):
            raise Refused(f"{where}: expected host names in lower case, got {host!r}")
    _check_servers(where, route.servers)


def _check_servers(where: str, servers: tuple[Server, ...]) -> None:
    if len(servers) > MOST_SERVERS:
        raise Refused(f"{where}: at most {MOST_SERVERS} servers, got {len(servers)}")
    seen: set[str] = set()
    for server in servers:
        if not _INSTANCE.fullmatch(server.instance):
            raise Refused(f"{where}: expected an instance such as catalog.7, got {server.instance!r}")
        if not _is_address(server.address):
            expected = "expected unix:/path or 127.0.0.1:port"
            raise Refused(f"{where}: {expected} as address of {server.instance}, got {server.address!r}")
        if server.instance in seen:
            raise Refused(f"{where}: {server.instance} is in it twice")
        if server.raised < 0:
            raise Refused(f"{where}: raised must be 0 or more, got {server.raised} of {server.instance}")
        seen.add(server.instance)


def _is_address(text: str) -> bool:
    if _UNIX.fullmatch(text):
        return True
    inet = _INET.fullmatch(text)
    if inet is None or not 1 <= int(inet[2]) <= 65_535:
        return False
    try:
        IPv4Address(inet[1])
    except ValueError:
        return False
    return True


def slot_of(route: Route) -> str:
    """Of a route without host names; slots of others are given out (`haproxy_names.py`)."""
    return f"{'t' if route.tcp else 's'}{route.port}"


def apart(slot: str) -> str:
    """The backend beside a slot for requests that are dealt to its canary."""
    return f"c{slot}"


def instance_of(name: str) -> str:
    return name.partition(":")[0]


def name_of(server: Server) -> str:
    """The server's name in HAProxy: two servers of one name are the same server."""
    kind = "fuse" if server.place is Place.CANARY else "plain"
    unlike = f"{kind} {server.address}{' h2' if server.h2 else ''}"
    digest = hashlib.sha256(unlike.encode()).hexdigest()
    return f"{server.instance}:{kind}-{digest[:8]}"


def cut(maps: Maps, slot: str, share: float) -> Command:
    """Lower the share; a slot that has none has none to lower."""
    return Command(f"set map {maps.numbers} {slot}.share {_steps(share)}", ("", NO_ENTRY))


def first_questions(maps: Maps, slot: str) -> list[str]:
    """What tells whether a slot was ever used: it has servers, or the entry that an install writes last."""
    return [*_backends(slot), f"get map {maps.numbers} {slot}.share"]


def _backends(slot: str) -> list[str]:
    # Connections are not read, so nothing of a canary's is sent again: one backend will do.
    beside = slot if slot.startswith("t") else apart(slot)
    return [f"show servers state {slot}", f"show servers state {beside}"]


def questions(maps: Maps, slot: str, route: Route) -> list[str]:
    """What to ask before planning; the first two ask for the servers, the others for map entries."""
    numbers = [f"{slot}.{key}" for key in ("share", "until", "pinned", "canary")]
    if not route.tcp:
        numbers += [f"{slot}.retry.{method}" for method in METHODS]
    numbers += [_raised(slot, server.instance) for server in route.servers if server.place is Place.CANARY]
    asked = _backends(slot)
    asked += [f"get map {maps.numbers} {key}" for key in numbers]
    return asked + [f"get map {maps.names} {key}" for key in _names(slot, route)]


def present(route: Route, asked: list[str], answers: list[str]) -> Present:
    """Read the answers to `questions`. A port without a slot is `Refused`."""
    if answers[0] == _NO_SLOT:
        kind = "ranges for TCP ([proxy] tcp_ports)" if route.tcp else "port ranges ([proxy] ports)"
        raise Refused(
            f"cannot install the route of {route.node or 'no node'}: port {route.port} lies outside"
            f" the proxy's {kind}; change the port or noded.toml, and restart the proxy"
        )
    entries: dict[str, str] = {}
    for question, answer in zip(asked[2:], answers[2:], strict=True):
        value = re.search(r' value="([^"]*)"', answer)
        if value:
            entries[question.rsplit(" ", 1)[1]] = value[1]
        elif "found=no" not in answer:
            raise Refused(f"cannot read the map: HAProxy answered {answer!r} to '{question}'")
    single = route.tcp or answers[1] == _NO_SLOT
    return Present(
        _servers(asked[0], answers[0]), entries, None if single else _servers(asked[1], answers[1])
    )


def plan(maps: Maps, slot: str, route: Route, there: Present, now: float) -> list[Command]:
    """Everything except deleting servers: what is not wanted drains.

    `now` is wall-clock time, as HAProxy's `date()`.
    """
    backends = _split(slot, route, there)
    commands: list[Command] = []
    for backend, wanted, held in backends:
        for name, server in wanted.items():
            commands += _serve(backend, name, server, route.tcp, held)
    commands += _raises(maps, slot, route, there)
    commands += _pins(maps, slot, route, there)
    commands += _numbers(maps, slot, route, there, now)
    for backend, wanted, held in backends:
        for name, (weight, admin) in held.items():
            if name not in wanted:
                commands += _drain(backend, name, weight, admin)
    return commands


def _split(slot: str, route: Route, there: Present) -> list[tuple[str, dict[str, Server], Held]]:
    """Each backend with the servers that are wanted and those it has, by name.

    Beside the slot stand the canary and those that take what it fails at; nobody while there is no canary.
    """
    every = {name_of(server): server for server in route.servers if server.place is not Place.DRAINING}
    if there.apart is None:
        return [(slot, every, there.servers)]
    stable = {name: server for name, server in every.items() if server.place is not Place.CANARY}
    return [
        (slot, stable, there.servers),
        (apart(slot), every if len(every) > len(stable) else {}, there.apart),
    ]


Gone = tuple[list[tuple[str, str]], list[tuple[str, str]]]
"""Backends and servers."""


def leaving(slot: str, route: Route, there: Present) -> Gone:
    """Servers to delete: of instances that are gone and, second, those replaced by another server."""
    staying = {server.instance: server.place for server in route.servers}
    gone: list[tuple[str, str]] = []
    replaced: list[tuple[str, str]] = []
    for backend, wanted, held in _split(slot, route, there):
        for name in held:
            place = staying.get(instance_of(name))
            if place is None:
                gone.append((backend, name))
            elif name not in wanted and place is not Place.DRAINING:
                replaced.append((backend, name))
    return gone, replaced


def stop(maps: Maps, backend: str, name: str) -> list[Command]:
    """The last word to a server before it is deleted."""
    commands = [Command(f"set server {backend}/{name} state maint", ("", "No such server."))]
    if ":fuse-" in name:
        forget = f"del map {maps.numbers} {_raised(backend.removeprefix('c'), instance_of(name))}"
        commands.append(Command(forget, ("", NO_KEY)))
        commands += _mended(backend, name)
    return commands


def _mended(backend: str, name: str) -> list[Command]:
    """Its errors are forgotten."""
    return [Command(f"clear table {FUSES} key {name}")] if backend.startswith("c") else []


def _serve(slot: str, name: str, server: Server, tcp: bool, held: Held) -> Iterator[Command]:
    path = f"{slot}/{name}"
    weight = _WEIGHT[server.place]
    canary = server.place is Place.CANARY
    if name not in held:
        target = server.address.replace("unix:", "unix@", 1)
        fuse = _FUSE.format(layer="layer4" if tcp else "layer7") if canary else "rise 2"
        protocol = " proto h2" if server.h2 and not tcp else ""
        yield Command(f"add server {path} {target} weight {weight} {_CHECK} {fuse}{protocol}", (_ADDED,))
    elif held[name][0] != weight:
        yield Command(f"set server {path} weight {weight}")
    if name not in held or held[name][1] & (_MAINT | _DRAIN):
        yield Command(f"enable health {path}")
        yield Command(f"set server {path} state ready")


def _raises(maps: Maps, slot: str, route: Route, there: Present) -> Iterator[Command]:
    backend = slot if there.apart is None else apart(slot)
    for server in route.servers:
        raised = _raised(slot, server.instance)
        if server.place is Place.CANARY and there.entries.get(raised, "0") != str(server.raised):
            yield Command(f"set server {backend}/{name_of(server)} health up")
            yield from _mended(backend, name_of(server))
            yield from _write(maps.numbers, raised, str(server.raised), there)


def _raised(slot: str, instance: str) -> str:
    return f"{slot}.raised.{instance}"


def _drain(slot: str, name: str, weight: int, admin: int) -> Iterator[Command]:
    if weight:
        yield Command(f"set server {slot}/{name} weight 0")
    if not admin & (_MAINT | _DRAIN):
        yield Command(f"set server {slot}/{name} state drain")


def _pins(maps: Maps, slot: str, route: Route, there: Present) -> Iterator[Command]:
    """Names before counts, and names beyond the count last: every count points at names that exist."""
    names = _names(slot, route)
    for key, name in names.items():
        yield from _write(maps.names, key, name, there)
    for kind in ("pinned", "canary"):
        key = f"{slot}.{kind}"
        count = sum(name.startswith(f"{key}.") for name in names)
        # An empty set counts as 1: HAProxy cannot choose among 0, and finds no name.
        yield from _write(maps.numbers, key, str(max(1, count)), there, without="1")
        held = int(there.entries.get(key, "1")) if f"{slot}.share" in there.entries else 0
        for extra in range(count, held):
            yield Command(f"del map {maps.names} {key}.{extra}", ("", NO_KEY))


def _numbers(maps: Maps, slot: str, route: Route, there: Present, now: float) -> Iterator[Command]:
    for method in () if route.tcp else METHODS:
        allowed = "1" if method in route.idempotent else "0"
        yield from _write(maps.numbers, f"{slot}.retry.{method}", allowed, there, without="0")
    yield from _write(maps.numbers, f"{slot}.until", str(_until(maps, route, now)), there, without="0")
    yield from _write(maps.numbers, f"{slot}.share", str(_steps(route.share)), there)


def _until(maps: Maps, route: Route, now: float) -> int:
    """Never later than the lease says: a share that nobody renews must be over by then."""
    if route.share <= 0:
        return 0
    return math.floor((now + route.lease) * 1000) if maps.hosts else math.floor(now + route.lease)


def _write(path: str, key: str, value: str, there: Present, without: str | None = None) -> Iterator[Command]:
    """`without` is what HAProxy takes the value for when there is no entry."""
    if key not in there.entries:
        if value != without:
            yield Command(f"add map {path} {key} {value}")
    elif there.entries[key] != value:
        yield Command(f"set map {path} {key} {value}")


def _names(slot: str, route: Route) -> dict[str, str]:
    """Entries of the map of names, by key."""
    found: dict[str, str] = {}
    for place in (Place.PINNED, Place.CANARY):
        chosen = [server for server in route.servers if server.place is place]
        for number, server in enumerate(chosen):
            found[f"{slot}.{place}.{number}"] = name_of(server)
    return found


def _steps(share: float) -> int:
    return round(share * SHARE_STEPS)


def _servers(question: str, answer: str) -> dict[str, tuple[int, int]]:
    """Read format 1 of `show servers state` by its header."""
    lines = answer.splitlines()
    if len(lines) < 2 or not lines[1].startswith("# "):
        raise Refused(f"cannot read the slot: HAProxy answered {answer[:200]!r} to '{question}'")
    header = lines[1][2:].split()
    rows = (dict(zip(header, line.split(), strict=False)) for line in lines[2:] if line)
    return {row["srv_name"]: (int(row["srv_uweight"]), int(row["srv_admin_state"])) for row in rows}
