"""Rollouts for the tests of nodectl, and how they go on."""

import time
from typing import Any

from nodeapi.v1 import control_pb2 as pb
from tests.fakes.control import Change, a_rollout


def at(**fields: Any) -> Change:
    """The rollout goes on to this."""

    def change(status: pb.GetStatusResponse) -> None:
        status.nodes[0].rollout.MergeFrom(pb.RolloutStatus(**fields))

    return change


def ends(phase: str, reason: str = "", kept: bool = False) -> Change:
    """Ends as noded shows it: with the past ones, or still in its place."""

    def change(status: pb.GetStatusResponse) -> None:
        node = status.nodes[0]
        node.rollout.MergeFrom(pb.RolloutStatus(phase=phase, reason=reason, ended_at=time.time()))
        if not kept:
            node.past_rollouts.append(node.rollout)
            node.ClearField("rollout")

    return change


def whole(rate: float = 10.5, **fields: Any) -> pb.RolloutStatus:
    """With all figures that noded tells."""
    now = time.time()
    made = a_rollout(**{"reason": "10%: the canary is ready", **fields})
    made.versions.add(
        version="1.4.0", ready=2, wanted=2, memory=31 * 2**20, rate=1234.4, p50=0.00125, p99=0.008
    )
    made.versions.add(version="1.5.0", ready=1, wanted=2, rate=rate, p99=2.0)
    made.signals.add(
        signal="errors",
        **{"canary": 1372, "canary_bad": 1, "stable": 12_345, "stable_bad": 3, "evidence": 0.412},
        weight=0.5,
    )
    made.signals.add(signal="events", canary=9, canary_bad=1)
    made.signals.add(signal="slow-99", canary=100, canary_bad=2, evidence=99.0, weight=0.125, limit=0.008)
    made.signals.add(signal="objective", canary=100, evidence=0.1, weight=0.1, limit=0.02)
    made.signals.add(signal="memory", limit=2 * 2**20)
    made.history.add(
        at=now - 200, phase="preparing", reason="waiting for the canary to be ready", by="uid 1000"
    )
    made.history.add(at=now - 12, phase="step", share=0.1, reason="10%: the canary is ready")
    return made
