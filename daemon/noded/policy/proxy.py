"""What follows when the proxy comes, goes, or did not take a route?"""

from dataclasses import replace

from noded.model.inputs import ProxyFound, ProxyLost
from noded.model.state import HostState, NodeState


def on_found(state: HostState, fact: ProxyFound) -> HostState:
    """A proxy that was restarted has forgotten every route: all are told again."""
    if fact.generation == state.proxy:
        return state
    nodes = {name: replace(node, route=None) for name, node in state.nodes.items()}
    return replace(state, proxy=fact.generation, nodes=nodes)


def on_lost(state: HostState, fact: ProxyLost) -> HostState:
    """What runs and what is wanted stay as they are; routes wait until it is back."""
    return replace(state, proxy="")


def on_install_failed(node: NodeState) -> NodeState:
    """Whatever part of the route was written is unknown: tell it whole again with the next look."""
    return replace(node, route=None)
