"""`rollout status`, `watch` and `history`: how it goes, and how it went."""

import time

from nodeapi.v1 import control_pb2 as pb
from nodectl.client import Client, OutOfTimeError
from nodectl.commands.effect import find
from nodectl.documents import document, write
from nodectl.failures import Exit, Failure
from nodectl.rollouts import (
    ENDED,
    all_of,
    last_of,
    rollout_line,
    rollout_page,
    rollout_rows,
    story,
    under_way,
    versions,
    where,
)
from nodectl.screen import Picture, say
from nodectl.session import Session
from nodectl.text import ago, duration

NEWS = 5.0
"""Seconds between two appended lines when only counts have changed."""


def status(session: Session, node: str) -> None:
    """The rollout under way, else the last one."""
    with Client(session) as client:
        found = client.node(f"show the rollout of {node}", node)
    rollout = under_way(found) or last_of(found)
    if rollout is None:
        raise Failure(f"{node} has had no rollout", hint="nodectl apply DIR with a new version")
    if session.plain:
        say(*rollout_page(node, rollout))
    else:
        write(document(rollout), session.output)


def history(session: Session, node: str, identity: str) -> None:
    """All rollouts that noded remembers, or one of them from its beginning."""
    with Client(session) as client:
        known = all_of(client.node(f"show the rollouts of {node}", node))
    if identity:
        _one(session, node, identity, known)
    elif not session.plain:
        write([document(one) for one in known], session.output)
    elif known:
        say(*rollout_rows(known))
    else:
        say(f"{node} has had no rollout")


def _one(session: Session, node: str, identity: str, known: list[pb.RolloutStatus]) -> None:
    found = next((one for one in known if one.id == identity), None)
    if found is None:
        text = f"{node} has no rollout {identity}; noded remembers the newest ones"
        raise Failure(text, hint=f"nodectl rollout history {node}")
    if session.plain:
        say(*story(node, found))
    else:
        write(document(found), session.output)


def watch(session: Session, node: str) -> Exit:
    """Until the rollout ends."""
    doing = f"watch the rollout of {node}"
    with Client(session) as client:
        found = client.node(doing, node)
        now = under_way(found)
        if now is None:
            raise _none_under_way(found)
        try:
            ended = _follow(client, session, doing, node, now.id)
        except OutOfTimeError as error:
            text = f"the rollout of {node} has not ended within {duration(session.timeout or 0.0)}"
            raise Failure(text, Exit.FAILED, f"nodectl rollout status {node}") from error
    if session.plain:
        say(f"{node} {versions(ended)}: {ended.phase}" + (f": {ended.reason}" if ended.reason else ""))
    return Exit.OK if ended.phase == "promoted" else Exit.FAILED


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
                moved = here != place
                lines = [rollout_line(node, rollout, moved)] if moved or now - told >= NEWS else []
                _show(picture, node, rollout, lines)
                told, place = (now, here) if lines else (told, place)
            if rollout.phase in ENDED:
                return rollout
    raise Failure(f"{doing}: noded ended the call", Exit.NOT_REACHABLE, "systemctl status noded")


def _show(picture: Picture, node: str, rollout: pb.RolloutStatus, lines: list[str]) -> None:
    heard = time.monotonic()
    picture.show(lambda: rollout_page(node, rollout, since=time.monotonic() - heard), lines)


def _of(found: pb.NodeStatus | None, identity: str) -> pb.RolloutStatus | None:
    if found is None:
        return None
    if found.HasField("rollout") and found.rollout.id == identity:
        return found.rollout
    return next((one for one in found.past_rollouts if one.id == identity), None)


def _none_under_way(found: pb.NodeStatus) -> Failure:
    last = last_of(found)
    text, history = f"no rollout of {found.name} is under way", f"nodectl rollout history {found.name}"
    if last is None:
        return Failure(text, hint=history)
    text += f"; the last one, {versions(last)}, ended {ago(last.ended_at)}: {last.phase}"
    return Failure(text + (f": {last.reason}" if last.reason else ""), hint=f"{history} {last.id}")
