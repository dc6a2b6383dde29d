"""How is the mesh put together? Settings, then what is on disk, then one group of tasks."""

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from nodeapi.service_notify import ServiceNotify
from nodeapi.v1 import mesh_pb2
from nodemesh.adapters import doors, frames, metrics, metrics_port, state_folder
from nodemesh.adapters.aside import all_kept
from nodemesh.adapters.clock import BootClock
from nodemesh.adapters.control import control_server
from nodemesh.adapters.peer_calls import PeerCalls
from nodemesh.adapters.peer_server import for_peers
from nodemesh.adapters.peer_tls import Certificates
from nodemesh.adapters.sqlite_index import SqliteIndex
from nodemesh.adapters.sqlite_log import LIMIT as LONGEST_FILE
from nodemesh.adapters.sqlite_log import SqliteLog
from nodemesh.adapters.table_file import TableFile, ToldFile, table_of
from nodemesh.config import MeshPart, Settings, read_settings
from nodemesh.ports import Refused, Unavailable
from nodemesh.runtime.broker import Broker
from nodemesh.runtime.consumer import World
from nodemesh.runtime.desk import Desk
from nodemesh.runtime.fleet import Fleet, consumers_of
from nodemesh.runtime.links import Here, Links
from nodespec.tables import ManifestError

VERSION = "0.1.0"
FILES = 8
"""At least so many make up a full log, as only whole ones can be given up."""
log = logging.getLogger("nodemesh")


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    os.umask(0o027)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        asyncio.run(_run(read_settings(options.config)))
    except ManifestError as error:
        print(f"noded-mesh: {error}", file=sys.stderr)
        return 2
    except (Refused, Unavailable) as error:
        print(f"noded-mesh: {error}", file=sys.stderr)
        return 1
    except ExceptionGroup as group:
        known, bugs = group.split((Refused, Unavailable))
        if bugs is not None or known is None:
            raise
        print(f"noded-mesh: {known.exceptions[0]}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("noded-mesh", description="Carry events between the nodes of a host.")
    parser.add_argument("--config", type=Path, default=Path("/etc/noded/noded.toml"), help="noded.toml")
    parser.add_argument("--version", action="version", version=f"noded-mesh {VERSION}")
    return parser


class Stopped(Exception):
    """Ends the group of tasks."""


async def _run(settings: Settings) -> None:
    part = settings.mesh
    state = Path(part.state)
    state_folder.take(state)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    clock = BootClock()
    # A consumer whose place is lost begins with what there is, so from the first position.
    index = await SqliteIndex.open(state / "index.db", state / "aside", 1)
    limit = min(LONGEST_FILE, part.log_limit // FILES)
    logged = await SqliteLog.open(state / "log", state / "aside", clock, limit)
    logged.begin_above(index.newest)
    broker: Broker | None = None
    try:
        table = TableFile(state / "table")
        world = World(logged, index, frames, clock)
        cursors = dict(await index.cursors())
        generation = state_folder.next_generation(state)
        limits = (part.log_limit, part.keep)
        broker = Broker(world, table.load(), cursors, generation, limits, _fleet(state / "peers"))
        name = f"{os.getpid()}.{generation}"
        kept = partial(_damaged, state / "aside")
        desk = Desk(broker, world, name, part.log_limit, (table_of, table.keep), kept)
        async with asyncio.TaskGroup() as group:
            await broker.part_from([name for name, _ in part.peers])
            peers = _peers(settings, broker, world, group)
            async with for_peers(part.peer_listen, broker, *peers, name):
                await _serve(part, broker, desk, logged, group, stopping)
            raise Stopped
    except* Stopped:
        pass
    finally:
        if broker is not None:
            with suppress(Unavailable):
                await broker.save()
        await index.close()
        await logged.close()


def _damaged(folder: Path) -> list[mesh_pb2.Damaged]:
    return [mesh_pb2.Damaged(file=str(kept.path), lost=kept.lost, why=kept.why) for kept in all_kept(folder)]


def _fleet(path: Path) -> Fleet:
    told = ToldFile(path)
    return Fleet({said.host: consumers_of(said) for said in told.load().announcements}, told.keep)


def _peers(
    settings: Settings, broker: Broker, world: World, group: asyncio.TaskGroup
) -> tuple[Certificates | None, frozenset[str]]:
    """Begins to ask other meshes. Raises Refused for certificates that cannot be used."""
    part = settings.mesh
    if part.peer_listen == "off" and not part.peers:
        return None, frozenset()
    certificates = Certificates(Path(part.tls.cert), Path(part.tls.key), Path(part.tls.ca))
    if part.peers:
        peers = [PeerCalls(name, address, certificates) for name, address in part.peers]
        here = Here(settings.host.name, world.codec, world.clock)
        broker.links = Links(here, peers, broker.table)
        group.create_task(broker.links.run())
    return certificates, frozenset(name for name, _ in part.peers)


async def _serve(
    part: MeshPart,
    broker: Broker,
    desk: Desk,
    logged: SqliteLog,
    group: asyncio.TaskGroup,
    stopping: asyncio.Event,
) -> None:
    service = ServiceNotify(os.environ)

    async def text() -> bytes:
        flows, commit = await desk.get_map(mesh_pb2.MapRequest()), broker.commit
        took, lost = tuple(commit.took), sum(each.frames for each in logged.lost)
        return metrics.text(metrics.Facts(flows, took, commit.seconds, bool(commit.waiting), lost))

    group.create_task(broker.run())
    socket = Path(part.socket)
    async with (
        metrics_port.serving(text, part.listen, BootClock()),
        doors.for_control(Path(part.control), control_server(desk), group),
        doors.for_nodes(socket, broker, group, known=broker),
    ):
        group.create_task(service.keep_alive())
        log.info("noded-mesh %s is up at %s", VERSION, socket)
        service.ready()
        await stopping.wait()
        service.stopping()
