"""What does noded still do while the disk of its state folder is full? It keeps processes alive, no more."""

from dataclasses import replace

from noded.model.inputs import DiskFilled
from noded.model.state import HostState


def on_filled(state: HostState, fact: DiskFilled) -> HostState:
    """As paused: restarts, spares and routes go on; healing waits, rollouts move only backwards."""
    return replace(state, full=fact.cause, journaled=state.journaled and fact.journaled)


def on_freed(state: HostState) -> HostState:
    return replace(state, full="", journaled=True)


def refusal(state: HostState, what: str) -> str:
    return f"{what}: the disk is full, and until it has room noded only keeps processes alive: {state.full}"
