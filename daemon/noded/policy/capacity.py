"""Do the nodes of this host fit into its memory, also at the worst moment of a change?

Counted are the limits that manifests give; a node without one is not counted, because nobody can tell.
"""

from noded.model import capacity
from noded.model.state import HostState
from nodespec.manifest import NodeSpec

RESERVE = 0.05
"""Share of the machine's memory that belongs to the system."""
LEAST_RESERVE = 256 * 1024 * 1024


def refusal(state: HostState, spec: NodeSpec) -> str:
    """Why the host cannot hold the node; empty when it can, or when nobody can tell."""
    total = state.host.memory
    # Of a change from or to no limit nobody knows the sum, but what is known must fit.
    wanted = max(capacity.peak(state.nodes.get(spec.name), spec), capacity.steady(spec))
    if not total or not wanted:
        return ""
    others = sum(capacity.present(node) for node in state.nodes.values() if node.name != spec.name)
    reserve = max(LEAST_RESERVE, int(total * RESERVE))
    if wanted + others + reserve <= total:
        return ""
    return (
        f"{spec.name} may hold {_mebibytes(wanted)} at its peak (instances, spares and canaries), other "
        f"nodes {_mebibytes(others)}, the system {_mebibytes(reserve)}: more than the {_mebibytes(total)} of "
        "this host; lower [resources] memory, instances or spares"
    )


def _mebibytes(amount: int) -> str:
    return f"{amount / 1_048_576:,.0f} MiB"
