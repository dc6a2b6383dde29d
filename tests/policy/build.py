"""Small worlds for the tests of the policies: a spec, a release, an input in one short call.

`Core` is noded without the world: it feeds inputs to `decide` and keeps every action.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TypeVar

from noded.model.actions import Action, Actions, Answer, StartInstance
from noded.model.incident import Incident, Report, Site
from noded.model.inputs import (
    ApplyRequested,
    Booted,
    CandidateProposed,
    CommandRequested,
    Input,
    InstanceExited,
    InstanceReady,
    InstanceStarted,
    Observed,
    ProxyFound,
    Reading,
    Sampled,
    Schema,
    TrafficCounted,
)
from noded.model.instance import Instance, Phase, Process, Role, Vitals
from noded.model.release import Release
from noded.model.rollout import Rollout
from noded.model.route import Traffic
from noded.model.state import Host, HostState, NodeState
from noded.policy.decide import decide
from nodespec.manifest import (
    Autonomy,
    Budget,
    Consumes,
    Healing,
    Health,
    Levels,
    NodeSpec,
    Probe,
    Publishes,
    Resources,
    RolloutPlan,
    Rung,
    Serves,
    Stop,
)

MB = 1_048_576
SITE = Site("shop/prices.py", 41, "price_of", 12 * MB, 4321)
HOST = Host(ports=((8100, 8199),), sockets=((8200, 8231),), memory=8192 * MB)
BUDGET = Budget()
STOP = Stop("TERM", 5.0)
A = TypeVar("A", bound=Action)


def spec(
    version: str = "1.0",
    name: str = "shop",
    *,
    port: int | None = 8100,
    instances: int = 1,
    spares: int = 0,
    memory: int = 256 * MB,
    level: Autonomy = Autonomy.ACT,
    levels: Levels | None = None,
    ladder: tuple[Rung, ...] = tuple(Rung),
    budget: Budget = BUDGET,
    settle: float = 30.0,
    steps: tuple[float, ...] = (0.1, 0.5, 1.0),
    dwell: float = 5.0,
    soak: float = 20.0,
    start_timeout: float = 10.0,
    stop: Stop = STOP,
    readiness: Probe = Probe.SDK,
    publishes: tuple[Publishes, ...] = (),
    consumes: tuple[Consumes, ...] = (),
) -> NodeSpec:
    return NodeSpec(
        name=name,
        version=version,
        run=("python3", "-m", name),
        start_timeout=start_timeout,
        stop=stop,
        instances=instances,
        spares=spares,
        serves=None if port is None else Serves(port),
        health=Health(readiness=readiness),
        resources=Resources(memory=memory),
        healing=Healing(
            ladder, settle, budget, levels or Levels(tune=level, replace=level, regenerate=level)
        ),
        rollout=RolloutPlan(steps, dwell, soak),
        publishes=publishes,
        consumes=consumes,
    )


def release_of(spec: NodeSpec, origin: str = "uid 1000", content: str = "") -> Release:
    digest = sha256(f"{spec.name} {spec.version} {content}".encode()).hexdigest()
    return Release(spec.name, spec.version, f"sha256:{digest}", origin)


def process(number: int) -> Process:
    return Process(pid=100 + number, start_time=1000 + number, uid=64200)


def number_of(instance: str) -> int:
    return int(instance.rpartition(".")[2])


def applied(
    at: float,
    spec: NodeSpec,
    *,
    content: str = "",
    taken: str = "",
    plan: bool = False,
    stopped: bool = False,
    schemas: tuple[Schema, ...] = (),
    lost: str = "",
    force: bool = False,
    supersede: bool = False,
) -> Input:
    release = release_of(spec, content=content)
    return ApplyRequested(at, 1, spec, release, taken, plan, stopped, schemas, lost, force, supersede)


def proposed(at: float, incident: str, spec: NodeSpec, **report: object) -> CandidateProposed:
    told = Report("candidate", "bounded", generator="boundcache", version=spec.version, diff_lines=9)
    return CandidateProposed(
        at,
        spec.name,
        incident,
        spec,
        release_of(spec, f"incident {incident}"),
        replace(told, **report),  # type: ignore[arg-type]
    )


@dataclass
class Core:
    """noded's decisions, one input at a time; `at` is the present."""

    at: float = 1000.0
    state: HostState = field(default_factory=lambda: HostState(host=HOST, proxy="first"))
    done: list[Action] = field(default_factory=list)

    def tell(self, fact: Input) -> Actions:
        self.at = fact.at
        self.state, actions = decide(self.state, fact)
        self.done += actions
        return actions

    # What is asked

    def apply(self, spec: NodeSpec, **how: object) -> Actions:
        return self.tell(applied(self.at, spec, **how))  # type: ignore[arg-type]

    def order(self, verb: str, node: str = "shop") -> Actions:
        return self.tell(CommandRequested(self.at, 2, verb, node, "uid 0"))

    # What happens

    def started(self, name: str) -> Actions:
        return self.tell(InstanceStarted(self.at, _node(name), name, process(number_of(name))))

    def ready(self, name: str) -> Actions:
        return self.tell(InstanceReady(self.at, _node(name), name, "it said so"))

    def comes_up(self, *names: str) -> None:
        for name in names:
            self.started(name)
            self.ready(name)

    def exits(self, name: str, status: str = "signal 9") -> Actions:
        return self.tell(InstanceExited(self.at, _node(name), name, status))

    def leave(self) -> None:
        """Everything that was told to go goes, after its requests have ended."""
        self.tick(2.0, counts={i.id: (0, 0) for n in self.state.nodes.values() for i in n.instances.values()})
        for name in [i.id for n in self.state.nodes.values() for i in n.instances.values() if i.leaving]:
            self.exits(name, "code 0")

    def tick(
        self,
        seconds: float = 1.0,
        memory: Mapping[str, int] | None = None,
        counts: Mapping[str, tuple[int, int]] | None = None,
    ) -> Actions:
        """Some time later the instances are read, and requests are counted if told so."""
        self.at += seconds
        read = [Reading(name, _node(name), Vitals(used)) for name, used in (memory or {}).items()]
        actions = self.tell(Sampled(self.at, tuple(read)))
        if counts is not None:
            actions += self.count(counts)
        return actions

    def count(self, counts: Mapping[str, tuple[int, int]], down: Iterable[str] = ()) -> Actions:
        """Requests and bad ones of each instance since the proxy counts it."""
        held = set(down)
        told = tuple(Traffic(n, asked, bad, 0, n not in held) for n, (asked, bad) in counts.items())
        return self.tell(TrafficCounted(self.at, told))

    def restarts(self, *alive: str) -> Actions:
        """noded is killed and comes back; `alive` are the instances it finds."""
        found = tuple(Observed(name, process(number_of(name))) for name in alive)
        actions = self.tell(Booted(self.at, HOST, found))
        return actions + self.tell(ProxyFound(self.at, "first"))

    # What stands now

    @property
    def node(self) -> NodeState:
        return self.state.nodes["shop"]

    @property
    def incident(self) -> Incident:
        assert self.node.healing.now is not None
        return self.node.healing.now

    @property
    def rollout(self) -> Rollout:
        assert self.node.rollout is not None
        return self.node.rollout

    def instance(self, name: str) -> Instance:
        return self.state.nodes[_node(name)].instances[name]

    def places(self) -> dict[str, str]:
        """Every instance with its role and phase in words."""
        return {i.id: f"{i.role} {i.phase}" for i in self.node.instances.values()}

    def serving(self, role: Role = Role.STABLE) -> list[str]:
        return [i.id for i in self.node.instances.values() if i.role is role and i.phase is Phase.READY]

    def all_of(self, kind: type[A]) -> list[A]:
        return [action for action in self.done if isinstance(action, kind)]


def only(actions: Actions, kind: type[A]) -> A:
    """The one action of a kind."""
    found = [action for action in actions if isinstance(action, kind)]
    assert len(found) == 1, f"{len(found)} {kind.__name__} in {actions}"
    return found[0]


def none(actions: Actions, kind: type[Action]) -> None:
    assert not [action for action in actions if isinstance(action, kind)], actions


def starts(actions: Iterable[Action]) -> list[str]:
    return [action.instance for action in actions if isinstance(action, StartInstance)]


def answer(actions: Actions) -> Answer:
    return only(actions, Answer)


def running(spec_: NodeSpec | None = None) -> Core:
    """A node that was applied and is up with all its instances and spares."""
    core = Core()
    wanted = spec_ or spec()
    core.comes_up(*starts(core.apply(wanted)))
    return core


def rolling(old: NodeSpec | None = None, new: NodeSpec | None = None) -> Core:
    """A rollout at its first step, with the proxy's counts at zero."""
    core = running(old)
    fresh = starts(core.apply(new or replace(old or spec(), version="1.1")))
    core.comes_up(*fresh)
    core.count({i.id: (0, 0) for i in core.node.instances.values()})
    return core


def _node(instance: str) -> str:
    return instance.rpartition(".")[0]
