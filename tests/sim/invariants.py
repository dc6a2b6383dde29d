"""What must be so after every single decision, whatever happened?"""

from collections.abc import Iterator, Mapping

from noded.model.actions import Actions, Answer, InstallTable, StartInstance
from noded.model.incident import CLOSED
from noded.model.inputs import Booted, Input
from noded.model.instance import BESIDE, Instance, Phase, Role
from noded.model.mesh import Table
from noded.model.rollout import Rollout
from noded.model.route import Route
from noded.model.state import Desired, HostState, NodeState
from noded.policy.decide import READINGS, converge
from noded.policy.events import part_of
from noded.policy.rollout import MOST_TRANSITIONS
from noded.policy.routing import route_of
from noded.policy.settled import settled as has_settled


class Broken(AssertionError):
    """An invariant does not hold."""


def check(before: HostState, fact: Input, after: HostState, actions: Actions) -> None:
    for offence in offences(before, fact, after, actions):
        raise Broken(f"at {fact.at:.3f} after {type(fact).__name__}: {offence}")


def offences(before: HostState, fact: Input, after: HostState, actions: Actions) -> Iterator[str]:
    for name, node in after.nodes.items():
        old = before.nodes.get(name)
        if old is node:
            continue
        yield from capacity(old, node)
        yield from healing(node)
        yield from shares(after, node)
        yield from numbers(old, node)
        yield from transitions(old, node)
        yield from part(node)
    yield from tables(before, after, actions)
    if isinstance(fact, READINGS):
        yield from resting(after, fact.at)
    yield from ports(after)
    yield from reasons(actions)
    yield from starts(before, after, actions, isinstance(fact, Booted))


def resting(state: HostState, at: float) -> Iterator[str]:
    """What is passed over as settled is as it would be, had it been compared with what is wanted."""
    names = [name for name, node in state.nodes.items() if has_settled(node, state, at)]
    compared, actions = converge(state, names, at)
    for name in names:
        if compared.nodes.get(name) != state.nodes[name]:
            yield f"{name} counts as settled and would become {compared.nodes.get(name)}"
    if actions:
        yield f"{', '.join(names)} count as settled and would ask for {actions}"


def _ready(node: NodeState) -> list[Instance]:
    return [i for i in node.instances.values() if i.role is Role.STABLE and i.phase is Phase.READY]


def _sent(instance: Instance) -> bool:
    return instance.leaving and not instance.killed_at


def capacity(old: NodeState | None, node: NodeState) -> Iterator[str]:
    """Rules 2 and 3: nobody is sent away while the wanted capacity would be missed."""
    if old is None or node.desired is not Desired.RUNNING:
        return
    # What is killed was dead already.
    sent = [i.id for i in _ready(old) if i.id in node.instances and _sent(node.instances[i.id])]
    if not sent:
        return
    left, wanted = len(_ready(node)), node.spec.instances
    if node.spec.serves is None:
        after = [i for i in node.instances.values() if i.role not in BESIDE]
        others = sum(1 for i in after if i.leaving and i.id not in sent)
        if len(sent) + others > 1:
            yield f"{', '.join(sent)} leaves with {others} others: what cannot run twice goes one at a time"
    elif left < wanted:
        yield f"{', '.join(sent)} of {node.name} leaves and only {left} of {wanted} stay ready"


def healing(node: NodeState) -> Iterator[str]:
    """Rule 3: one healing action at a time, within its budget."""
    now = node.healing.now
    marked = [i.id for i in node.of(Role.STABLE) if i.condemned.startswith(f"{node.name}-")]
    if len(marked) > 1:
        yield f"{', '.join(marked)} are condemned by healing at once"
    if now is None:
        return
    if now.stage in CLOSED:
        yield f"{now.id} is closed and still open"
    if len(now.tried) > 40:
        yield f"{now.id} tries without end: {len(now.tried)} rungs"
    for rung, most in (
        ("replace", node.spec.healing.budget.replace),
        ("regenerate", node.spec.healing.budget.regenerate),
    ):
        # A new manifest may bring a smaller budget than what was spent before it.
        spent = sum(1 for s in node.healing.spent if s.rung == rung and s.at >= now.opened_at)
        if spent > most:
            yield f"{rung} was done {spent} times for {now.id}, {most} are allowed a day"


