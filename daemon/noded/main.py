"""How is noded put together? Settings, then adapters, then one group of tasks, drawn by its indentation."""

import argparse
import asyncio
import gc
import hashlib
import logging
import os
import resource
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from nodeapi.service_notify import ServiceNotify
from noded.adapters import haproxy_config, peercred, policy_file, prometheus, state_lock
from noded.adapters.answers import PendingAnswers
from noded.adapters.aside import put_aside
from noded.adapters.boot_clock import BootClock
from noded.adapters.control_desk import Desk
from noded.adapters.control_server import control_server
from noded.adapters.control_status import Facts
from noded.adapters.haproxy import HaproxyProxy
from noded.adapters.http_probes import HttpProbes
from noded.adapters.launcher_socket import LauncherSocket
from noded.adapters.log_files import LogFiles
from noded.adapters.masking import masked
from noded.adapters.mesh import GrpcMesh
from noded.adapters.node_logs import NodeLogs
from noded.adapters.node_socket import NodeSockets
from noded.adapters.own_histogram import OwnHistograms
from noded.adapters.policy_file import PolicyFile
from noded.adapters.pressure import pressure
from noded.adapters.proc_sensors import ProcSensors, host_memory
from noded.adapters.processes import LauncherProcesses
from noded.adapters.roles import Roles
from noded.adapters.storage import Storage, opened
from noded.adapters.trials import LauncherTrials
from noded.adapters.workshop import Bench, LauncherWorkshop
from noded.config import Settings, folders, read_settings
from noded.launch import Launch, launch_of
from noded.model.inputs import Booted, Observed
from noded.model.instance import Instance
from noded.model.state import Host
from noded.ports import Clock, PortError, Unavailable
from noded.runtime import leftovers, monitors, readiness
from noded.runtime.alarms import Alarms
from noded.runtime.inbox import Inbox
from noded.runtime.journal import Journal
from noded.runtime.known import by_what_runs, on_record
from noded.runtime.lanes import Lanes
from noded.runtime.liveness import Liveness
from noded.runtime.log_sizes import LogSizes
from noded.runtime.memory import Memory, remembered
from noded.runtime.perform import Perform, World
from noded.runtime.questions import Questions
from noded.runtime.reactor import Reactor
from noded.runtime.signals import Signals
from nodespec.tables import ManifestError

VERSION = "0.1.0"
LAUNCHER_WAIT = 0.5

log = logging.getLogger("noded")


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    # What noded writes is its own and its group's: settings and logs of one node are no other node's to read.
    os.umask(0o027)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        settings = read_settings(options.config)
        if options.proxy_config:
            return _write_proxy_config(settings)
        _make_room_for_many()
        asyncio.run(_run(settings, PolicyFile(options.config.with_name("policy.toml"))))
    except ManifestError as error:
        print(f"noded: {error}", file=sys.stderr)
        return 2
    except PortError as error:
        print(f"noded: {error}", file=sys.stderr)
        return 1
    except ExceptionGroup as group:
        known, bugs = group.split(PortError)
        if bugs is not None or known is None:
            raise
        print(f"noded: {known.exceptions[0]}", file=sys.stderr)
        return 1
    return 0


