"""Which releases of a node stay? What runs or would be gone back to, what is looked into, and the newest."""

from dataclasses import replace

from noded.model.actions import Action, RemoveRelease
from noded.model.incident import CLOSED
from noded.model.rollout import Stage
from noded.model.state import NodeState

NEWEST = 10


def reconcile(node: NodeState) -> tuple[NodeState, tuple[Action, ...]]:
    """A version that is removed keeps its record: it can be applied again, and never with other content."""
    if len(node.releases) <= NEWEST:
        return node, ()
    needed = _needed(node)
    gone = [release for release in node.releases[:-NEWEST] if release.digest not in needed]
    if not gone:
        return node, ()
    why = f"{NEWEST} newer ones are kept, and nothing runs it or would go back to it"
    kept = tuple(release for release in node.releases if release not in gone)
    actions = tuple(RemoveRelease(node.name, release.version, release.digest, why) for release in gone)
    return replace(node, releases=kept), actions


def _needed(node: NodeState) -> set[str]:
    needed = {node.release.digest, _before(node)}
    needed |= {instance.digest for instance in node.instances.values()}
    if node.rollout is not None and not node.rollout.ended:
        needed.add(node.rollout.release.digest)
    incident = node.healing.now
    if incident is not None and incident.stage not in CLOSED:
        needed.add(incident.digest)
    return needed


def _before(node: NodeState) -> str:
    """The stable release before this one."""
    past = next((r for r in reversed(node.past_rollouts) if r.stage is Stage.PROMOTED), None)
    if past is not None and past.release.digest == node.release.digest:
        found = node.version(past.from_version)
        return found.digest if found is not None else ""
    place = next((n for n, r in enumerate(node.releases) if r.digest == node.release.digest), 0)
    return node.releases[place - 1].digest if place else ""