def shares(state: HostState, node: NodeState) -> Iterator[str]:
    """A share is a step of the plan, only while a canary serves, and what the proxy is told."""
    rollout, route = node.rollout, node.route
    share = rollout.share if rollout and node.rolling_out else 0.0
    if rollout and share and share not in rollout.plan:
        yield f"share {share} of {node.name} is no step of {rollout.plan}"
    if route is None or not state.proxy:
        return
    canary = any(i.role is Role.CANARY and i.phase is Phase.READY for i in node.instances.values())
    if route.share and not canary:
        yield f"{node.name} gives {route.share} to a canary that does not serve"
    if route.share and not route.lease:
        yield f"{node.name} has a share without a lease"
    if route != route_of(node):
        yield f"the proxy was told something else of {node.name} than what is: {route}"


def numbers(old: NodeState | None, node: NodeState) -> Iterator[str]:
    if any(int(name.rpartition(".")[2]) > node.serial for name in node.instances):
        yield f"{node.name} has an instance beyond its number {node.serial}"
    if old is not None and node.serial < old.serial:
        yield f"{node.name} counts back from {old.serial} to {node.serial}"
    # Canaries of rollouts that a person ended one after the other leave in their own time.
    there = [i.id for i in node.instances.values() if not (i.leaving and i.role in BESIDE)]
    if len(there) > 3 * (node.spec.instances + node.spec.spares) + 12:
        yield f"{node.name} has {len(there)} instances: {', '.join(there)}"
    addresses = [i.address for i in node.instances.values() if i.address]
    if len(addresses) != len(set(addresses)):
        yield f"two instances of {node.name} have one address: {sorted(addresses)}"


def transitions(old: NodeState | None, node: NodeState) -> Iterator[str]:
    """One rollout at a time; wherever it goes, its history says when and why."""
    before, rollout = old.rollout if old else None, node.rollout
    if rollout is None or rollout is before:
        return
    yield from _history(rollout)
    if rollout.ended and (not node.past_rollouts or node.past_rollouts[-1] != rollout):
        yield f"{rollout.id} has ended and is not among those that did"
    if before is None:
        return
    if rollout.id != before.id:
        if not before.ended:
            yield f"{rollout.id} begins while {before.id} is under way"
    elif before.ended:
        yield f"{before.id} has ended and changes: {rollout.reason}"
    elif _place(before) != _place(rollout) and len(rollout.history) <= len(before.history) < MOST_TRANSITIONS:
        yield f"{rollout.id} goes from {_place(before)} to {_place(rollout)} and says nothing of it"


def _history(rollout: Rollout) -> Iterator[str]:
    latest = rollout.history[-1]
    if (latest.stage, latest.share) != (rollout.stage, rollout.share):
        yield f"{rollout.id} is at {rollout.stage} {rollout.share} and tells of {latest}"
    if any(len(each.reason.split()) < 2 for each in rollout.history):
        yield f"{rollout.id} went on without a reason: {rollout.history}"
    if "its rollout has ended" in rollout.reason:
        yield f"{rollout.id} is told of what another one left behind: {rollout.reason}"


def _place(rollout: Rollout) -> tuple[object, ...]:
    return rollout.stage, rollout.at_step, rollout.share, rollout.paused, bool(rollout.frozen)


def part(node: NodeState) -> Iterator[str]:
    if node.part != part_of(node):
        yield f"the table says something else of {node.name} than what is: {node.part}"


def tables(before: HostState, after: HostState, actions: Actions) -> Iterator[str]:
    """One decision tells one table, with a number that no table had before."""
    told = [action.number for action in actions if isinstance(action, InstallTable)]
    if len(told) > 1:
        yield f"tables {told} are told at once"
    if after.mesh.number < before.mesh.number:
        yield f"the table's number falls from {before.mesh.number} to {after.mesh.number}"
    if told and (told[0] != after.mesh.number or told[0] <= before.mesh.number):
        yield f"table {told[0]} is told, after {before.mesh.number} and with {after.mesh.number} known"
    parts = {name: node.part for name, node in after.nodes.items() if node.part}
    changed = parts != {name: node.part for name, node in before.nodes.items() if node.part}
    if after.mesh.generation and changed and not told:
        yield f"the mesh is not told what has changed: {parts}"
    waiting = {name for name, node in parts.items() if node.subscriptions} & set(after.mesh.gone)
    if waiting:
        yield f"{', '.join(waiting)} is waited for and gone"


