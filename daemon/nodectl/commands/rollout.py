"""`rollout`: status, watch, history; promote and abort."""

import time

from nodeapi.v1 import control_pb2 as pb
from nodectl.client import Client, OutOfTimeError
from nodectl.commands.effect import Reached, find, follow
from nodectl.commands.verbs import command
from nodectl.documents import document, write
from nodectl.failures import Exit, Failure
from nodectl.rollouts import ENDED, rollout_line, rollout_page, rollout_rows, versions, where
from nodectl.screen import Picture, note, say
from nodectl.session import Session
from nodectl.text import ago, duration

NEWS = 5.0
"""Seconds between two appended lines when only counts have changed."""


def status(session: Session, node: str) -> None:
    """The rollout under way, else the last one."""
    with Client(session) as client:
        found = client.node(f"show the rollout of {node}", node)
    rollout = found.rollout if found.HasField("rollout") else _last(found)
    if rollout is None:
        raise Failure(f"{node} has had no rollout", hint="nodectl apply DIR with a new version")
    if session.plain:
        say(*rollout_page(node, rollout))
    else:
        write(document(rollout), session.output)


def history(session: Session, node: str) -> None:
    with Client(session) as client:
        found = client.node(f"show the rollouts of {node}", node)
    past = _newest_first(found)
    if not session.plain:
        write([document(one) for one in past], session.output)
    elif past:
        say(*rollout_rows(past))
    else:
        say(f"{node} has had no rollout")


def watch(session: Session, node: str) -> Exit:
    """Until the rollout ends."""
    doing = f"watch the rollout of {node}"
    with Client(session) as client:
        found = client.node(doing, node)
        if not found.HasField("rollout"):
            raise _none_under_way(found)
        try:
            ended = _follow(client, session, doing, node, found.rollout.id)
        except OutOfTimeError as error:
            text = f"the rollout of {node} has not ended within {duration(session.timeout or 0.0)}"
            raise Failure(text, Exit.FAILED, f"nodectl rollout status {node}") from error
    if session.plain:
        say(f"{node} {versions(ended)}: {ended.phase}" + (f": {ended.reason}" if ended.reason else ""))
    return Exit.OK if ended.phase == "promoted" else Exit.FAILED


def promote(session: Session, node: str, now: bool, wait: bool) -> None:
    doing = f"promote the rollout of {node}"
    with Client(session) as client:
        before = client.node(doing, node).rollout

        def further(_: pb.WatchStatusResponse, found: pb.NodeStatus | None) -> bool:
            if found is None or not found.HasField("rollout") or found.rollout.id != before.id:
                return True
            if now:
                return found.rollout.phase in (*ENDED, "soak")
            return (found.rollout.phase, found.rollout.step) != (before.phase, before.step)

        verb = pb.VERB_FINISH if now else pb.VERB_PROMOTE
        _order(client, session, verb, doing, node, further if wait else None)


def abort(session: Session, node: str, wait: bool) -> None:
    def over(_: pb.WatchStatusResponse, found: pb.NodeStatus | None) -> bool:
        return found is None or not found.HasField("rollout") or found.rollout.phase in ENDED

    with Client(session) as client:
        doing = f"abort the rollout of {node}"
        _order(client, session, pb.VERB_ABORT, doing, node, over if wait else None)


def _order(
    client: Client, session: Session, verb: "pb.Verb", doing: str, node: str, reached: Reached | None
) -> None:
    answer = command(client, verb, doing, node)
    if session.plain:
        (note if reached else say)(answer.text or f"{doing}: accepted")
    update = None if reached is None else follow(client, session, doing, node, reached)
    if not session.plain:
        write(document(answer), session.output)
    elif update is not None:
        say(_result(find(update, node)) or f"{node}: the rollout is over")


def _result(found: pb.NodeStatus | None) -> str:
    rollout = None if found is None else found.rollout if found.HasField("rollout") else _last(found)
    if found is None or rollout is None:
        return ""
    return f"{found.name} {versions(rollout)}: {where(rollout)}"


def _follow(client: Client, session: Session, doing: str, node: str, identity: str) -> pb.RolloutStatus:
    """The rollout as it ended."""
    told, place = 0.0, ""
    with Picture(session.plain) as picture:
        away = "noded is away; the share stays as it is until its lease ends"
        for update in client.watch(doing, node, session.timeout, lambda: picture.remark(away)):
            rollout = _of(find(update, node), identity)
            if rollout is None:
                text = f"{doing}: the rollout is over, but noded does not say how it ended"
                raise Failure(text, hint=f"nodectl explain {node}")
            now, here = time.monotonic(), f"{where(rollout)} {rollout.reason}"
            if not session.plain:
                write(document(rollout), session.output, one_line=True)
            else:
                fresh = here != place or now - told >= NEWS
                _show(picture, node, rollout, fresh)
                told, place = (now, here) if fresh else (told, place)
            if rollout.phase in ENDED:
                return rollout
    raise Failure(f"{doing}: noded ended the call", Exit.NOT_REACHABLE, "systemctl status noded")


def _show(picture: Picture, node: str, rollout: pb.RolloutStatus, fresh: bool) -> None:
    heard = time.monotonic()
    picture.show(
        lambda: rollout_page(node, rollout, since=time.monotonic() - heard),
        [rollout_line(node, rollout)] if fresh else [],
    )


def _of(found: pb.NodeStatus | None, identity: str) -> pb.RolloutStatus | None:
    if found is None:
        return None
    if found.HasField("rollout") and found.rollout.id == identity:
        return found.rollout
    return next((one for one in found.past_rollouts if one.id == identity), None)


def _none_under_way(found: pb.NodeStatus) -> Failure:
    last = _last(found)
    text = f"no rollout of {found.name} is under way"
    if last is not None:
        text += f"; the last one, {versions(last)}, ended {ago(last.ended_at)}: {last.phase}"
    return Failure(text, hint=f"nodectl rollout history {found.name}")


def _last(found: pb.NodeStatus) -> pb.RolloutStatus | None:
    past = _newest_first(found)
    return past[0] if past else None


def _newest_first(found: pb.NodeStatus) -> list[pb.RolloutStatus]:
    return sorted(found.past_rollouts, key=lambda one: -one.started_at)
