"""Which readings are taken of the world without being asked, and how often?"""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from noded.model.inputs import (
    DiskFilled,
    DiskFreed,
    MeshFound,
    MeshLost,
    ProxyFound,
    ProxyLost,
    Reading,
    RegistryRenewed,
    Sampled,
    TrafficCounted,
)
from noded.model.instance import Phase
from noded.model.state import HostState
from noded.ports import Clock, Inbox, Mesh, PortError, Proxy, Releases, Sensors

log = logging.getLogger("noded")
TICK = 1.0
TRAFFIC = 0.5
TRAFFIC_IN_ROLLOUT = 0.2
TRAFFIC_LOST = 0.05
MESH_LOST = 0.2

View = Callable[[], HostState]


class Disk(Protocol):
    """The disk of the state folder, with a reserve that is given up first when it fills."""

    def lacking(self) -> str:
        """What there is too little of, in words; empty while there is room and the reserve is held."""
        ...


class Renewable(Protocol):
    def begun_anew(self) -> str:
        """Why everything it knew is lost, told once; empty when nothing is."""
        ...


async def sample(view: View, clock: Clock, inbox: Inbox, sensors: Sensors) -> None:
    """One batch of readings of all instances, every second."""
    while True:
        at = clock.now()
        readings = tuple(
            Reading(instance.id, node.name, vitals)
            for node in view().nodes.values()
            for instance in node.instances.values()
            if instance.process is not None
            and (vitals := sensors.read(instance.id, instance.process, at)) is not None
        )
        inbox.put(Sampled(at, readings))
        await asyncio.sleep(max(0.05, TICK - (clock.now() - at)))


async def count_traffic(view: View, clock: Clock, inbox: Inbox, proxy: Proxy) -> None:
    """Ask the proxy for its counts, and notice when it was restarted or is away."""
    generation, last = "", None
    while True:
        try:
            found = await proxy.generation()
            if found != view().proxy:
                inbox.put(ProxyFound(clock.now(), found))
                last = None
            elif generation == found and _routed(view()):
                counts = tuple(await proxy.traffic())
                # Where nothing moves, the same counts again are no news.
                if counts != last or _hurry(view()):
                    inbox.put(TrafficCounted(clock.now(), counts))
                last = counts
            generation = found
        except PortError as error:
            if view().proxy:
                inbox.put(ProxyLost(clock.now(), str(error)))
            generation = ""
        await asyncio.sleep(_pause(view()))


async def watch_mesh(view: View, clock: Clock, inbox: Inbox, mesh: Mesh) -> None:
    """Notice when the mesh comes, goes, was restarted, or holds a table that we have forgotten."""
    while True:
        try:
            held = await mesh.held()
            known = view().mesh
            if held.generation != known.generation or held.table > known.number:
                inbox.put(MeshFound(clock.now(), held.generation, held.table))
        except PortError as error:
            if view().mesh.generation:
                inbox.put(MeshLost(clock.now(), str(error)))
        # Until a mesh that comes back has its table, new instances wait at its door.
        is_missed = not view().mesh.generation and any(node.part for node in view().nodes.values())
        await asyncio.sleep(MESH_LOST if is_missed else TICK)


async def watch_disk(view: View, clock: Clock, inbox: Inbox, disk: Disk) -> None:
    """Tell when the disk of the state folder has filled up, and when it has room again."""
    while True:
        lacking, full = disk.lacking(), view().full
        if lacking and not full:
            log.error("disk full: %s; until then only keeping processes alive goes on", lacking)
            inbox.put(DiskFilled(clock.now(), lacking))
        elif full and not lacking:
            log.info("the disk of the state folder has room again")
            inbox.put(DiskFreed(clock.now()))
        await asyncio.sleep(TICK)


async def watch_registry(
    view: View, clock: Clock, inbox: Inbox, registry: Renewable, releases: Releases
) -> None:
    """Tell when the registry was damaged and has begun anew, with the releases that are on disk."""
    while True:
        why = registry.begun_anew()
        here = await releases.all() if why else ()
        if here or (why and view().nodes):
            inbox.put(RegistryRenewed(clock.now(), why, here))
        await asyncio.sleep(TICK)


def _pause(state: HostState) -> float:
    if not state.proxy:
        # A proxy that comes back knows no route and refuses every request until it is told.
        return TRAFFIC_LOST
    return TRAFFIC_IN_ROLLOUT if _hurry(state) else TRAFFIC


def _routed(state: HostState) -> bool:
    return any(node.route is not None for node in state.nodes.values())


def _hurry(state: HostState) -> bool:
    """While shares move or requests drain, every count is waited for."""
    return any(
        node.rolling_out or any(i.phase is Phase.DRAINING for i in node.instances.values())
        for node in state.nodes.values()
    )
