"""`rollout promote`, `abort`, `pause`, `resume`, `retry`, `rollback`: an order, then its effect."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nodeapi.v1 import control_pb2 as pb
from nodectl.client import Client
from nodectl.commands.effect import Reached, find, follow
from nodectl.documents import document, write
from nodectl.failures import Exit, Failure
from nodectl.rollouts import ENDED, last_of, under_way, versions, where
from nodectl.screen import note, say
from nodectl.session import Session

Condition = Callable[["pb.RolloutStatus | None"], bool]
"""Of the rollout under way; None when there is none."""


def promote(session: Session, node: str, now: bool, wait: bool) -> None:
    doing = f"promote the rollout of {node}"
    with Client(session) as client:
        before = client.node(doing, node).rollout

        def further(rollout: pb.RolloutStatus | None) -> bool:
            if rollout is None or rollout.id != before.id:
                return True
            if now:
                return rollout.phase in ENDED or (rollout.phase == "soak" != before.phase)
            return (rollout.phase, rollout.step) != (before.phase, before.step)

        verb = pb.VERB_FINISH if now else pb.VERB_PROMOTE
        _order(client, session, verb, doing, node, _until(further, wait))


def abort(session: Session, node: str, wait: bool) -> None:
    with Client(session) as client:
        doing = f"abort the rollout of {node}"
        _order(client, session, pb.VERB_ABORT, doing, node, _until(_over, wait))


def pause(session: Session, node: str, wait: bool) -> None:
    with Client(session) as client:
        doing = f"pause the rollout of {node}"
        _order(client, session, pb.VERB_HOLD, doing, node, _until(lambda one: one is None or one.held, wait))


def resume(session: Session, node: str, wait: bool) -> None:
    with Client(session) as client:
        doing = f"resume the rollout of {node}"
        goes_on = _until(lambda one: one is None or not one.held, wait)
        _order(client, session, pb.VERB_CONTINUE, doing, node, goes_on)


def retry(session: Session, node: str, wait: bool, force: bool) -> None:
    doing = f"retry the rollout of {node}"
    with Client(session) as client:
        before = _newest(client.node(doing, node))

        def begun(_: pb.WatchStatusResponse, found: pb.NodeStatus | None) -> bool:
            return found is None or _newest(found) != before

        request = pb.CommandRequest(verb=pb.VERB_RETRY, node=node, force=force)
        with _conflicts(f"nodectl rollout retry {node} --force"):
            found = _asked(client, session, doing, request, begun if wait else None)
    if session.plain and under_way(found) is not None:
        note(f"watch it: nodectl rollout watch {node}")


def rollback(session: Session, node: str, version: str, wait: bool, force: bool) -> None:
    """Waits until the version that is returned to has all requests; what it took them from stays warm."""
    doing = f"roll {node} back" + (f" to {version}" if version else "")
    with Client(session) as client:
        before = client.node(doing, node)
        known, ends = _newest(before), under_way(before) is not None

        def back(_: pb.WatchStatusResponse, found: pb.NodeStatus | None) -> bool:
            now = under_way(found)
            if found is None or now is not None:
                return now is None or (now.id != known and now.phase == "soak")
            return ends or _newest(found) != known

        request = pb.CommandRequest(verb=pb.VERB_ROLLBACK, node=node, version=version, force=force)
        with _conflicts(" ".join(filter(None, ("nodectl rollout rollback", node, version, "--force")))):
            found = _asked(client, session, doing, request, back if wait else None)
    last = last_of(found) if found is not None else None
    if last is not None and last.id != known and last.phase != "promoted":
        raise Failure(
            f"{doing}: {last.phase}: {last.reason}", hint=f"nodectl rollout history {node} {last.id}"
        )


def _until(condition: Condition, wait: bool) -> Reached | None:
    def reached(_: pb.WatchStatusResponse, found: pb.NodeStatus | None) -> bool:
        return condition(under_way(found))

    return reached if wait else None


def _over(rollout: pb.RolloutStatus | None) -> bool:
    return rollout is None or rollout.phase in ENDED


def _newest(found: pb.NodeStatus) -> str:
    """Of the node's rollouts, whether it is under way or not."""
    newest = under_way(found) or last_of(found)
    return newest.id if newest else ""


def _order(
    client: Client,
    session: Session,
    verb: "pb.Verb",
    doing: str,
    node: str,
    reached: Reached | None,
) -> None:
    _asked(client, session, doing, pb.CommandRequest(verb=verb, node=node), reached)


@contextmanager
def _conflicts(forced: str) -> Iterator[None]:
    """Of the release that it brings back, with the command that goes on all the same where one does."""
    try:
        yield
    except Failure as failure:
        if failure.code is Exit.DIFFERENCES and "--force does not help" not in failure.text:
            failure.hint = f"{forced}, if you know that it is right"
        raise


def _asked(
    client: Client, session: Session, doing: str, request: pb.CommandRequest, reached: Reached | None
) -> pb.NodeStatus | None:
    """The node when the order had come true; None when that was not waited for."""
    node = request.node
    answer = client.ask(doing, client.stub.Command, request, node)
    if session.plain:
        (note if reached else say)(answer.text or f"{doing}: accepted")
    update = None if reached is None else follow(client, session, doing, node, reached)
    found = None if update is None else find(update, node)
    if not session.plain:
        write(document(answer), session.output)
    elif update is not None:
        say(_result(found) or f"{node}: the rollout is over")
    return found


def _result(found: pb.NodeStatus | None) -> str:
    rollout = None if found is None else under_way(found) or last_of(found)
    if found is None or rollout is None:
        return ""
    return f"{found.name} {versions(rollout)}: {where(rollout)}"
