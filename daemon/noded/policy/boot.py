"""noded has started: what of the world is still as it was, and what has changed meanwhile?

Nothing remembered is done again. What runs is compared with what is remembered; the rest is left
to the ordinary comparison of what is with what is wanted.
"""

from dataclasses import replace

from noded.model.actions import (
    Action,
    ActivateInstance,
    AdoptInstance,
    KillInstance,
    RecordNode,
    RemoveInstance,
    StopInstance,
)
from noded.model.incident import Record, Stage
from noded.model.inputs import Booted, InstanceExited, InstanceStarted, Known, Observed
from noded.model.instance import FIRST_RUN, Instance, Phase, Role
from noded.model.state import Desired, HostState, NodeState, Numbers
from noded.policy import healing, lifecycle, rollout, starting
from nodespec.manifest import Rung


def on_booted(state: HostState, fact: Booted) -> tuple[HostState, tuple[Action, ...]]:
    mesh = replace(state.mesh, generation="", problem="")
    state = replace(state, host=fact.host, proxy="", mesh=mesh, booted_at=fact.at)
    actions: list[Action] = []
    state = _with_registry(state, fact, actions)
    alive = {o.instance: o for o in fact.observed if o.running}
    for node in tuple(state.nodes.values()):
        # What was being prepared may have ended half done: it is run again from its beginning.
        node = replace(node, route=None, wake_at=0.0, preparing="")
        for instance in tuple(node.instances.values()):
            node = _compare(node, instance, alive.pop(instance.id, None), fact.at, actions)
        state = state.holding(_healing_again(node, fact.at))
    for stray in alive.values():
        state = _take_in(state, stray, fact.at, actions)
    cleared = {action.instance for action in actions if isinstance(action, RemoveInstance)}
    for left in (o.instance for o in fact.observed if not o.running and o.instance not in cleared):
        actions.append(RemoveInstance(left.rpartition(".")[0], left, "it ended and was not cleared up"))
    return _beyond_strays(state, fact), tuple(actions)


def _take_in(state: HostState, stray: Observed, at: float, actions: list[Action]) -> HostState:
    """Something runs that we do not remember: our memory has a gap.

    An instance of a node that is to run goes on serving and is watched like any other: one too many, or one
    of another version, leaves when its successors stand. What belongs to no node is ended.
    """
    name = stray.instance.rpartition(".")[0]
    node = state.nodes.get(name)
    if node is None or node.desired is not Desired.RUNNING or _run_once(stray.instance):
        actions.append(KillInstance(name, stray.instance, "no node that is to run has it"))
        actions.append(RemoveInstance(name, stray.instance, "it belonged to no node"))
        return state
    full = len(node.of(Role.STABLE)) >= node.spec.instances and stray.digest == node.release.digest
    version = next((r.version for r in node.releases if r.digest == stray.digest), "unknown")
    listen, address = starting.places(node.spec, state.holding(node), stray.instance)
    instance = Instance(
        stray.instance,
        stray.digest,
        version,
        Role.SPARE if full else Role.STABLE,
        Phase.READY,
        at,
        at,
        listen,
        address,
        stray.process,
        ready_at=at,
    )
    actions.append(
        AdoptInstance(name, stray.instance, stray.digest, stray.process, True, "it runs and was forgotten")
    )
    return state.holding(node.having(instance))


def _with_registry(state: HostState, fact: Booted, actions: list[Action]) -> HostState:
    """The registry owns what is to run. While our memory is whole it is the newer of the two: what we decided
    and had no time to enter is entered again. When its end was lost, the registry is."""
    known = {k.spec.name: k for k in fact.known}
    for name, node in tuple(state.nodes.items()):
        if name not in known and not fact.intact:
            state = replace(state, nodes={n: held for n, held in state.nodes.items() if n != name})
        elif name not in known or _differs(node, known[name]):
            state = _settled(state, node, known.get(name), fact, actions)
    for name, entry in known.items():
        if name in state.removed and name not in state.nodes and fact.intact:
            # We removed it and the registry was not told.
            numbers = replace(state.removed[name], recorded=False)
            state = replace(state, removed={**state.removed, name: numbers})
        elif name not in state.nodes and entry.desired != Desired.REMOVED:
            desired = Desired(entry.desired)
            used = state.removed.get(name, Numbers())
            node = NodeState(
                spec=entry.spec,
                release=entry.release,
                desired=desired,
                releases=(entry.release,),
                serial=used.instance,
                rollouts=used.rollout,
                healing=Record(serial=used.incident),
            )
            state = state.holding(node)
    return state


