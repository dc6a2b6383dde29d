"""An instance gives no sign of life: is it dead, or is its host too slow for it?

Nothing is ended for slowness while the host is starved (PSI, Documentation/accounting/psi.rst). A process
that stands still and asks for nothing is not slow: no CPU and no memory would wake it.
"""

from dataclasses import replace

from noded.model.actions import Action, KillInstance, Note
from noded.model.inputs import InstanceSilent
from noded.model.instance import Instance, Phase, Role
from noded.model.liveness import Silence
from noded.model.state import NodeState
from noded.policy import crashes, rollout
from nodespec.manifest import Autonomy

Outcome = tuple[NodeState, tuple[Action, ...]]

BUSY = 0.3
"""Share of one core from which on a silent program is busy."""
STARVED_CPU = 0.5
"""Share of time in which somebody waits for a CPU; loaded hosts show it before they are slow."""
STARVED_STALL = 0.2
"""The same of memory or disk, which stall longer."""
KEPT_WAITING = 0.1
"""Share of its silence that a program stood ready and got no CPU."""
ENOUGH_CPU = 2.0
"""Seconds of CPU: who had so much and answered nobody does not answer for want of it."""
EPISODE = 2.0
"""Seconds without word of a silence, after which the next is another one."""


def on_silent(node: NodeState, fact: InstanceSilent) -> Outcome:
    instance = node.instances.get(fact.instance)
    if instance is None or instance.phase is not Phase.READY or instance.killed_at:
        return node, ()
    why = f"no sign of life for {fact.silence.seconds:.1f} s ({fact.silence.asked}): {_kind(fact.silence)}"
    kill = KillInstance(node.name, instance.id, why, fact.silence.said)
    if instance.role is Role.CANARY and node.rolling_out:
        if fact.silence.state == "t":
            return node, ()
        # Whatever its host does, stable answers: the share goes back first, and what waits there with it.
        node, undone = rollout.roll_back(node, f"{instance.id}: {why}", fact.at)
        return _ended(node, instance, why, fact.at), (*undone, kill)
    hindrance = _hindrance(node, instance, fact.silence, fact.at)
    if hindrance:
        return _spared(node, instance, f"{instance.id}: {why}; left alone: {hindrance}", fact.at)
    node = crashes.count(_ended(node, instance, why, fact.at), instance, f"{instance.id}: {why}", fact.at)
    return node, (kill,)


def _ended(node: NodeState, instance: Instance, why: str, at: float) -> NodeState:
    return node.having(replace(instance, phase=Phase.STOPPING, since=at, killed_at=at, condemned=why))


def _kind(silence: Silence) -> str:
    detail = f"; {silence.detail}" if silence.detail else ""
    if silence.state in ("T", "t"):
        return f"it is stopped{detail}"
    if _busy(silence):
        return f"a hang, busy without progress ({silence.cpu:.0%} of a core){detail}"
    if silence.state == "D":
        return f"it waits in the kernel{detail}"
    return f"a deadlock, idle without progress{detail}"


def _hindrance(node: NodeState, instance: Instance, silence: Silence, at: float) -> str:
    """Why it is not ended now; empty when it is."""
    if node.autonomy.restart is not Autonomy.ACT:
        return f"autonomy restart is {node.autonomy.restart}: nodectl restart {node.name}"
    if silence.state == "t":
        return "a debugger holds it"
    starved = _starved(instance, silence, at)
    if starved:
        return starved
    if any(i.killed_at for i in node.instances.values()) and not _whole(node, instance):
        return "another instance was ended just now: one at a time"
    return ""


def _starved(instance: Instance, silence: Silence, at: float) -> str:
    """What the host lacks that could explain the silence."""
    if silence.state == "T":
        return ""
    pressure = silence.pressure
    if _busy(silence) and pressure.cpu >= STARVED_CPU and not _works_in_vain(instance, silence, at):
        return f"the host is short of CPU (pressure {pressure.cpu:.0%})"
    for name, share in (("memory", pressure.memory), ("disk", pressure.io)):
        if share >= STARVED_STALL:
            return f"the host is short of {name} (pressure {share:.0%})"
    return ""


def _busy(silence: Silence) -> bool:
    """It runs, or would if it got the CPU."""
    return silence.cpu >= BUSY or silence.waited >= KEPT_WAITING or silence.state == "R"


def _works_in_vain(instance: Instance, silence: Silence, at: float) -> bool:
    """It had CPU enough since it fell silent, and not one request came to its end meanwhile."""
    had = silence.cpu * silence.seconds
    seen = instance.spared_at >= at - silence.seconds
    return seen and had >= ENOUGH_CPU and instance.spared_requests == instance.load.requests


def _whole(node: NodeState, but: Instance) -> bool:
    """Whether the other instances hold the capacity, so that this one may go as well."""
    serving = [i for i in node.of(Role.STABLE) if i.serves and i.id != but.id]
    return len(serving) >= node.spec.instances - 1


def _spared(node: NodeState, instance: Instance, text: str, at: float) -> Outcome:
    counted = instance.load.requests
    marked = node.having(replace(instance, spared_at=at, spared_requests=counted))
    if instance.spared_at >= at - EPISODE:
        return marked, ()
    return marked, (Note(node.name, instance.id, text),)
