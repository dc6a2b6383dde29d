"""When is the listening socket that is held for a node closed?

It stays open from instance to instance, so that connections wait while one is replaced. Only when nobody
is to answer them any more, a client must be refused at once.
"""

from dataclasses import replace

from noded.model.actions import Action, CloseSocket
from noded.model.state import Desired, NodeState


def reconcile(node: NodeState) -> tuple[NodeState, tuple[Action, ...]]:
    if node.instances:
        held = node.holds_socket or node.spec.holds_socket
        return (node if node.holds_socket == held else replace(node, holds_socket=held)), ()
    if not node.holds_socket or (node.desired is Desired.RUNNING and node.spec.holds_socket):
        return node, ()
    return replace(node, holds_socket=False), (CloseSocket(node.name, "nobody is to answer there"),)
