"""How often may a node fail before it is given up, and what is said of it then?

Each failure counts one; every half minute that an instance was ready before it failed takes one away.
So what crashes now and then is restarted at once for ever, and what cannot live is soon left alone.
"""

from dataclasses import replace
from zlib import crc32

from noded.model.incident import Incident, Stage
from noded.model.instance import Instance, Role
from noded.model.state import GIVEN_UP, Backoff, Desired, NodeState
from noded.policy import healing

SIGNATURE = "crash-loop"
FORGIVEN = 30.0
"""Seconds of readiness that make up for one failure."""
FIRST_DELAY = 0.5
LONGEST_DELAY = 60.0
RETRY = 600.0
"""Seconds between the single starts of a failed node: what it lacked may be back by itself."""
BLOW = 2.0
"""Seconds within which ends of instances that ran side by side have one cause."""
AWAY = 1.0
"""Seconds before a start is tried again that the launcher could not even begin."""
CLOSE = 2
"""From so many failures on they come close together: a second spare is worth its memory."""


def restart_delay(node: str, failures: int) -> float:
    """Seconds before the next start: none after the first failure, then doubling to a minute.

    Spread by a tenth that depends on node and count, so that nodes which fell together do not
    come back together, and a replay gives the same.
    """
    if failures <= 1:
        return 0.0
    spread = 1.0 + (crc32(f"{node}.{failures}".encode()) % 1000) / 10_000
    if failures >= GIVEN_UP:
        return RETRY * spread
    return float(min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** (failures - 2)) * spread)


def count(node: NodeState, instance: Instance, what: str, at: float) -> NodeState:
    """Instances that fell in one blow are one failure."""
    held = node.backoff
    if held.failures and instance.created_at < held.at and at - held.at < BLOW:
        return replace(node, backoff=replace(held, last=what), restarts=node.restarts + 1)
    ready = at - instance.ready_at if instance.ready_at else 0.0
    return _counted(node, max(0, held.failures - int(ready / FORGIVEN)), what, at)


def count_attempt(node: NodeState, what: str, at: float) -> NodeState:
    """Nothing was born that could have failed."""
    return _counted(node, node.backoff.failures, what, at)


def wait(node: NodeState, what: str, at: float) -> NodeState:
    """The host could not do it: no failure of the node."""
    return replace(node, backoff=replace(node.backoff, until=max(node.backoff.until, at + AWAY), last=what))


def _counted(node: NodeState, before: int, what: str, at: float) -> NodeState:
    failures = before + 1
    until = at + restart_delay(node.name, failures)
    return replace(node, backoff=Backoff(failures, until, what, at), restarts=node.restarts + 1)


def wanted_spares(node: NodeState, at: float) -> int:
    """One more while crashes come close together: the next may come before a new spare is ready."""
    recent = node.backoff.failures - int(max(0.0, at - node.backoff.at) / FORGIVEN)
    return 2 if node.spec.spares == 1 and recent >= CLOSE else node.spec.spares


def advance(node: NodeState, at: float) -> NodeState:
    """Open the incident of a node that is given up; close it when the node lives again."""
    now = node.healing.now
    if now is not None and now.signature == SIGNATURE:
        return healing.closed(node, "it runs again", at) if _lives(node, at) else node
    if now is not None or not node.failed or node.desired is not Desired.RUNNING:
        return node
    record = node.healing
    incident = Incident(
        id=f"{node.name}-{record.serial + 1}",
        signature=SIGNATURE,
        instance="",
        finding=f"{node.backoff.failures} failures in a row, the last: {node.backoff.last}",
        opened_at=at,
        slope=0.0,
        window=0.0,
        seconds_to_limit=0.0,
        detected_after=0.0,
        stage=Stage.NEEDS_PERSON,
        since=at,
        outcome=f"tried every {RETRY / 60:.0f} min: nodectl logs {node.name}, nodectl start {node.name}",
        digest=node.release.digest,
    )
    return replace(node, healing=replace(record, now=incident, serial=record.serial + 1))


def _lives(node: NodeState, at: float) -> bool:
    serving = [i for i in node.of(Role.STABLE) if i.serves and at - i.since >= FORGIVEN]
    return len(serving) >= node.spec.instances
