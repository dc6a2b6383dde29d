"""`start`, `stop`, `restart`, `reload`, `remove`, `pause`, `resume`: an order, then its effect."""

from nodeapi.v1 import control_pb2 as pb
from nodectl.client import Client
from nodectl.commands.effect import Reached, follow
from nodectl.documents import document, write
from nodectl.failures import Failure
from nodectl.nodes import ORDERED, holding_file
from nodectl.screen import note, say
from nodectl.session import Session


def start(session: Session, node: str, wait: bool) -> None:
    _order(session, pb.VERB_START, f"start {node}", node, _condition("running") if wait else None, "runs")


def stop(session: Session, node: str, wait: bool) -> None:
    _order(session, pb.VERB_STOP, f"stop {node}", node, _condition("stopped") if wait else None, "is stopped")


def restart(session: Session, node: str, wait: bool) -> None:
    doing = f"restart {node}"
    with Client(session) as client:
        before = {one.id for one in client.node(doing, node).instances if one.role == "stable"}

    def renewed(_: pb.WatchStatusResponse, found: pb.NodeStatus | None) -> bool:
        if found is None or before & {one.id for one in found.instances}:
            return False
        # A rollout goes on beside it, for as long as it takes.
        there = [one.phase == "ready" for one in found.instances if one.role == "stable"]
        rolls = found.condition == "rolling out" and len(there) >= len(before) and all(there)
        return rolls or found.condition == "running"

    _order(session, pb.VERB_RESTART, doing, node, renewed if wait else None, "runs anew")


def reload(session: Session, node: str) -> None:
    """What a program does with the signal is its own affair: nothing is waited for."""
    _order(session, pb.VERB_RELOAD, f"reload {node}", node, None, "")


def remove(session: Session, node: str, wait: bool) -> None:
    def gone(_: pb.WatchStatusResponse, found: pb.NodeStatus | None) -> bool:
        return found is None

    _order(session, pb.VERB_REMOVE, f"remove {node}", node, gone if wait else None, "is gone")


def pause(session: Session, node: str, wait: bool) -> None:
    _order(
        session,
        pb.VERB_PAUSE,
        f"pause {node or 'this host'}",
        node,
        _paused(True) if wait else None,
        "is paused",
    )


def resume(session: Session, node: str, wait: bool) -> None:
    def goes_on(update: pb.WatchStatusResponse, found: pb.NodeStatus | None) -> bool:
        by = update.host.paused_by
        if not node and holding_file(by) and ORDERED not in by:
            raise Failure(f"this host stays paused: {by} is there", hint=f"rm {holding_file(by)}")
        return _paused(False)(update, found)

    reached = goes_on if wait else None
    _order(session, pb.VERB_RESUME, f"resume {node or 'this host'}", node, reached, "goes on")


def command(client: Client, verb: "pb.Verb", doing: str, node: str) -> pb.CommandResponse:
    request = pb.CommandRequest(verb=verb, node=node)
    answer: pb.CommandResponse = client.ask(doing, client.stub.Command, request, node)
    return answer


def _order(
    session: Session, verb: "pb.Verb", doing: str, node: str, reached: Reached | None, done: str
) -> None:
    with Client(session) as client:
        answer = command(client, verb, doing, node)
        if session.plain:
            (note if reached else say)(answer.text or f"{doing}: accepted")
        if reached is not None:
            _await(client, session, doing, node, reached)
    if not session.plain:
        write(document(answer), session.output)
    elif reached is not None:
        say(f"{node or 'this host'} {done}")


def _await(client: Client, session: Session, doing: str, node: str, reached: Reached) -> None:
    try:
        follow(client, session, doing, node, reached)
    except Failure as error:
        # A node that is gone cannot be watched: for remove that is the effect.
        if error.status != "NOT_FOUND" or not reached(pb.WatchStatusResponse(), None):
            raise


def _condition(wanted: str) -> Reached:
    return lambda _, node: node is not None and node.condition == wanted


def _paused(wanted: bool) -> Reached:
    return lambda update, node: (update.host.paused if node is None else node.paused) is wanted