def _make_room_for_many() -> None:
    """Each instance takes five descriptors; and what is kept of it has no cycles: to look for some many times
    a second is a third more work."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "noded", description="Supervise, heal and roll out the nodes of one host."
    )
    parser.add_argument("--config", type=Path, default=Path("/etc/noded/noded.toml"), help="noded.toml")
    parser.add_argument(
        "--proxy-config", action="store_true", help="print haproxy.cfg for this host, write its maps, and end"
    )
    parser.add_argument("--version", action="version", version=f"noded {VERSION}")
    return parser


def _write_proxy_config(settings: Settings) -> int:
    part = settings.proxy
    maps = Path(part.maps)
    haproxy_config.write_maps(maps)
    text = haproxy_config.config(
        Path(part.socket), part.ports, part.bind.strip("*"), maps, tcp_ports=part.tcp_ports
    )
    sys.stdout.write(text)
    return 0


class Stopped(Exception):
    """Ends the group of tasks."""


async def _run(settings: Settings, policy: PolicyFile) -> None:
    places = folders(settings)
    state_lock.take(places["lock"])
    storage = await opened(settings, places)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    try:
        async with asyncio.TaskGroup() as group:
            await _serve(settings, policy, places, storage, group, stopping)
            # Whatever is under way is left as a crash would leave it: at the next start we look and go on.
            raise Stopped
    except* Stopped:
        pass
    finally:
        await storage.close()


async def _serve(
    settings: Settings,
    policy: PolicyFile,
    places: Mapping[str, Path],
    storage: Storage,
    group: asyncio.TaskGroup,
    stopping: asyncio.Event,
) -> None:
    build = build_id()
    memory = remembered(storage.ring.segments(), build, put_aside)
    clock, inbox, answers = BootClock(memory.last_at), Inbox(), PendingAnswers()
    launcher = LauncherSocket(Path(settings.paths.launcher), group)
    processes = LauncherProcesses(launcher, inbox, clock, group)
    mesh = GrpcMesh(Path(settings.mesh.control), storage.releases.path)
    world = World(
        clock=clock,
        inbox=inbox,
        alarms=Alarms(clock, inbox),
        answers=answers,
        processes=processes,
        nodes=NodeSockets(places["instances"], places["notify"], inbox, clock),
        proxy=HaproxyProxy(Path(settings.proxy.socket)),
        registry=storage.registry,
        releases=storage.releases,
        workshop=LauncherWorkshop(_bench(settings), processes, storage.releases, inbox, clock, group),
        env=settings.nodes.env,
        mask=masked,
        mesh=mesh,
        view=lambda: reactor.state,
        events=f"unix:{settings.mesh.socket}",
        bind=settings.proxy.bind.replace("*", "0.0.0.0"),
    )
    perform = Perform(world)
    lanes = Lanes(group, perform, perform.dropped)
    reactor = Reactor(memory.state, inbox, Journal(storage.ring, storage.chronicle, build), lanes.submit)
    sizes = LogSizes(world.view, clock, LogFiles(Path(settings.paths.logs), launcher), settings.logs)
    hello = await _found_launcher(processes, stopping)
    observed = await processes.observe()
    inbox.put(await _booted(settings, storage, memory, clock, observed))
    facts = partial(_facts, hello, launcher, processes, policy, storage, sizes, reactor)
    desk = _desk(settings, policy, storage, reactor, world, (answers, mesh), facts, processes.hello)
    prometheus.serve(desk.view, VERSION, settings.metrics.listen, facts)
    service = ServiceNotify(os.environ)
    async with peercred.serve(places["control"], control_server(desk), group, admins=desk.roles.admins):
        for work in (
            reactor.run(),
            policy_file.follow(policy, clock, inbox),
            *_watches(desk, world, storage, ProcSensors(world.nodes)),
            sizes.watch(),
            _keep_in_touch(launcher, processes),
            service.keep_alive(),
        ):
            group.create_task(work)
        log.info("noded %s is up: %d instances found alive", VERSION, sum(o.running for o in observed))
        service.ready()
        await stopping.wait()
        service.stopping()
    # Nodes go on without us: nothing is stopped, nothing is drained.
    launcher.close()
    await mesh.close()


def _watches(
    desk: Desk, world: World, storage: Storage, sensors: ProcSensors
) -> tuple[Coroutine[Any, Any, None], ...]:
    view, clock, inbox = desk.view, world.clock, world.inbox
    inside = partial(_inside, world)
    questions = Questions(clock, HttpProbes(), world.processes, inside, world.mask)
    alive = Liveness(view, clock, inbox, world.nodes, sensors, world.processes, questions)
    signals = Signals(world.nodes, OwnHistograms(), world.mesh)
    return (
        monitors.sample(view, clock, inbox, sensors),
        monitors.count_traffic(view, clock, inbox, world.proxy),
        monitors.watch_mesh(view, clock, inbox, world.mesh),
        monitors.watch_disk(view, clock, inbox, storage.disk),
        monitors.watch_registry(view, clock, inbox, storage.registry, storage.releases),
        leftovers.watch(view, storage.registry, storage.leftovers),
        readiness.watch(view, clock, inbox, questions, desk.changed),
        alive.watch(),
        signals.watch(view, clock, inbox),
    )


def _facts(
    hello: Mapping[str, object],
    launcher: LauncherSocket,
    processes: LauncherProcesses,
    policy: PolicyFile,
    storage: Storage,
    sizes: LogSizes,
    reactor: Reactor,
) -> Facts:
    return Facts(
        version=VERSION,
        cgroups=str(hello.get("cgroups", "")),
        degraded=(
            *_texts(hello.get("degraded")),
            *processes.degraded,
            *storage.told(reactor.state.full),
            *sizes.told,
        ),
        launcher_up=launcher.connected,
        cores=os.cpu_count() or 0,
        pressure=pressure(),
        pause_file=str(policy.pause),
        alarms=tuple(filter(None, (policy.alarm, storage.audit.alarm))),
    )


def _desk(
    settings: Settings,
    policy: PolicyFile,
    storage: Storage,
    reactor: Reactor,
    world: World,
    who_answers: tuple[PendingAnswers, GrpcMesh],
    facts: Callable[[], Facts],
    hello: Callable[[], Awaitable[Mapping[str, object]]],
) -> Desk:
    answers, mesh = who_answers
    return Desk(
        view=lambda: reactor.state,
        changed=lambda: reactor.changed,
        facts=facts,
        clock=world.clock,
        inbox=world.inbox,
        answers=answers,
        chronicle=storage.chronicle,
        registry=storage.registry,
        releases=storage.releases,
        logs=NodeLogs(Path(settings.paths.logs)),
        roles=Roles(lambda: policy.allowed.members, frozenset(settings.control.admins)),
        audit=storage.audit,
        processes=world.processes,
        launch=partial(_inside, world),
        hello=hello,
        trials=LauncherTrials(_bench(settings), world.processes, storage.releases),
        mesh=mesh,
        settings=settings,
        policy=policy.path,
        build=build_id(),
    )


def _inside(world: World, instance: Instance, argv: tuple[str, ...]) -> Launch:
    """A program with everything the instance was started with."""
    spec, home = world.releases.spec(instance.digest), world.releases.path(instance.digest)
    events = (("NODED_MESH", world.events),) if spec.speaks else ()
    own = (("NODED_INSTANCE", instance.id), ("NODED_LISTEN", instance.listen), *events)
    return launch_of(spec, home, world.env, "", argv, own)


async def _found_launcher(processes: LauncherProcesses, stopping: asyncio.Event) -> dict[str, object]:
    told = False
    while not stopping.is_set():
        try:
            return dict(await processes.hello())
        except Unavailable as error:
            if not told:
                log.warning("%s; waiting for it", error)
            told = True
        await asyncio.sleep(LAUNCHER_WAIT)
    raise Unavailable("stopped before a launcher was found")


async def _keep_in_touch(launcher: LauncherSocket, processes: LauncherProcesses) -> None:
    """A launcher that was restarted is found again, and what it was to clear up is asked for again."""
    while True:
        await asyncio.sleep(LAUNCHER_WAIT)
        if not launcher.connected:
            with suppress(PortError):
                await processes.hello()
                await processes.entrust_open()
        if launcher.connected:
            await processes.remove_left()


async def _booted(
    settings: Settings, storage: Storage, memory: Memory, clock: Clock, observed: tuple[Observed, ...]
) -> Booted:
    """What was found. A registry that is away, or has lost all, knows less than we do."""
    intact = memory.intact
    known = by_what_runs(observed, storage.releases)
    try:
        recorded = await on_record(storage.registry, storage.releases)
    except Unavailable as error:
        log.error("%s", error)
        intact = True
    else:
        if storage.registry.is_anew:
            intact = True
        else:
            known = recorded
    return Booted(clock.now(), _host(settings), observed, known, intact)


def _host(settings: Settings) -> Host:
    return Host(
        name=settings.host.name,
        run=str(folders(settings)["instances"]),
        ports=settings.proxy.ports,
        tcp_ports=settings.proxy.tcp_ports,
        sockets=settings.nodes.sockets,
        instance_ports=settings.nodes.ports,
        memory=host_memory(),
    )


def _bench(settings: Settings) -> Bench:
    part = settings.regenerate
    return Bench(
        argv=part.command,
        env=part.env,
        node_env=settings.nodes.env,
        python=part.python,
        user=part.user or str(os.geteuid()),
        evidence=folders(settings)["evidence"],
    )


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()


def build_id() -> str:
    """The version and a hash of what decides: two builds with one id decide alike."""
    folder = Path(__file__).parent
    rules = sorted((*(folder / "model").glob("*.py"), *(folder / "policy").glob("*.py")))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in rules))
    return f"{VERSION}-{digest.hexdigest()[:12]}"
