"""Is everything there that this host needs, and what is to be done about what is not?"""

import asyncio
import grp
import os
import platform
import pwd
import re
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nodeapi.v1 import control_pb2 as pb
from nodeapi.v1 import mesh_pb2
from noded.adapters.control_desk import Desk
from noded.adapters.haproxy_socket import ask
from noded.adapters.pressure import PSI, pressure
from noded.ports import PortError

OK, WARNING, FAILED = "ok", "warning", "failed"
LONGEST = 5.0
"""Seconds for one check; what hangs is told and hinders no other."""
KERNEL, LEAST_KERNEL = (5, 6), (5, 3)
"""With pidfd_getfd(2), by which held sockets are found again; with pidfd_open(2), by which ends are seen."""
LITTLE, LEAST = 512 * 1024 * 1024, 64 * 1024 * 1024
"""Bytes free on a disk."""
FILES = 4096
DRIFT = 2.0
"""Seconds the wall clock may have been set since noded started."""
LISTENING = "0A"
"""Of /proc/net/tcp, Documentation/networking/proc_net_tcp.rst."""


@dataclass(frozen=True, slots=True)
class Found:
    name: str
    result: str
    found: str
    advice: str = ""


def _judged(name: str, wrong: str, good: str, advice: str, result: str = WARNING) -> Found:
    return Found(name, result, wrong, advice) if wrong else Found(name, OK, good)


async def checked(desk: Desk, longest: float = LONGEST) -> list[pb.Check]:
    found = [await _within(name, _asked(ask_for, desk), longest) for name, ask_for in ASKED.items()]
    for name, look in LOOKS.items():
        found.append(await _within(name, asyncio.to_thread(_looked, look, desk), longest))
    return [
        pb.Check(name=each.name, result=each.result, found=each.found, advice=each.advice)
        for group in found
        for each in group
    ]


async def _asked(ask_for: "Callable[[Desk], Awaitable[Found]]", desk: Desk) -> list[Found]:
    return [await ask_for(desk)]


def _looked(look: "Callable[[Desk], Iterator[Found]]", desk: Desk) -> list[Found]:
    return list(look(desk))


async def _within(name: str, work: Awaitable[list[Found]], longest: float) -> list[Found]:
    try:
        async with asyncio.timeout(longest):
            return await work
    except TimeoutError:
        return [Found(name, FAILED, f"no answer within {longest:g} s", "look at the load of the host")]
    except (PortError, OSError) as error:
        return [Found(name, FAILED, str(error), "look at what it names; noded's log: journalctl -u noded")]


async def _launcher(desk: Desk) -> Found:
    try:
        hello = await desk.hello()
    except PortError as error:
        advice = "systemctl start noded-launcher; its log: journalctl -u noded-launcher"
        return Found("launcher", FAILED, str(error), advice)
    return Found("launcher", OK, f"answers, wire version {hello.get('version', 'unknown')}")


async def _proxy(desk: Desk) -> Found:
    try:
        (answer,) = await ask(Path(desk.settings.proxy.socket), ["show info"])
    except PortError as error:
        advice = "systemctl start noded-proxy; its log: journalctl -u noded-proxy"
        return Found("proxy", FAILED, str(error), advice)
    version = re.search(r"^Version: *(\S+)", answer, re.MULTILINE)
    return Found("proxy", OK, f"HAProxy {version[1] if version else 'of unknown version'} answers")


async def _mesh(desk: Desk) -> Found:
    """It is missed only where a node has events."""
    state = desk.view()
    speaking = next((node.name for node in state.nodes.values() if node.part is not None), "")
    try:
        held = await desk.mesh.held()
    except PortError as error:
        if not speaking:
            return Found("mesh", OK, "not there, and no node has events")
        return Found("mesh", FAILED, f"{error}; {speaking} has events", "systemctl start noded-mesh")
    if state.mesh.problem:
        advice = "its log: journalctl -u noded-mesh"
        return Found("mesh", FAILED, f"did not take table {state.mesh.number}: {state.mesh.problem}", advice)
    answers = f"noded-mesh answers and holds table {held.table}"
    damaged = await desk.mesh.damaged()
    return _damaged(answers, damaged) if damaged else Found("mesh", OK, answers)


