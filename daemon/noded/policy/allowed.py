"""What does the administrator allow at most, and does the host stand still by a file?"""

from dataclasses import replace

from noded.model.inputs import PolicyRead
from noded.model.state import HostState, NodeState
from nodespec.manifest import lower


def on_read(state: HostState, fact: PolicyRead) -> HostState:
    return replace(state, caps=fact.caps, caps_of=dict(fact.caps_of), held=fact.held)


def capped(node: NodeState, state: HostState) -> NodeState:
    """The node under the caps that hold for it."""
    own = state.caps_of.get(node.name)
    caps = state.caps if own is None else lower(state.caps, own)
    return node if node.caps == caps else replace(node, caps=caps)
