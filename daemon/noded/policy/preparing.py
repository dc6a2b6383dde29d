"""Has what must run before a release been run?"""

from dataclasses import replace

from noded.model.actions import Action, Prepare
from noded.model.inputs import ActionFailed, Prepared
from noded.model.release import Release
from noded.model.state import NodeState
from noded.policy import crashes, rollout
from nodespec.manifest import NodeSpec

KEPT = 50
"""Releases remembered as prepared."""


def ready(node: NodeState, spec: NodeSpec, release: Release, actions: list[Action]) -> tuple[NodeState, bool]:
    """Whether an instance of the release may start; asks for the preparation when nobody has."""
    if not spec.before or release.digest in node.prepared:
        return node, True
    if not node.preparing:
        why = f"{release.version} starts for the first time: {len(spec.before)} commands come before"
        actions.append(Prepare(node.name, release.digest, release.version, why))
        node = replace(node, preparing=release.digest)
    return node, False


def on_prepared(node: NodeState, fact: Prepared) -> tuple[NodeState, tuple[Action, ...]]:
    if node.preparing != fact.digest:
        return node, ()
    node = replace(node, preparing="")
    candidate = node.rollout if node.rolling_out and node.rollout else None
    of_candidate = candidate is not None and candidate.release.digest == fact.digest
    if not fact.problem:
        if candidate is not None and of_candidate:
            # The time its canary has to become ready begins now.
            node = replace(node, rollout=replace(candidate, since=fact.at))
        return replace(node, prepared=(*node.prepared, fact.digest)[-KEPT:]), ()
    if of_candidate:
        return rollout.roll_back(node, fact.problem, fact.at)
    return crashes.count_attempt(node, fact.problem, fact.at), ()


def on_failed(node: NodeState, fact: ActionFailed) -> tuple[NodeState, tuple[Action, ...]]:
    """It could not even be run, or took too long."""
    if fact.kind == "Unavailable":
        return crashes.wait(replace(node, preparing=""), fact.cause, fact.at), ()
    return on_prepared(node, Prepared(fact.at, fact.node, node.preparing, fact.cause))
