"""`validate`, `plan`, `apply`: a node's folder is checked, compared, brought in."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.text import Text

from nodeapi.v1 import control_pb2 as pb
from nodectl.changes import rows
from nodectl.client import Client
from nodectl.commands.effect import find, follow
from nodectl.conflicts import IMPOSSIBLE, conflict_lines, end_of_plan, refused, stopping
from nodectl.documents import document, write
from nodectl.doubts import tell
from nodectl.environment import made, requirements_of
from nodectl.failures import Exit, Failure
from nodectl.memory import memory_rows
from nodectl.screen import columns, note, say
from nodectl.session import Session
from nodectl.text import amount, size
from nodespec.environment import Files
from nodespec.release import Packed, ReleaseError, pack

CHUNK = 64 * 1024


def validate(session: Session, directory: Path) -> None:
    """Offline."""
    packed = read_folder(directory, "validate")
    spec = packed.spec
    tell(directory, spec)
    _, wheels = requirements_of(directory, spec)
    if not session.plain:
        found = {"files": packed.files, "size": packed.size, "wheels": len(wheels)}
        # with its wheels it gets another name, and they are not unpacked here
        digest = {} if wheels else {"digest": packed.digest}
        write({"node": spec.name, "version": spec.version, **digest, **found}, session.output)
        return
    more = f", {amount(len(wheels), 'wheel')} to be unpacked" if wheels else ""
    say(f"{spec.name} {spec.version} is valid: {amount(packed.files, 'file')}, {size(packed.size)}{more}")


def plan(session: Session, directory: Path, python: str = "") -> Exit:
    packed = _whole(directory, "plan", python)
    with Client(session) as client:
        answer = _send(client, session, "plan", packed, plan_only=True)
        status = client.status("plan") if session.plain and answer.effect != pb.EFFECT_NONE else None
    if session.plain:
        memory = memory_rows(packed.spec, answer, status) if status else ()
        say(*_plan(answer, memory), *conflict_lines(answer), *end_of_plan(answer))
    else:
        write(document(answer), session.output)
    return Exit.OK if answer.effect == pb.EFFECT_NONE else Exit.DIFFERENCES


def apply(
    session: Session,
    directory: Path,
    wait: bool,
    python: str = "",
    force: bool = False,
    supersede: bool = False,
) -> None:
    packed = _whole(directory, "apply", python)
    with Client(session) as client:
        answer = _applied(client, session, packed, directory, force, supersede)
        if session.plain:
            say(*_plan(answer), *conflict_lines(answer, gone_on=True))
        if wait and answer.effect == pb.EFFECT_CREATE:
            doing = f"apply {answer.node} {answer.to_version}"
            follow(client, session, doing, answer.node, lambda _, node: _runs(node, answer.to_version))
            note(f"{answer.node} {answer.to_version} runs")
        elif answer.effect == pb.EFFECT_ROLLOUT:
            if wait:
                _await_rollout(client, session, answer)
            note(f"a rollout has begun; watch it: nodectl rollout watch {answer.node}")
        elif answer.effect == pb.EFFECT_REPLACE:
            _replaced(client, session, answer, wait)
    if not session.plain:
        write(document(answer), session.output)


def _applied(
    client: Client, session: Session, packed: Packed, directory: Path, force: bool, supersede: bool
) -> pb.ApplyResponse:
    """A refusal is one sentence; when conflicts are its reason, a plan tells them all."""
    try:
        return _send(client, session, "apply", packed, False, force, supersede)
    except Failure as failure:
        if failure.status != "ABORTED":
            raise
        try:
            answer = _send(client, session, "apply", packed, plan_only=True)
        except Failure:
            raise failure from None
        if not stopping(answer) and not answer.lost:
            raise
        if not session.plain:
            write(document(answer), session.output)
        raise refused("apply", _left(answer, force, supersede), str(directory)) from None


def _left(answer: pb.ApplyResponse, force: bool, supersede: bool) -> pb.ApplyResponse:
    """Without what the person knew of: it is not the reason."""
    hard = [one for one in stopping(answer) if not force or one.kind in IMPOSSIBLE]
    lost = "" if supersede and hard else answer.lost
    return pb.ApplyResponse(
        node=answer.node,
        from_version=answer.from_version,
        to_version=answer.to_version,
        conflicts=hard,
        lost=lost,
    )


def _await_rollout(client: Client, session: Session, answer: pb.ApplyResponse) -> None:
    """Until the new version gets its first share; a version that does not even start fails here."""

    def begun(_: pb.WatchStatusResponse, node: pb.NodeStatus | None) -> bool:
        return node is None or not node.HasField("rollout") or node.rollout.phase != "preparing"

    doing = f"apply {answer.node} {answer.to_version}"
    found = find(follow(client, session, doing, answer.node, begun), answer.node)
    past = [one for one in found.past_rollouts if one.to_version == answer.to_version] if found else []
    if found is None or found.HasField("rollout") or not past:
        return
    last = max(past, key=lambda one: one.started_at)
    if last.phase != "promoted":
        text = f"{answer.node} {answer.to_version} was {last.phase}: {last.reason}"
        canary = re.search(rf"\b{re.escape(answer.node)}\.\d+", last.reason)
        told = f"nodectl logs {canary[0]}, and " if canary else ""
        raise Failure(text, Exit.FAILED, f"{told}nodectl explain {answer.node}")


def _replaced(client: Client, session: Session, answer: pb.ApplyResponse, wait: bool) -> None:
    """A stopped node only changes its version; one that runs gets instances of the new one at once."""
    name, version = answer.node, answer.to_version
    doing = f"apply {name} {version}"
    if client.node(doing, name).condition in ("stopped", "stopping"):
        note(f"{name} is stopped; start it: nodectl start {name}")
    elif wait:
        follow(client, session, doing, name, lambda _, node: _runs(node, version) and _renewed(node, version))
        note(f"{name} {version} runs")


def _renewed(node: pb.NodeStatus | None, version: str) -> bool:
    return node is not None and all(one.version == version for one in node.instances)


def _runs(node: pb.NodeStatus | None, version: str) -> bool:
    return node is not None and node.condition == "running" and node.version == version


def _whole(directory: Path, verb: str, python: str) -> Packed:
    """With the wheels it requires. Comes before any channel: pip is started by a fork."""
    packed = read_folder(directory, verb)
    tell(directory, packed.spec)
    files = made(directory, packed.spec, python)
    return read_folder(directory, verb, files) if files else packed


def read_folder(directory: Path, verb: str, files: Files | None = None) -> Packed:
    """`files` are what is made for the release; what lies in its place in the folder is nobody's."""
    try:
        return pack(directory, files or {})
    except ReleaseError as error:
        what = str(error) if verb == "validate" else f"cannot {verb} {directory}:\n{error}"
        raise Failure(
            what, Exit.USAGE, f"nodectl validate {directory}" if verb != "validate" else ""
        ) from None


