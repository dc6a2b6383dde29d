"""What comes of an action that a launcher, a node or a regeneration worker has to do?"""

from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

from noded.model.actions import (
    Action,
    AdoptInstance,
    BeginProfile,
    CancelRegeneration,
    CollectGarbage,
    EndProfile,
    KillInstance,
    Prepare,
    Regenerate,
    RemoveInstance,
    RestoreCaches,
    ShrinkCaches,
    StartInstance,
    StopInstance,
)
from noded.model.incident import Report
from noded.model.inputs import (
    CachesShrunk,
    CandidateProposed,
    GarbageCollected,
    Input,
    InstanceExited,
    InstanceReady,
    InstanceStarted,
    MemoryProfiled,
    Prepared,
    RegenerationFailed,
)
from noded.model.release import Release
from tests.policy.build import MB, SITE, number_of, process
from tests.sim.living import Living, Traits

if TYPE_CHECKING:
    from tests.sim.world import World

WORKER = "noded-regenerate"
HEARTBEAT = 1.0


def perform(world: "World", action: Action) -> float:
    """Do it now or begin it; seconds the node's lane is busy with it."""
    match action:
        case StartInstance():
            return _start(world, action)
        case AdoptInstance():
            return _adopt(world, action)
        case StopInstance():
            return _signal(world, action)
        case KillInstance() | RemoveInstance():
            return _end(world, action)
        case BeginProfile() | EndProfile() | CollectGarbage() | ShrinkCaches() | RestoreCaches():
            return _order(world, action)
        case Regenerate():
            return _regenerate(world, action)
        case Prepare():
            _prepare(world, action)
        case CancelRegeneration():
            world.die(f"{WORKER}.{_worker(action.incident)}", "signal 9")
    return 0.001


def _start(world: "World", action: StartInstance) -> float:
    if not world.launcher_up:
        sent = world.dice.random() < 0.3
        if sent and world.dice.random() < 0.7:
            _born(world, action)
        world.failed(action, "TimedOut" if sent else "Unavailable", "the launcher went away")
        return 0.01
    if not world.calm and world.dice.random() < 0.02:
        kind = world.dice.choice(("Refused", "TimedOut"))
        if kind == "TimedOut":
            _born(world, action)
        world.failed(action, kind, "it could not be started")
        return 0.5
    _born(world, action)
    world.watched.add(action.instance)
    world.hear(InstanceStarted(world.now, action.node, action.instance, process(number_of(action.instance))))
    return world.dice.uniform(0.01, 0.1)


def _born(world: "World", action: StartInstance) -> None:
    """A process that runs from now on, whoever knows of it."""
    name, traits = action.instance, world.traits[action.digest]
    one = world.living[name] = Living(name, action.node, action.digest, traits, world.now)
    if traits.life:
        world.later(world.dice.expovariate(1.0 / traits.life), lambda: _crash(world, one))
    if traits.start:
        world.later(world.dice.uniform(0.5, 1.5) * traits.start, lambda: _ready(world, one))


def _prepare(world: "World", action: Prepare) -> None:
    """It runs beside the lanes, and what it began is lost with noded."""
    seconds = world.dice.uniform(0.1, 20.0)
    problem = "it ended with code 1" if not world.calm and world.dice.random() < 0.2 else ""

    def ended() -> None:
        if world.launcher_up:
            world.hear(Prepared(world.now, action.node, action.digest, problem))
        else:
            world.failed(action, "Unavailable", "the launcher went away")

    world.in_this_life(seconds, ended)


def _crash(world: "World", one: Living) -> None:
    if not world.calm and world.living.get(one.instance) is one:
        world.die(one.instance, world.dice.choice(("code 1", "signal 11")))


def _ready(world: "World", one: Living) -> None:
    if world.living.get(one.instance) is not one:
        return
    one.ready_at = world.now
    if one.instance in world.watched:
        world.hear(InstanceReady(world.now, one.node, one.instance, "it said so"))


def _adopt(world: "World", action: AdoptInstance) -> float:
    one = world.living.get(action.instance)
    world.watched.add(action.instance)
    if one is None:
        gone = InstanceExited(world.now, action.node, action.instance, "unknown")
        world.in_this_life(0.01, lambda: world.hear(replace(gone, at=world.now)))
    elif one.ready_at:
        # A word it said while noded was away is lost; its heartbeat tells the same.
        ready = InstanceReady(world.now, action.node, action.instance, "its heartbeat")
        wait = world.dice.uniform(0.0, HEARTBEAT)
        world.in_this_life(wait, lambda: world.hear(replace(ready, at=world.now)))
    return 0.001