def _damaged(answers: str, files: Sequence[mesh_pb2.Damaged]) -> Found:
    lost, folder = sum(file.lost for file in files), Path(files[0].file).parent
    many = f"{len(files)} damaged files are" if len(files) > 1 else "1 damaged file is"
    gone = f"{lost} frames of events are lost, or more" if lost else "no frame of events is known to be lost"
    each = [f"{Path(file.file).name}: {file.lost} frames lost: {file.why}" for file in files]
    text = "\n".join([f"{answers}; {many} kept in {folder}: {gone}", *each])
    todo = f"have what is lost published again: the .why files name the positions; then: rm {folder}/*"
    return Found("mesh", WARNING, text, f"check the disk; {todo}")


def _kernel(desk: Desk) -> Iterator[Found]:
    release = platform.release()
    numbers = tuple(int(part) for part in re.findall(r"\d+", release)[:2])
    if numbers < LEAST_KERNEL:
        yield Found("kernel", FAILED, release, "Linux 5.3 is the least: ends of processes are not seen")
    else:
        wrong = "" if numbers >= KERNEL else f"{release}: sockets held for nodes do not outlive the launcher"
        yield _judged("kernel", wrong, release, "Linux 5.6 or newer")
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as error:
        advice = "something forbids pidfd_open(2): a seccomp filter of the unit or the container"
        yield Found("pidfd", FAILED, str(error.strerror), advice)
    else:
        yield Found("pidfd", OK, "ends of processes are seen at once")


def _cgroups(desk: Desk) -> Iterator[Found]:
    facts = desk.facts()
    wrong = "" if facts.cgroups == "v2" else f"{facts.cgroups or 'none'}, not v2: limits are weaker"
    advice = "boot with systemd.unified_cgroup_hierarchy=1, and run the launcher as root"
    yield _judged("cgroups", wrong, "v2", advice)
    for note in facts.degraded:
        yield Found("degraded", WARNING, note, "run the launcher as root, with what this names, or accept it")
    for alarm in facts.alarms:
        yield Found("alarm", FAILED, alarm, "see to what it names; it ends by itself then")


def _pressure(desk: Desk) -> Iterator[Found]:
    told = pressure()
    wrong = f"the kernel does not tell ({PSI})" if min(told.cpu, told.memory, told.io) < 0 else ""
    good = f"cpu {told.cpu:.0%}, memory {told.memory:.0%}, io {told.io:.0%} of the last 10 s"
    yield _judged("pressure", wrong, good, "boot with psi=1: else a starved host is only guessed at")


def _disks(desk: Desk) -> Iterator[Found]:
    for name, place in (("state disk", desk.settings.paths.state), ("logs disk", desk.settings.paths.logs)):
        usage = shutil.disk_usage(place)
        text = f"{usage.free / 2**30:.1f} GiB of {usage.total / 2**30:.1f} GiB free at {place}"
        result = FAILED if usage.free < LEAST else WARNING if usage.free < LITTLE else OK
        yield Found(name, result, text, "" if result == OK else "make room: nodectl releases; logs")


def _clock(desk: Desk) -> Iterator[Found]:
    drift = time.time() - desk.clock.now()
    wrong = f"set by {drift:+.1f} s since noded started" if abs(drift) > DRIFT else ""
    advice = "times that noded tells are off by that: systemctl restart noded, nodes go on"
    yield _judged("clock", wrong, "as it was when noded started", advice)


def _limits(desk: Desk) -> Iterator[Found]:
    # Read, not asked for: the call that tells limits can also set them, and units forbid it.
    text = Path("/proc/self/limits").read_text()
    told = re.search(r"^Max open files +(\S+)", text, re.MULTILINE)
    soft = told[1] if told else "unknown"
    wrong = f"at most {soft} open files" if soft.isdecimal() and int(soft) < FILES else ""
    yield _judged("limits", wrong, f"{soft} open files", f"LimitNOFILE={FILES} or more for noded's unit")