def _send(
    client: Client,
    session: Session,
    verb: str,
    packed: Packed,
    plan_only: bool,
    force: bool = False,
    supersede: bool = False,
) -> pb.ApplyResponse:
    header = pb.ApplyHeader(plan_only=plan_only, size=len(packed.blob), force=force, supersede=supersede)
    doing = f"{verb} {packed.spec.name} {packed.spec.version}"
    answer: pb.ApplyResponse = client.ask(
        doing, client.stub.Apply, _parts(packed, header), packed.spec.name, session.effect
    )
    return answer


def _parts(packed: Packed, header: pb.ApplyHeader) -> Iterator[pb.ApplyRequest]:
    yield pb.ApplyRequest(header=header)
    for start in range(0, len(packed.blob), CHUNK):
        yield pb.ApplyRequest(chunk=packed.blob[start : start + CHUNK])


def _plan(answer: pb.ApplyResponse, memory: Sequence[Text] = ()) -> list[str | Text]:
    """`memory` is what its sum is made of, and stands in its place."""
    lines: list[str | Text] = [answer.text or _in_words(answer)]
    if answer.changes:
        lines += columns(("KEY", "BEFORE", "AFTER"), rows(answer.changes), indent=2)
    lines += memory
    if answer.peak_memory and answer.effect != pb.EFFECT_NONE and not memory:
        lines.append(f"  its instances may hold up to {size(answer.peak_memory)} together meanwhile")
    return lines


def _in_words(answer: pb.ApplyResponse) -> str:
    node, old, new = answer.node, answer.from_version, answer.to_version
    match answer.effect:
        case pb.EFFECT_NONE:
            return f"{node} {new}: no changes"
        case pb.EFFECT_CREATE:
            return f"{node} {new}: a new node"
        case pb.EFFECT_ROLLOUT:
            return f"{node}: a rollout from {old} to {new}"
        case _:
            return f"{node}: {new} in the place of {old}"
