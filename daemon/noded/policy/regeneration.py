"""What becomes of a version that a machine wrote?

A candidate is only ever a release that is rolled out like any other; it is never installed.
"""

from dataclasses import replace

from noded.model.actions import Action, RecordRelease
from noded.model.incident import Incident, Stage, Tried, Verdict
from noded.model.inputs import ActionFailed, CandidateProposed, RegenerationFailed
from noded.model.state import NodeState
from noded.policy import rollout
from noded.policy.healing import close_rung
from nodespec.manifest import NodeSpec, Rung

Outcome = tuple[NodeState, tuple[Action, ...]]

MANIFEST = (
    "name",
    "run",
    "user",
    "env",
    "serves",
    "resources",
    "publishes",
    "consumes",
    "calls",
    "objectives",
)
"""What a machine does not change: what the node may do, and what others rely on."""


def on_proposed(node: NodeState, fact: CandidateProposed) -> Outcome:
    now = _waiting_for(node, fact.incident)
    if now is None or now.attempt is None:
        return node, ()
    objection = _objection(node, fact)
    node = _reported(node, replace(now, report=fact.report))
    if objection:
        return close_rung(node, Verdict.FAILED, objection, fact.at), ()
    detail = f"{fact.report.generator} proposed {fact.release.version}, {fact.report.diff_lines} lines"
    seconds = fact.at - now.attempt.started_at
    tried = Tried(Rung.REGENERATE, Verdict.PROPOSED, fact.at, seconds, 0, 0.0, detail)
    rolling = replace(
        now,
        report=fact.report,
        attempt=None,
        tried=(*now.tried, tried),
        stage=Stage.ROLLING_OUT,
        since=fact.at,
    )
    node = replace(_reported(node, rolling), releases=(*node.releases, fact.release))
    node = rollout.begin(node, fact.spec, fact.release, fact.release.origin, fact.at)
    release = fact.release
    record = RecordRelease(
        node.name, release.version, release.digest, release.origin, release.signature, detail
    )
    return node, (record,)


def on_failed(node: NodeState, fact: RegenerationFailed) -> NodeState:
    now = _waiting_for(node, fact.incident)
    if now is None:
        return node
    node = _reported(node, replace(now, report=fact.report))
    return close_rung(node, Verdict.FAILED, fact.report.reason, fact.at)


def on_record_failed(node: NodeState, fact: ActionFailed) -> Outcome:
    """The registry would not take the candidate's release: what is not on record is not rolled out."""
    return rollout.roll_back(node, f"its release could not be recorded: {fact.cause}", fact.at)


def _waiting_for(node: NodeState, incident: str) -> Incident | None:
    now = node.healing.now
    if now is None or now.id != incident or now.attempt is None or now.attempt.rung is not Rung.REGENERATE:
        return None
    return now


def _objection(node: NodeState, fact: CandidateProposed) -> str:
    """Why a candidate that passed its gates is still not rolled out."""
    if node.rolling_out:
        return "another rollout began meanwhile"
    if node.version(fact.release.version) is not None:
        return f"version {fact.release.version} exists already"
    changed = [key for key in MANIFEST if _differs(node.spec, fact.spec, key)]
    if changed:
        return f"the candidate changes the manifest: {', '.join(changed)}"
    return ""


def _differs(before: NodeSpec, after: NodeSpec, key: str) -> bool:
    return bool(getattr(before, key) != getattr(after, key))


def _reported(node: NodeState, incident: Incident) -> NodeState:
    return replace(node, healing=replace(node.healing, now=incident))
