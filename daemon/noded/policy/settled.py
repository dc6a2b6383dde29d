"""Has a node all that is wanted, so that nothing but time and its own readings can have changed?

Readings come several times a second for every node of the host, and nearly all of them change nothing: a
node that has settled is not compared with what is wanted again. Whatever a comparison would ask of such a
node is asked here; `tests/sim` compares both after every reading.
"""

from noded.model.instance import Phase, Role
from noded.model.state import Desired, HostState, NodeState
from noded.policy import allowed, crashes, routing, sockets


def settled(node: NodeState, state: HostState, at: float) -> bool:
    """True only when `decide` would leave it as it is; false may mean both."""
    if node.healing.now is not None or node.rolling_out or node.desired is not Desired.RUNNING:
        return False
    if allowed.capped(node, state) is not node or sockets.reconcile(node)[0] is not node:
        return False
    return not node.failed and _complete(node, at) and _routed(node, state) and _told(node)


def _complete(node: NodeState, at: float) -> bool:
    """As many instances as are wanted, each ready, of the right version, and wanted."""
    digest, stable = node.release.digest, 0
    for instance in node.instances.values():
        if instance.phase is not Phase.READY or instance.condemned or instance.digest != digest:
            return False
        if instance.role is Role.STABLE:
            stable += 1
        elif instance.role is not Role.SPARE:
            return False
    spares = len(node.instances) - stable
    return stable == node.spec.instances and spares == crashes.wanted_spares(node, at)


def _routed(node: NodeState, state: HostState) -> bool:
    if not node.spec.proxied:
        return node.route is None
    return not state.proxy or node.route == routing.route_of(node)


def _told(node: NodeState) -> bool:
    """Of a complete node only who speaks can differ: all else of its part changes with a fact of its own."""
    if node.part is None:
        return not node.spec.speaks
    speakers = node.part.speakers
    return len(speakers) == len(node.instances) and all(s.instance in node.instances for s in speakers)
