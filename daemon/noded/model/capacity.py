"""How much memory may a node hold at its worst moment, by the limits its manifests give?"""

from noded.model.rollout import compares_memory, splits_events
from noded.model.state import Desired, NodeState
from nodespec.manifest import NodeSpec


def spares(spec: NodeSpec) -> int:
    """One spare is two while crashes come close together."""
    return 2 if spec.spares == 1 else spec.spares


def steady(spec: NodeSpec) -> int:
    return (spec.instances + spares(spec)) * spec.resources.memory


def peak(node: NodeState | None, spec: NodeSpec) -> int:
    """Bytes of instances, spares, canaries and their baseline while the change is made; 0 when some have no
    limit."""
    if node is None or node.desired is not Desired.RUNNING:
        return steady(spec)
    if not spec.resources.memory or not node.spec.resources.memory:
        return 0
    if spec.serves is None and not splits_events(node.spec, spec):
        # It cannot run twice: an instance goes before its successor comes.
        return max(steady(node.spec), steady(spec))
    canaries = spec.instances * spec.resources.memory
    baseline = node.spec.resources.memory if compares_memory(spec) else 0
    # Those of the old version drain while spares of the new one start already.
    at_the_end = _running(node.spec) + _running(spec)
    return max(steady(node.spec) + canaries + baseline, at_the_end, steady(spec))


def _running(spec: NodeSpec) -> int:
    return (spec.instances + spec.spares) * spec.resources.memory


def present(node: NodeState) -> int:
    """Bytes that a node on this host may hold now: of its canaries too while it rolls out."""
    if node.desired is not Desired.RUNNING:
        return 0
    rollout = node.rollout if node.rolling_out else None
    return peak(node, rollout.spec) if rollout is not None else steady(node.spec)
