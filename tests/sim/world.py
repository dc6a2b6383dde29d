"""A host in virtual time: what noded decides is done by simple models, and their answers come back.

A heap of (time, tie, call) is the whole world. noded itself is only its state: it may be killed at
any moment, comes back with what it had written down, and is told what it finds.
"""

import heapq
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from itertools import count
from random import Random

from noded.model.actions import (
    TABLES,
    TRAFFIC,
    Action,
    Actions,
    ForgetNode,
    InstallRoute,
    InstallTable,
    KillInstance,
    RecordNode,
    RecordRelease,
    RemoveInstance,
    RemoveRoute,
    RenewShare,
    RenewTable,
    StartInstance,
    WakeAt,
)
from noded.model.inputs import (
    ActionFailed,
    Booted,
    Input,
    InstanceExited,
    Known,
    MeshFound,
    MeshLost,
    Observed,
    ProxyFound,
    ProxyLost,
    Reading,
    Sampled,
    TableTaken,
    TrafficCounted,
    Woken,
)
from noded.model.instance import Phase, Role, Vitals
from noded.model.release import Release
from noded.model.state import HostState, NodeState
from noded.policy.decide import decide
from noded.runtime import codec
from nodespec.manifest import NodeSpec
from tests.policy.build import HOST, number_of, process
from tests.sim import invariants, nodes
from tests.sim.living import LIMIT, Living, Traits
from tests.sim.mesh import Mesh
from tests.sim.proxy import Proxy

SAMPLE = 2.0
COUNT = 1.0
Call = Callable[[], None]