def _differs(node: NodeState, known: Known) -> bool:
    return (node.release.digest, node.desired) != (known.release.digest, known.desired)


def _settled(
    state: HostState, node: NodeState, known: Known | None, fact: Booted, actions: list[Action]
) -> HostState:
    if known is None or fact.intact:
        release, why = node.release, "it was decided and not yet entered when noded ended"
        actions.append(RecordNode(node.name, release.version, release.digest, node.desired, why))
        return state
    node, undone = rollout.roll_back(node, "its end is not remembered; what the registry says runs", fact.at)
    actions += undone
    heard = (*node.releases, known.release) if node.version(known.release.version) is None else node.releases
    node = replace(
        node, spec=known.spec, release=known.release, desired=Desired(known.desired), releases=heard
    )
    return state.holding(node)


def _compare(
    node: NodeState, instance: Instance, found: Observed | None, at: float, actions: list[Action]
) -> NodeState:
    same = found is not None and (
        instance.process is None
        or (found.process.pid, found.process.start_time)
        == (instance.process.pid, instance.process.start_time)
    )
    if found is not None and same:
        ready = instance.phase is not Phase.STARTING
        actions.append(
            AdoptInstance(
                node.name,
                instance.id,
                instance.digest,
                found.process,
                ready,
                "it lived on without noded",
            )
        )
        # An order may have been under way when noded ended; being told twice is harmless.
        if instance.phase is Phase.STOPPING and not instance.killed_at:
            signal = starting.spec_of(node, instance).stop.signal
            actions.append(StopInstance(node.name, instance.id, signal, instance.condemned))
        elif ready and (instance.role is Role.STABLE or instance.acts):
            why = "it is stable" if instance.role is Role.STABLE else "it is at work beside stable"
            actions.append(ActivateInstance(node.name, instance.id, why))
        node, more = lifecycle.on_started(node, InstanceStarted(at, node.name, instance.id, found.process))
        actions += more
        return node
    if found is not None:
        actions.append(KillInstance(node.name, instance.id, "another process has its name"))
    gone = InstanceExited(at, node.name, instance.id, "while noded was away")
    node, undone = rollout.on_exited(node, gone)
    node = healing.on_exited(node, gone)
    node, clear = lifecycle.on_exited(node, gone)
    actions += (*undone, *clear)
    return node


def _run_once(instance: str) -> bool:
    number = instance.rpartition(".")[2]
    return number.isdigit() and int(number) >= FIRST_RUN


def _healing_again(node: NodeState, at: float) -> NodeState:
    """An order that was under way may or may not have been done: choose again, budgets are kept.

    A replacement is no order: it goes on by what is. A profile that runs is asked to end.
    """
    now = node.healing.now
    if now is None or now.stage not in (Stage.EVIDENCE, Stage.ACTING):
        return node
    if now.attempt is not None and now.attempt.rung is Rung.REPLACE:
        return node
    stage = Stage.EVIDENCE if now.stage is Stage.EVIDENCE else Stage.CHOOSING
    again = replace(now, stage=stage, attempt=None, since=at, profiled=False)
    return replace(node, healing=replace(node.healing, now=again))


def _beyond_strays(state: HostState, fact: Booted) -> HostState:
    """Never give a new instance the name of one that was seen."""
    for observed in fact.observed:
        name, _, number = observed.instance.rpartition(".")
        node = state.nodes.get(name)
        if node is None or _run_once(observed.instance):
            continue
        if number.isdigit() and int(number) > node.serial:
            state = state.holding(replace(node, serial=int(number)))
    return state
