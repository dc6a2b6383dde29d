"""What follows when a person orders something of a rollout, and when is it refused?"""

from dataclasses import replace

from noded.model.actions import Action, Note
from noded.model.conflict import Conflict
from noded.model.inputs import ApplyRequested, CommandRequested
from noded.model.release import Release
from noded.model.rollout import Rollout, Stage, percent, ran
from noded.model.state import Backoff, Desired, HostState, NodeState
from noded.policy import conflicts, guards, rollout
from nodespec.manifest import NodeSpec

Outcome = tuple[NodeState, tuple[Action, ...], str]
"""The node, what is to be done, and the answer in words."""


class Refusal(Exception):
    """The order makes no sense now; the text says why and what would."""


class Conflicted(Refusal):
    """What it brings back would break what is here now."""

    def __init__(self, text: str, known: tuple[Conflict, ...]) -> None:
        super().__init__(text)
        self.known = known


def on_order(node: NodeState, state: HostState, fact: CommandRequested) -> Outcome:
    match fact.verb:
        case "retry":
            return _retry(node, state, fact)
        case "rollback":
            return _rollback(node, state, fact)
        case _:
            return _under_way(node, fact)


def _under_way(node: NodeState, fact: CommandRequested) -> Outcome:
    held = node.rollout
    if held is None or held.ended:
        raise Refusal(f"no rollout of {node.name} is under way: nodectl rollout history {node.name}")
    match fact.verb:
        case "abort":
            node, actions = rollout.roll_back(node, f"{fact.by} aborted it", fact.at, fact.by)
            return node, actions, "the rollout was aborted"
        case "hold" | "continue" if held.frozen:
            raise Refusal(
                f"{held.release.version} stays frozen at {percent(held.share)} until a person promotes or"
                f" aborts it: nodectl rollout abort {node.name}"
            )
        case "hold":
            return _held(node, held, fact, True)
        case "continue":
            return _held(node, held, fact, False)
        case _:
            return _pushed(node, held, fact)


def _held(node: NodeState, held: Rollout, fact: CommandRequested, hold: bool) -> Outcome:
    share, version = percent(held.share), held.release.version
    text = (
        f"{version} stays at {share} until nodectl rollout resume {node.name}; harm still ends it"
        if hold
        else f"the rollout of {version} goes on from {share}"
    )
    if held.paused == hold:
        return node, (), f"nothing changes: {text}"
    reason = f"{fact.by} {'holds it' if hold else 'lets it go on'} at {share}"
    now = rollout.moved(replace(held, paused=hold), fact.at, reason, fact.by)
    return replace(node, rollout=now), (), text


def _pushed(node: NodeState, held: Rollout, fact: CommandRequested) -> Outcome:
    finish = fact.verb == "finish"
    text = f"{held.release.version} is promoted " + ("to the end" if finish else "by one step")
    pushed = replace(held, hurry="" if finish else fact.by, finish=fact.by if finish else "")
    waits = guards.unprepared(node, pushed, "yet") if held.now is None else ""
    if waits:
        raise Refusal(f"nothing to promote, {waits}: nodectl rollout status {node.name}")
    return replace(node, rollout=pushed), (), text


def _retry(node: NodeState, state: HostState, fact: CommandRequested) -> Outcome:
    last = _idle(node)
    if last is None or last.stage is not Stage.ROLLED_BACK:
        raise Refusal(
            f"the last rollout of {node.name} was not rolled back: nodectl rollout history {node.name}"
        )
    if last.release.digest == node.release.digest:
        raise Refusal(f"{node.name} runs {last.release.version} already")
    return _begun(node, state, fact, last.spec, last.release, direct=False)


def _rollback(node: NodeState, state: HostState, fact: CommandRequested) -> Outcome:
    """Back from a rollout under way at once; else to a release that ran before, beside what runs."""
    held = node.rollout
    if held is not None and not held.ended:
        if fact.version and fact.version != held.from_version:
            raise Refusal(
                f"a rollout of {node.name} to {held.release.version} is under way: it goes back to"
                f" {held.from_version} only, end it first: nodectl rollout abort {node.name}"
            )
        node, actions = rollout.roll_back(node, f"{fact.by} ordered rollback", fact.at, fact.by)
        return node, actions, f"{node.name} is back at {held.from_version}"
    spec, release = _before(node, fact.version)
    return _begun(node, state, fact, spec, release, direct=True)


def _before(node: NodeState, version: str) -> tuple[NodeSpec, Release]:
    known = ran(node.past_rollouts)
    if not version and node.led_here is not None:
        version = node.led_here.from_version
    if not version:
        raise Refusal(f"no release of {node.name} ran before this one: nodectl releases {node.name}")
    if version == node.release.version:
        raise Refusal(f"{node.name} runs {version} already")
    if version not in known or node.version(version) is None:
        there = ", ".join(v for v in known if v != node.release.version and node.version(v)) or "none"
        raise Refusal(
            f"{node.name} has no release {version} that ran here and is still kept; there are: {there}"
        )
    return known[version]


def _idle(node: NodeState) -> Rollout | None:
    if node.rolling_out and node.rollout is not None:
        raise Refusal(
            f"a rollout of {node.name} to {node.rollout.release.version} is under way:"
            f" nodectl rollout abort {node.name}"
        )
    return node.past_rollouts[-1] if node.past_rollouts else None


def _begun(
    node: NodeState,
    state: HostState,
    fact: CommandRequested,
    spec: NodeSpec,
    release: Release,
    *,
    direct: bool,
) -> Outcome:
    if node.desired is not Desired.RUNNING:
        raise Refusal(f"{node.name} is to be {node.desired}: nodectl start {node.name}")
    unlike = rollout.replaced(node.spec, spec)
    if unlike:
        raise Refusal(f"{node.name} {release.version} {unlike}: apply it again from its folder")
    known = _checked(node, state, fact, spec, release)
    # What it comes back for may crash all the time: it does not wait for the pauses of that.
    node = replace(node, backoff=Backoff())
    node = rollout.begin(node, spec, release, fact.by, fact.at, forced=known, direct=direct)
    steps = "takes all as soon as it is ready" if direct else "rolls out again"
    why = f"{fact.by} went on with {release.version} although {known}"
    told = (Note(node.name, f"{node.name}-r{node.rollouts}", why),) if known else ()
    return node, told, f"{release.version} starts beside {node.release.version} and {steps}"


def _checked(
    node: NodeState, state: HostState, fact: CommandRequested, spec: NodeSpec, release: Release
) -> str:
    """What a person knew of and went on. Other nodes may have come to rely on what this release lacks."""
    wanted = ApplyRequested(fact.at, fact.request, spec, release, schemas=fact.schemas, force=fact.force)
    known = conflicts.found(state, node, wanted)
    stopped = conflicts.stopped(wanted, known)
    if stopped:
        raise Conflicted(stopped, known)
    return conflicts.forced(wanted, known)