class World:
    def __init__(self, seed: int) -> None:
        self.dice = Random(seed)
        self.now = 0.0
        self.state = HostState()
        self.up = False
        self.intact = True
        self.epoch = 0
        """How often noded has come up; what a former one began is lost with it."""
        self.heard: list[tuple[Input, Actions]] = []
        self.living: dict[str, Living] = {}
        self.watched: set[str] = set()
        self.dying: set[str] = set()
        self.given: set[str] = set()
        """Every name that an instance ever had."""
        self.registry: dict[str, str] = {}
        self.nodes: dict[str, Known] = {}
        self.traits: dict[str, Traits] = {}
        self.specs: dict[str, NodeSpec] = {}
        self.releases: dict[str, Release] = {}
        self.proxy = Proxy()
        self.mesh = Mesh()
        self._told = 0
        """Number of the newest table that noded, in this life, has had taken."""
        self.launcher_up = True
        self.registry_up = True
        self.calm = False
        self._heap: list[tuple[float, float, int, Call]] = []
        self._ties = count()
        self._lanes: dict[tuple[str, bool], deque[Action]] = defaultdict(deque)
        self._alarms: dict[str, float] = {}

    # Time

    def later(self, seconds: float, call: Call) -> None:
        heapq.heappush(self._heap, (self.now + seconds, self.dice.random(), next(self._ties), call))

    def in_this_life(self, seconds: float, call: Call) -> None:
        """Something noded does or waits for: lost when it is killed."""
        epoch = self.epoch
        self.later(seconds, lambda: call() if self.up and self.epoch == epoch else None)

    def run(self, until: float) -> None:
        while self._heap and self._heap[0][0] <= until:
            self.now, _, _, call = heapq.heappop(self._heap)
            call()
        self.now = until

    # noded

    def boot(self) -> None:
        self.up = True
        self.epoch += 1
        self._lanes.clear()
        self._alarms.clear()
        self._told = 0
        self.watched.clear()
        self.dying.clear()
        found = tuple(
            Observed(name, process(number_of(name)), one.digest) for name, one in self.living.items()
        )
        if not self.intact:
            # Names it has forgotten and does not find may come again: nobody else could tell.
            self.given = set(self.living)
        self.hear(Booted(self.now, HOST, found, tuple(self.nodes.values()), self.intact))
        self.intact = True
        self.in_this_life(self.dice.uniform(0.0, SAMPLE), self._sample)
        self.in_this_life(self.dice.uniform(0.0, COUNT), self._count)

    def kill(self) -> None:
        """noded dies; what it remembers is what was written."""
        text = codec.dump(self.state)
        self.state = codec.load(HostState, text)
        assert codec.dump(self.state) == text, "the state does not survive being written"
        self.up = False

    def forget(self, text: str) -> None:
        """The end of the memory is damaged: what was written earlier is all there is."""
        self.state = codec.load(HostState, text)
        self.intact = False

    def hear(self, fact: Input) -> None:
        if not self.up:
            return
        before = self.state
        self.state, actions = decide(before, fact)
        self.heard.append((fact, actions))
        invariants.check(before, fact, self.state, actions)
        for action in actions:
            if isinstance(action, StartInstance):
                assert action.instance not in self.given, f"{action.instance} is given twice"
                self.given.add(action.instance)
            if isinstance(action, KillInstance | RemoveInstance):
                self.dying.add(action.instance)
            self._submit(action)
        for offence in invariants.orphans(self.state, self.living, self.dying):
            raise invariants.Broken(f"at {self.now:.3f}: {offence}")

    def failed(self, action: Action, kind: str, cause: str) -> None:
        instance = getattr(action, "instance", "")
        self.hear(ActionFailed(self.now, type(action).__name__, action.node, instance, kind, cause))

    # Two lanes per node

    def _submit(self, action: Action) -> None:
        if isinstance(action, InstallRoute):
            self._cancel(action)
        key = ("", True) if isinstance(action, TABLES) else (action.node, isinstance(action, TRAFFIC))
        self._lanes[key].append(action)
        if len(self._lanes[key]) == 1:
            self.in_this_life(self.dice.uniform(0.0005, 0.02), lambda: self._work(key))

    def _work(self, key: tuple[str, bool]) -> None:
        lane = self._lanes[key]
        action = lane[0]
        busy = self._perform(action)

        def done() -> None:
            lane.popleft()
            if lane:
                self._work(key)

        self.in_this_life(busy, done)

    def _cancel(self, route: InstallRoute) -> None:
        lane = self._lanes[route.node, False]
        for action in [
            a for a in list(lane)[1:] if isinstance(a, StartInstance) and a.instance in route.cancels
        ]:
            lane.remove(action)
            self.in_this_life(0.0, lambda a=action: self.failed(a, "Cancelled", "not begun"))  # type: ignore[misc]

    def _perform(self, action: Action) -> float:
        """Do it; how long the lane is busy with it. What a node's process does stands in `nodes.py`."""
        match action:
            case InstallRoute() | RenewShare() | RemoveRoute():
                self._tell_proxy(action)
            case InstallTable() | RenewTable():
                self._tell_mesh(action)
            case RecordRelease() | RecordNode() | ForgetNode():
                self._record(action)
            case WakeAt():
                self._alarms[action.node] = action.at
                self.in_this_life(max(0.0, action.at - self.now), lambda: self._ring(action.node, action.at))
            case _:
                return nodes.perform(self, action)
        return self.dice.uniform(0.001, 0.01)

    def _ring(self, node: str, at: float) -> None:
        if self._alarms.get(node) == at:
            self.hear(Woken(self.now, node))

    def _tell_proxy(self, action: InstallRoute | RenewShare | RemoveRoute) -> None:
        if not self.proxy.up or not self.proxy.reachable:
            self.failed(action, "Unavailable", "the proxy does not answer")
        elif not self.calm and self.dice.random() < 0.01:
            self.failed(action, "Refused", "no such slot")
        elif isinstance(action, RemoveRoute):
            self.proxy.routes.pop(action.port, None)
        else:
            self.proxy.take(action.route, self.now)

    def _tell_mesh(self, action: InstallTable | RenewTable) -> None:
        table = self.state.table
        if isinstance(action, InstallTable) and action.number <= self._told:
            return
        late = not self.calm and self.dice.random() < 0.05
        refused = self.mesh.take(table) if self.mesh.up and not (late and self.dice.random() < 0.5) else ""
        if not self.mesh.up or late:
            self.failed(action, "TimedOut" if late else "Unavailable", "the mesh does not answer")
        elif refused:
            self.failed(action, "Refused", refused)
        else:
            self._told = table.number
            self.hear(TableTaken(self.now, table.number))

    def _look_for_mesh(self) -> None:
        mesh, known = self.mesh, self.state.mesh
        if not mesh.up:
            if known.generation:
                self.hear(MeshLost(self.now, "connection refused"))
        elif mesh.generation != known.generation or mesh.number > known.number:
            self.hear(MeshFound(self.now, mesh.generation, mesh.number))

    def _record(self, action: RecordRelease | RecordNode | ForgetNode) -> None:
        if not self.registry_up:
            self.failed(action, "Unavailable", "the registry does not answer")
        elif isinstance(action, RecordRelease):
            key = f"{action.node} {action.version}"
            if self.registry.setdefault(key, action.digest) != action.digest:
                self.failed(action, "Conflict", "it has other content")
        elif isinstance(action, RecordNode):
            spec, release = self.specs[action.digest], self.releases[action.digest]
            self.nodes[action.node] = Known(spec, release, action.desired)
        else:
            self.nodes.pop(action.node, None)

    # Readings

    def _sample(self) -> None:
        readings = []
        for node in self.state.nodes.values():
            for instance in node.instances.values():
                living = self.living.get(instance.id)
                if living is None or instance.process is None:
                    continue
                living.grow(SAMPLE, instance.role is Role.STABLE and instance.phase is Phase.READY)
                readings.append(Reading(instance.id, node.name, Vitals(int(living.memory))))
                if living.memory > LIMIT:
                    self.die(instance.id, "out of memory")
        self.hear(Sampled(self.now, tuple(readings)))
        self.in_this_life(SAMPLE, self._sample)

    def _count(self) -> None:
        self._look_for_mesh()
        proxy = self.proxy
        if not proxy.up or not proxy.reachable:
            if self.state.proxy:
                self.hear(ProxyLost(self.now, "connection refused"))
        elif proxy.generation != self.state.proxy:
            self.hear(ProxyFound(self.now, proxy.generation))
        else:
            self.hear(TrafficCounted(self.now, proxy.count(self.now, self.living)))
        self.in_this_life(COUNT, self._count)

    # Processes

    def die(self, instance: str, status: str) -> None:
        living = self.living.pop(instance, None)
        if living is None:
            return
        self.dying.discard(instance)
        if instance in self.watched:
            node = instance.rpartition(".")[0]
            self.in_this_life(
                self.dice.uniform(0.0, 0.05),
                lambda: self.hear(InstanceExited(self.now, node, instance, status)),
            )

    def digest(self, spec: NodeSpec) -> str:
        """Of content that a person or a worker made just now: never the same twice."""
        text = f"{spec.name} {spec.version} {next(self._ties)}"
        return f"sha256:{sha256(text.encode()).hexdigest()}"

    def register(self, spec: NodeSpec, release: Release, traits: Traits) -> None:
        """A release lies on disk."""
        self.specs[release.digest], self.releases[release.digest] = spec, release
        self.traits[release.digest] = traits

    def node(self, name: str) -> NodeState | None:
        return self.state.nodes.get(name)

    def calm_down(self) -> None:
        """From here on nothing goes wrong by itself."""
        self.calm = True
        self.launcher_up = self.registry_up = self.proxy.reachable = self.mesh.up = True
        well = Traits(start=0.3)
        self.traits = dict.fromkeys(self.traits, well)
        for living in self.living.values():
            living.traits = replace(well, start=living.traits.start or 0.3)
