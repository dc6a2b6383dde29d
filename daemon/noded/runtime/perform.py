"""How is each action done? One case per action; what comes of it goes back through the inbox."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

from noded.launch import Launch, launch_of
from noded.model.actions import (
    Action,
    ActivateInstance,
    AdoptInstance,
    Answer,
    BeginProfile,
    CancelRegeneration,
    CloseSocket,
    CollectGarbage,
    EndProfile,
    ForgetNode,
    InstallRoute,
    InstallTable,
    KillInstance,
    Note,
    Prepare,
    RecordNode,
    RecordRelease,
    Regenerate,
    ReloadInstance,
    RemoveInstance,
    RemoveRelease,
    RemoveRoute,
    RenewShare,
    RenewTable,
    RestoreCaches,
    ShrinkCaches,
    StartInstance,
    StopInstance,
    WakeAt,
)
from noded.model.inputs import ActionFailed, InstanceStarted, Prepared, TableTaken
from noded.model.route import Route, Server
from noded.model.state import HostState
from noded.ports import (
    Answers,
    Clock,
    Inbox,
    Mesh,
    Nodes,
    NotFound,
    PortError,
    Processes,
    Proxy,
    Refused,
    Registry,
    Releases,
    Workshop,
)
from noded.runtime import orders, printed
from noded.runtime.alarms import Alarms
from noded.runtime.printed import Mask
from nodespec.manifest import NodeSpec

LISTEN = "{listen}"


@dataclass(frozen=True, slots=True)
class World:
    """Everything actions are done with."""

    clock: Clock
    inbox: Inbox
    alarms: Alarms
    answers: Answers
    processes: Processes
    nodes: Nodes
    proxy: Proxy
    registry: Registry
    releases: Releases
    workshop: Workshop
    env: tuple[tuple[str, str], ...]
    """What every node finds in its environment, such as PATH."""
    mask: Mask
    mesh: Mesh
    view: Callable[[], HostState]
    """The present state: a table is told as it is by then."""
    events: str = "unix:/run/noded-mesh/mesh.sock"
    """Where nodes publish and consume."""
    bind: str = "127.0.0.1"
    """Where listening sockets are held for nodes."""


class Perform:
    def __init__(self, world: World) -> None:
        self._world = world
        self._published: set[str] = set()
        self._told = 0
        """Number of the newest table that a mesh has taken."""

    async def __call__(self, action: Action) -> None:
        try:
            await self._do(action)
        except PortError as error:
            self.failed(action, type(error).__name__, str(error))

    def dropped(self, action: Action, why: str) -> None:
        self.failed(action, "Cancelled", f"not begun: {why}")

    def failed(self, action: Action, kind: str, cause: str) -> None:
        instance = getattr(action, "instance", "")
        now = self._world.clock.now()
        self._world.inbox.put(ActionFailed(now, type(action).__name__, action.node, instance, kind, cause))

    async def _do(self, action: Action) -> None:
        world = self._world
        match action:
            case StartInstance():
                await self._start(action)
            case AdoptInstance():
                await self._adopt(action)
            case Prepare():
                await self._prepare(action)
            case StopInstance() | ReloadInstance():
                await world.processes.signal(action.instance, action.signal)
            case CloseSocket():
                await world.processes.unlisten(action.node)
            case KillInstance():
                await world.processes.kill(action.instance)
            case RemoveInstance():
                world.nodes.forget(action.instance)
                self._published.discard(action.instance)
                await world.processes.remove(action.instance)
            case ActivateInstance():
                await orders.activate(world.nodes, action)
            case InstallRoute() | RenewShare():
                await self._install(action.route)
            case RemoveRoute():
                await world.proxy.remove(action.route)
            case InstallTable() | RenewTable():
                await self._tell_mesh(action)
            case BeginProfile():
                await orders.begin_profile(world.nodes, action)
            case EndProfile():
                world.inbox.put(await orders.end_profile(world.nodes, world.clock, action))
            case CollectGarbage():
                world.inbox.put(await orders.collect(world.nodes, world.clock, action))
            case ShrinkCaches():
                world.inbox.put(await orders.shrink(world.nodes, world.clock, action))
            case RestoreCaches():
                await orders.restore(world.nodes, action)
            case Regenerate():
                await world.workshop.begin(action)
            case CancelRegeneration():
                await world.workshop.cancel(action.incident)
            case RecordRelease():
                await self._record_release(action)
            case RemoveRelease():
                await world.releases.remove(action.digest)
            case RecordNode():
                await self._record_node(action)
            case ForgetNode():
                await self._forget(action)
            case WakeAt():
                world.alarms.wake(action.node, action.at)
            case Answer():
                told = (action.kind, action.text, action.effect, action.conflicts)
                world.answers.answer(action.request, *told)
            case Note():
                pass

    async def _install(self, route: Route) -> None:
        """A server that cannot be published yet is left out, and the whole asked for again."""
        servers: list[Server] = []
        later: NotFound | None = None
        for server in route.servers:
            try:
                await self._publish(server)
                servers.append(server)
            except NotFound as error:
                later = error
            except Refused as error:
                now = self._world.clock.now()
                told = ActionFailed(now, "PublishSocket", route.node, server.instance, "Refused", str(error))
                self._world.inbox.put(told)
        await self._world.proxy.install(replace(route, servers=tuple(servers)))
        if later is not None:
            raise later

    async def _tell_mesh(self, action: InstallTable | RenewTable) -> None:
        """A table that waited behind another went with it."""
        world = self._world
        table = world.view().table
        if isinstance(action, InstallTable) and action.number <= self._told:
            return
        await world.mesh.install(table)
        self._told = table.number
        world.inbox.put(TableTaken(world.clock.now(), table.number))

    async def _publish(self, server: Server) -> None:
        if server.address.startswith("unix:") and server.instance not in self._published:
            await self._world.processes.publish(server.instance)
            self._published.add(server.instance)

    async def _start(self, action: StartInstance) -> None:
        world = self._world
        spec = world.releases.spec(action.digest)
        notify = world.nodes.listen(action.node, action.instance)
        try:
            process, degraded = await world.processes.start(self._launch(action, spec, notify))
        except PortError:
            world.nodes.forget(action.instance)
            raise
        world.nodes.expect(action.node, action.instance, process.uid)
        world.inbox.put(InstanceStarted(world.clock.now(), action.node, action.instance, process, degraded))
        world.processes.watch(action.node, action.instance, process)

    def _launch(self, action: StartInstance, spec: NodeSpec, notify: str) -> Launch:
        world = self._world
        own = (
            ("NODED_INSTANCE", action.instance),
            ("NODED_LISTEN", action.listen),
            ("NODED_ACTIVE", "1" if action.active else "0"),
            ("NODED_ROLE", str(action.role)),
            ("NODED_STOP_TIMEOUT", f"{spec.stop.timeout:g}"),
            ("NOTIFY_SOCKET", notify),
            *((("NODED_MESH", world.events),) if spec.speaks else ()),
        )
        argv = tuple(word.replace(LISTEN, action.listen) for word in spec.run)
        launch = launch_of(spec, world.releases.path(action.digest), world.env, action.instance, argv, own)
        launch = replace(launch, notify=notify)
        if not spec.holds_socket or spec.serves is None:
            return launch
        return replace(launch, listen=f"{world.bind}:{spec.serves.port}")

    async def _prepare(self, action: Prepare) -> None:
        """One command after the other, each with the time a start has; the first that fails ends it."""
        world = self._world
        spec = world.releases.spec(action.digest)
        problem = output = ""
        for argv in spec.before:
            launch = launch_of(spec, world.releases.path(action.digest), world.env, "", argv)
            ran = await world.processes.run(launch, spec.start_timeout)
            if ran.timed_out or ran.status != "code 0":
                late = f"was ended after {ran.seconds:.0f} s: [node] start_timeout"
                how = late if ran.timed_out else f"ended with {ran.status}"
                named = printed.command(spec, argv, world.mask)
                problem = f"{named} came before {action.version} and {how}: nodectl explain -v {action.node}"
                output = printed.kept(spec, ran, world.mask) or "(it printed nothing)"
                break
        world.inbox.put(Prepared(world.clock.now(), action.node, action.digest, problem, output))

    async def _adopt(self, action: AdoptInstance) -> None:
        world = self._world
        notify = world.nodes.listen(action.node, action.instance)
        world.nodes.expect(action.node, action.instance, action.process.uid)
        world.processes.watch(action.node, action.instance, action.process)
        await world.processes.entrust(action.instance, notify)

    async def _record_release(self, action: RecordRelease) -> None:
        """The same version with the same content may be recorded again; with other content never."""
        key = f"releases/{action.node}/{action.version}"
        held = await self._world.registry.get(key)
        if held is not None and json.loads(held.value)["digest"] == action.digest:
            return
        value = {
            "node": action.node,
            "version": action.version,
            "digest": action.digest,
            "origin": action.origin,
            "signature": action.signature,
            "at": self._world.clock.now(),
        }
        await self._world.registry.put(key, json.dumps(value).encode(), expected=0)

    async def _record_node(self, action: RecordNode) -> None:
        value = {"version": action.version, "digest": action.digest, "desired": action.desired}
        await self._world.registry.put(f"nodes/{action.node}", json.dumps(value).encode())

    async def _forget(self, action: ForgetNode) -> None:
        key = f"nodes/{action.node}"
        if await self._world.registry.get(key) is not None:
            await self._world.registry.delete(key)