def ports(state: HostState) -> Iterator[str]:
    held: dict[int, str] = {}
    for node in state.nodes.values():
        if node.route is None:
            continue
        if node.route.port in held:
            yield f"port {node.route.port} belongs to {held[node.route.port]} and {node.name}"
        held[node.route.port] = node.name


def reasons(actions: Actions) -> Iterator[str]:
    """Rule 8: every action has a reason a person can read."""
    for action in actions:
        text = action.text if isinstance(action, Answer) else action.reason
        if len(text.split()) < 2:
            yield f"{type(action).__name__} without a reason: {text!r}"


def starts(before: HostState, after: HostState, actions: Actions, booted: bool) -> Iterator[str]:
    """No name is given twice, and what is started is known."""
    for action in actions:
        if not isinstance(action, StartInstance):
            continue
        old = before.nodes.get(action.node)
        if old is not None and not booted and int(action.instance.rpartition(".")[2]) <= old.serial:
            yield f"{action.instance} is started again"
        node = after.nodes[action.node]
        if node.awaited:
            yield f"{action.instance} starts before the mesh has taken table {node.awaited}"
        if action.instance not in node.instances:
            yield f"{action.instance} is started and not known"
        there = [i.id for i in node.instances.values() if i.role not in BESIDE]
        if node.spec.serves is None and action.instance in there and len(there) > node.spec.instances:
            yield f"{action.instance} starts while {', '.join(there)} run: it cannot run twice"


def orphans(state: HostState, alive: Mapping[str, object], dying: set[str]) -> Iterator[str]:
    """Every process is known, or is being ended."""
    known = {name for node in state.nodes.values() for name in node.instances}
    for name in alive:
        if name not in known and name not in dying:
            yield f"{name} runs and nobody knows it"


def told(state: HostState, routes: Mapping[int, Route], table: Table | None) -> Iterator[str]:
    """Proxy and mesh hold what noded believes they hold. (What a removed node left there leads nowhere.)"""
    if table is None or (table.number, table.parts) != (state.mesh.number, state.table.parts):
        yield f"the mesh should have {state.table} and has {table}"
    if state.mesh.gone or state.mesh.taken != state.mesh.number:
        yield f"the mesh has taken {state.mesh.taken}, of {state.mesh}"
    for node in state.nodes.values():
        held = routes.get(node.route.port) if node.route is not None else None
        if held != node.route:
            yield f"{node.name} should have {node.route}, the proxy has {held}"


def settled(state: HostState) -> Iterator[str]:
    """When nothing goes wrong any more, every node has what it should have."""
    for node in state.nodes.values():
        stuck = [f"{i.id} {i.role} {i.phase}" for i in node.instances.values() if i.phase is not Phase.READY]
        if stuck:
            yield f"{node.name}: {', '.join(stuck)}"
        if node.desired is not Desired.RUNNING:
            if node.instances or node.desired is Desired.REMOVED:
                yield f"{node.name} is to be {node.desired} and has {list(node.instances)}"
            continue
        ready = [i for i in _ready(node) if i.digest == node.release.digest and not i.condemned]
        spares = [i for i in node.of(Role.SPARE) if i.serves and i.digest == node.release.digest]
        if (len(ready), len(spares)) != (node.spec.instances, node.spec.spares):
            wanted = f"{node.spec.instances} and {node.spec.spares}"
            yield f"{node.name} has {len(ready)} instances and {len(spares)} spares ready, not {wanted}"
        if node.rolling_out:
            yield f"{node.name} is still rolling out: {node.rollout}"
        now = node.healing.now
        if now is not None and now.stage.name in (
            "EVIDENCE",
            "CHOOSING",
            "ACTING",
            "WATCHING",
            "ROLLING_OUT",
        ):
            yield f"{node.name} is still healing: {now}"
