"""Which policy answers which input? This file is the table of contents of noded.

After every input the nodes it touched are brought nearer to what is wanted, in a fixed order:
rollout, healing, instances, route. A reading touches those that have not settled.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from noded.model.actions import Action, Actions, ForgetNode
from noded.model.inputs import (
    ActionFailed,
    ApplyRequested,
    Booted,
    CachesShrunk,
    CandidateProposed,
    CommandRequested,
    DiskFilled,
    DiskFreed,
    GarbageCollected,
    Input,
    InstanceExited,
    InstanceReady,
    InstanceSilent,
    InstanceStarted,
    MemoryProfiled,
    MeshFound,
    MeshLost,
    PolicyRead,
    Prepared,
    ProxyFound,
    ProxyLost,
    RegenerationFailed,
    RegistryRenewed,
    Sampled,
    SignalsTold,
    TableTaken,
    TrafficCounted,
    Woken,
)
from noded.model.state import Desired, HostState, NodeState
from noded.policy import (
    allowed,
    boot,
    command,
    crashes,
    events,
    healing,
    lifecycle,
    liveness,
    notes,
    preparing,
    proxy,
    recording,
    regeneration,
    release,
    retention,
    rollout,
    routing,
    sockets,
    storage,
    totals,
    vitals,
)
from noded.policy.settled import settled

ROUTES = ("InstallRoute", "RenewShare", "RemoveRoute")
TABLES = ("InstallTable", "RenewTable")
READINGS = (Sampled, TrafficCounted, SignalsTold)


def decide(state: HostState, fact: Input) -> tuple[HostState, Actions]:
    before = state.nodes
    state, actions = _note(state, fact)
    names = tuple(_touched(state, fact))
    state, more = converge(state, names, fact.at)
    state = _counted(before, state, names)
    concluded = [note for name in names if name in state.nodes for note in _told(before, state, name)]
    return state, (*concluded, *actions, *more)


def _counted(before: Mapping[str, NodeState], after: HostState, names: Iterable[str]) -> HostState:
    for name in names:
        node = after.nodes.get(name)
        if node is not None and node is not before.get(name):
            after = after.holding(totals.counted(before.get(name), node))
    return after


def _told(before: Mapping[str, NodeState], after: HostState, name: str) -> Actions:
    old, new = before.get(name), after.nodes[name]
    return () if old is new else notes.told(old, new)


def _note(state: HostState, fact: Input) -> tuple[HostState, Actions]:
    """Take the fact in: one line for each kind."""
    match fact:
        case Booted():
            return boot.on_booted(state, fact)
        case ApplyRequested():
            return release.on_apply(state, fact)
        case CommandRequested():
            return command.on_command(state, fact)
        case Sampled():
            state, told = recording.again(state)
            state, renewed = events.renew(state, fact.at)
            state, actions = vitals.on_sampled(state, fact)
            return state, (*told, *renewed, *actions)
        case TrafficCounted():
            return vitals.on_counted(state, fact), ()
        case SignalsTold():
            return vitals.on_told(state, fact), ()
        case ProxyFound():
            return proxy.on_found(state, fact), ()
        case ProxyLost():
            return proxy.on_lost(state, fact), ()
        case MeshFound() | MeshLost() | TableTaken():
            return _note_of_mesh(state, fact)
        case ActionFailed() if fact.action in TABLES:
            return events.on_failed(state, fact), ()
        case DiskFilled():
            return storage.on_filled(state, fact), ()
        case DiskFreed():
            return storage.on_freed(state), ()
        case PolicyRead():
            return allowed.on_read(state, fact), ()
        case RegistryRenewed():
            return state, recording.of_everything(state, fact)
        case _:
            return _note_of_node(state, fact)


def _note_of_mesh(state: HostState, fact: MeshFound | MeshLost | TableTaken) -> tuple[HostState, Actions]:
    match fact:
        case MeshFound():
            return events.on_found(state, fact)
        case MeshLost():
            return events.on_lost(state, fact), ()
        case TableTaken():
            return events.on_taken(state, fact), ()


def _note_of_node(
    state: HostState,
    fact: InstanceStarted
    | InstanceReady
    | InstanceExited
    | InstanceSilent
    | Prepared
    | GarbageCollected
    | CachesShrunk
    | MemoryProfiled
    | CandidateProposed
    | RegenerationFailed
    | Woken
    | ActionFailed,
) -> tuple[HostState, Actions]:
    node = state.nodes.get(fact.node)
    if node is None:
        return recording.on_forget_failed(state, fact) if isinstance(fact, ActionFailed) else state, ()
    actions: Actions = ()
    match fact:
        case InstanceStarted():
            node, actions = lifecycle.on_started(node, fact)
        case InstanceReady():
            node, actions = lifecycle.on_ready(node, fact)
        case InstanceExited():
            node, actions = _on_exited(node, fact)
        case InstanceSilent():
            node, actions = liveness.on_silent(node, fact)
        case Prepared():
            node, actions = preparing.on_prepared(node, fact)
        case GarbageCollected():
            node = healing.on_collected(node, fact)
        case CachesShrunk():
            node = healing.on_shrunk(node, fact)
        case MemoryProfiled():
            node = healing.on_profiled(node, fact)
        case CandidateProposed():
            node, actions = regeneration.on_proposed(node, fact)
        case RegenerationFailed():
            node = regeneration.on_failed(node, fact)
        case Woken():
            node = replace(node, wake_at=0.0)
        case ActionFailed():
            node, actions = _on_action_failed(node, fact)
    return state.holding(node), actions


def _on_exited(node: NodeState, fact: InstanceExited) -> tuple[NodeState, Actions]:
    node, undone = rollout.on_exited(node, fact)
    node = healing.on_exited(node, fact)
    node, cleared = lifecycle.on_exited(node, fact)
    return node, (*undone, *cleared)


def _on_action_failed(node: NodeState, fact: ActionFailed) -> tuple[NodeState, Actions]:
    match fact.action:
        case "StartInstance":
            node, undone = rollout.on_start_failed(node, fact)
            node, killed = lifecycle.on_start_failed(node, fact)
            return node, (*undone, *killed)
        case "Prepare":
            return preparing.on_failed(node, fact)
        case "PublishSocket":
            return lifecycle.on_unreachable(node, fact)
        case "ActivateInstance":
            return node, lifecycle.on_activate_failed(node, fact)
        case "RecordRelease" if node.rolling_out:
            return regeneration.on_record_failed(node, fact)
        case "RecordRelease" | "RecordNode":
            return recording.on_failed(node, fact), ()
        case action if action in ROUTES:
            return proxy.on_install_failed(node), ()
        case _:
            return healing.on_action_failed(node, fact), ()


def _touched(state: HostState, fact: Input) -> Iterable[str]:
    if isinstance(fact, ActionFailed) and fact.action in (*ROUTES, *TABLES):
        # The next reading is soon enough: at once would ask as fast as the proxy can refuse.
        return ()
    if isinstance(fact, MeshFound | MeshLost):
        return ()
    if isinstance(fact, TableTaken):
        # Some may have waited for it with their first instance.
        return tuple(name for name, node in state.nodes.items() if not node.instances and node.part)
    if isinstance(fact, READINGS):
        return tuple(name for name, node in state.nodes.items() if not settled(node, state, fact.at))
    if isinstance(fact, DiskFilled):
        # It asks for nothing; and when noded starts on a full disk it is told before what was found.
        return ()
    name = getattr(fact, "node", "")
    if isinstance(fact, ApplyRequested):
        name = fact.spec.name
    return (name,) if name else tuple(state.nodes)


def converge(state: HostState, names: Iterable[str], at: float) -> tuple[HostState, Actions]:
    """Bring these nodes nearer to what is wanted."""
    actions: list[Action] = []
    changes: list[tuple[str, str]] = []
    for name in names:
        node = state.nodes.get(name)
        if node is None:
            continue
        node = allowed.capped(node, state)
        node, promoted = rollout.advance(node, state, at)
        node, healed = healing.advance(node, state, at)
        node, moved = lifecycle.reconcile(node, state, at)
        node = crashes.advance(node, at)
        node, closed = sockets.reconcile(node)
        node, routed = routing.reconcile(node, state, at)
        node, dropped = retention.reconcile(node)
        node, state, spoken = events.reconcile(node, state)
        # A share is cut before anything slower is begun.
        actions += (*routed, *promoted, *healed, *moved, *closed, *dropped)
        if node.desired is Desired.REMOVED and not node.instances and node.route is None:
            actions.append(ForgetNode(name, "it was removed and nothing of it runs"))
            state, spoken = events.forgotten(node, state)
            state = state.forgetting(node)
        else:
            state = state.holding(node)
        changes += [(name, spoken)] if spoken else []
    state, told = events.tell(state, changes, at)
    return state, (*actions, *told)