def _sandbox(desk: Desk) -> Iterator[Found]:
    path = dict(desk.settings.regenerate.env).get("PATH")
    found = shutil.which("bwrap", path=path)
    advice = "apt-get install bubblewrap: tests of nodes and new code run without a sandbox else"
    yield _judged("sandbox", "" if found else f"no bwrap in {path}", str(found), advice)


def _roles(desk: Desk) -> Iterator[Found]:
    members = desk.roles.members()
    for role in ("viewer", "operator", "admin"):
        for entry in getattr(members, role):
            kind, _, name = entry.partition(":")
            if kind not in ("user", "group"):
                continue
            there = _exists(pwd.getpwnam if kind == "user" else grp.getgrnam, name)
            wrong = "" if there else f"{role}: {kind} {name} does not exist"
            advice = f"add{kind} --system {name}, or change [roles] in {desk.policy}"
            yield _judged("roles", wrong, f"{role}: {kind} {name}", advice)


def _exists(lookup: Callable[[str], object], name: str) -> bool:
    try:
        lookup(name)
    except KeyError:
        return False
    return True


def _ports(desk: Desk) -> Iterator[Found]:
    bound = set(_listening())
    proxy = desk.settings.proxy
    ranges = (*proxy.ports, *proxy.tcp_ports)
    wanted = [port for first, last in ranges for port in range(first, last + 1)]
    missing = [port for port in wanted if port not in bound]
    wrong = f"nobody listens on {_some(missing)}" if missing else ""
    good = f"all {len(wanted)} of the proxy are bound"
    yield _judged(
        "ports", wrong, good, "restart the proxy: it binds all ports of [proxy] when it starts", FAILED
    )
    first, last = desk.settings.nodes.ports
    mine = {_port(i.address) for node in desk.view().nodes.values() for i in node.instances.values()}
    taken = sorted(port for port in bound - mine if first <= port <= last)
    wrong = f"others listen on {_some(taken)} of {first}-{last}" if taken else ""
    yield _judged("instance ports", wrong, f"{first}-{last} are free", "move them, or [nodes] ports")
    yield _outgoing(desk)


def _outgoing(desk: Desk) -> Found:
    """An outgoing connection may have taken the port of a node that is about to start."""
    folder = Path("/proc/sys/net/ipv4")
    low, high = map(int, (folder / "ip_local_port_range").read_text().split())
    kept = re.findall(r"(\d+)(?:-(\d+))?", (folder / "ip_local_reserved_ports").read_text())
    reserved = [(int(one), int(other or one)) for one, other in kept]
    nodes, proxy = desk.settings.nodes, desk.settings.proxy
    open_to_all = [
        f"{first}-{last}"
        for first, last in (nodes.ports, *nodes.sockets, *proxy.ports, *proxy.tcp_ports)
        if low <= last and first <= high and not any(a <= first and last <= b for a, b in reserved)
    ]
    text = ",".join(open_to_all)
    wrong = f"outgoing connections use {low}-{high}, which shares ports with {text}" if text else ""
    advice = f"sysctl -w net.ipv4.ip_local_reserved_ports={text}"
    return _judged("outgoing ports", wrong, f"{low}-{high}, apart from those of nodes", advice)


def _listening() -> Iterator[int]:
    for name in ("tcp", "tcp6"):
        path = Path("/proc/net") / name
        for line in path.read_text().splitlines()[1:] if path.exists() else ():
            _, local, _, state, *_ = line.split()
            if state == LISTENING:
                yield int(local.rpartition(":")[2], 16)


def _port(address: str) -> int:
    text = address.rpartition(":")[2]
    return int(text) if text.isdecimal() else 0


def _some(ports: list[int]) -> str:
    return ", ".join(map(str, ports[:5])) + (f" and {len(ports) - 5} more" if len(ports) > 5 else "")


ASKED: "dict[str, Callable[[Desk], Awaitable[Found]]]" = {
    "launcher": _launcher,
    "proxy": _proxy,
    "mesh": _mesh,
}
LOOKS: "dict[str, Callable[[Desk], Iterator[Found]]]" = {
    "kernel": _kernel,
    "cgroups": _cgroups,
    "pressure": _pressure,
    "disks": _disks,
    "clock": _clock,
    "limits": _limits,
    "sandbox": _sandbox,
    "roles": _roles,
    "ports": _ports,
}