def _signal(world: "World", action: StopInstance) -> float:
    one = world.living.get(action.instance)
    if not world.launcher_up:
        world.failed(action, "Unavailable", "the launcher went away")
    elif one is not None and (world.calm or not one.traits.deaf):
        world.later(world.dice.uniform(0.01, 2.0), lambda: world.die(action.instance, "code 0"))
    return 0.005


def _end(world: "World", action: KillInstance | RemoveInstance) -> float:
    if not world.launcher_up:
        if isinstance(action, RemoveInstance):
            world.dying.add(action.instance)
        world.failed(action, "Unavailable", "the launcher went away")
        return 0.01
    watched = action.instance in world.watched
    world.die(action.instance, "signal 9")
    if not watched and isinstance(action, KillInstance):
        world.hear(InstanceExited(world.now, action.node, action.instance, "killed before it was known"))
    return world.dice.uniform(0.005, 0.3)


Order = BeginProfile | EndProfile | CollectGarbage | ShrinkCaches | RestoreCaches


def _order(world: "World", action: Order) -> float:
    """Ask a node's SDK; its answer holds the lane."""
    one = world.living.get(action.instance)
    if one is None or one.traits.silent:
        world.failed(action, "NotFound", "it does not listen for orders")
        return 0.01
    if not world.calm and world.dice.random() < 0.05:
        slow = 12.0
        world.in_this_life(slow, lambda: world.failed(action, "TimedOut", "no answer in 12 s"))
        return slow
    seconds = world.dice.uniform(0.01, 2.0)
    world.in_this_life(seconds, lambda: _answered(world, action, one))
    return seconds


def _answered(world: "World", action: Order, one: Living) -> None:
    name, node, now = action.instance, action.node, world.now
    fact: Input
    match action:
        case EndProfile():
            fact = MemoryProfiled(now, node, name, (SITE,) if world.dice.random() < 0.9 else ())
        case CollectGarbage():
            used = int(one.memory)
            one.memory = max(30.0 * MB, one.memory - world.dice.uniform(0.0, 3.0) * MB)
            fact = GarbageCollected(now, node, name, used, int(one.memory), 12)
        case ShrinkCaches():
            before, after = one.shrink()
            fact = CachesShrunk(now, node, name, before, after, "prices 100 -> 50 entries")
        case _:
            return
    world.hear(fact)


def _worker(incident: str) -> int:
    return int(sha256(incident.encode()).hexdigest()[:6], 16)


def _regenerate(world: "World", action: Regenerate) -> float:
    """The worker is a process too: seen after a restart of noded, and nobody's then."""
    if not world.launcher_up:
        world.failed(action, "Unavailable", "the launcher went away")
        return 0.01
    name = f"{WORKER}.{_worker(action.incident)}"
    worker = world.living[name] = Living(name, WORKER, "", Traits(), world.now)
    world.dying.add(name)
    seconds = world.dice.uniform(5.0, 90.0)
    world.in_this_life(seconds, lambda: _proposed(world, action, worker))
    return 0.1


def _proposed(world: "World", action: Regenerate, worker: Living) -> None:
    alive = world.living.pop(worker.instance, None) is worker
    node = world.node(action.node)
    if not alive or node is None or world.dice.random() < 0.3:
        report = Report("none", "no cache is unbounded")
        world.hear(RegenerationFailed(world.now, action.node, action.incident, report))
        return
    parent = world.specs[action.digest]
    changed = world.dice.random() < 0.1
    spec = replace(parent, version=action.next_version, user="root" if changed else parent.user)
    release = Release(action.node, spec.version, world.digest(spec), f"incident {action.incident}")
    cured = world.dice.random() < 0.7
    leak = 0.0 if cured or world.calm else world.traits[action.digest].leak
    world.register(spec, release, replace(world.traits[action.digest], leak=leak, life=0.0, errors=0.0))
    report = Report("candidate", "bounded", "boundcache", spec.version, diff_lines=9)
    world.hear(CandidateProposed(world.now, action.node, action.incident, spec, release, report))
