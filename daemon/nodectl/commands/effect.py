"""How does a verb wait until what it ordered has come true?

Progress goes to stderr, one line per change; the result goes to stdout.
"""

from collections.abc import Callable

from nodeapi.v1 import control_pb2 as pb
from nodectl.client import Client, OutOfTimeError
from nodectl.failures import Failure
from nodectl.screen import AWAY, note
from nodectl.session import Session
from nodectl.text import duration

Reached = Callable[[pb.WatchStatusResponse, "pb.NodeStatus | None"], bool]
"""Has it come true? The node is None when noded does not know it (any more)."""


def follow(
    client: Client, session: Session, doing: str, node: str, reached: Reached
) -> pb.WatchStatusResponse:
    """Raises Failure when it has not come true in the session's time."""
    said = ""
    updates = client.watch(doing, node, session.effect, away=lambda: note(AWAY))
    try:
        for update in updates:
            found = find(update, node)
            if reached(update, found):
                return update
            line = _progress(found)
            if line and line != said:
                note(f"{node}: {line}")
                said = line
    except OutOfTimeError:
        pass
    finally:
        updates.close()
    after = f"has not come true within {duration(session.effect)}"
    hint = f"nodectl describe {node}, or nodectl logs {node}" if node else "nodectl status"
    raise Failure(f"{doing}: accepted, but it {after}" + (f"; {node} is {said}" if said else ""), hint=hint)


def find(update: pb.WatchStatusResponse, node: str) -> pb.NodeStatus | None:
    return next((one for one in update.nodes if one.name == node), None)


def _progress(node: pb.NodeStatus | None) -> str:
    if node is None:
        return ""
    return node.condition + (f" ({node.detail})" if node.detail else "")


def running(update: pb.WatchStatusResponse, node: pb.NodeStatus | None) -> bool:
    return node is not None and node.condition == "running"


def stopped(update: pb.WatchStatusResponse, node: pb.NodeStatus | None) -> bool:
    return node is not None and node.condition == "stopped"


def gone(update: pb.WatchStatusResponse, node: pb.NodeStatus | None) -> bool:
    return node is None
