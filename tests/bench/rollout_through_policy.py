"""Do verdict and rollout policy together keep what the verdict alone promises?

Rollouts of equal versions through the whole of `noded.policy.decide`: every second all instances are read and
the proxy's counts come; a fuse that trips is told, and is up again when the policy has put it back.
"""

import random
from dataclasses import replace

from nodespec.manifest import RolloutPlan
from tests.bench.simulated_rollout import FUSE, OUTAGE, Ended, World, poisson
from tests.policy.build import rolling, spec

LONGEST = 1500
"""Seconds after which a rollout is left as it is: most are over, inconclusive ones hold without end."""
SOAK = 60.0
STABLE, CANARY = "shop.1", "shop.2"
MEMORY = {STABLE: 50_000_000, CANARY: 50_000_000}


def ended(world: World, dice: random.Random) -> Ended:
    old = replace(spec(), rollout=RolloutPlan(soak=SOAK))
    core = rolling(old, replace(old, version="1.1"))
    began = core.at
    outage = began + dice.random() * world.outage_at[1] if world.outage else -OUTAGE
    counts = {STABLE: [0, 0], CANARY: [0, 0]}
    fuses = row = 0
    for _ in range(LONGEST):
        failing = outage <= core.at < outage + OUTAGE
        ratios = (world.outage, world.outage) if failing else (world.stable, world.canary)
        _answer(counts[STABLE], world.rate * (1.0 - core.rollout.share), ratios[0], dice)
        row = _answer(counts[CANARY], world.rate * core.rollout.share, ratios[1], dice, row, FUSE)
        core.at += 1.0
        told = {name: (asked, bad) for name, (asked, bad) in counts.items()}
        core.count(told, down=[CANARY] if row == FUSE else [])
        if row == FUSE:
            fuses, row = fuses + 1, 0
            if not core.rollout.ended and core.instance(CANARY).raised == fuses:
                core.at += 0.2
                core.count(told)
        core.tick(0.0, memory=MEMORY)
        core.done.clear()
        if core.rollout.ended:
            break
    rollout = core.rollout
    how = str(rollout.stage) if rollout.ended else "inconclusive"
    return Ended(how, core.at - began, max(0, rollout.at_step), counts[CANARY][1], fuses, 0)


def _answer(
    counts: list[int], rate: float, ratio: float, dice: random.Random, row: int = 0, fuse: int = -1
) -> int:
    """The requests of one second, until the fuse trips; how many errors there are in a row."""
    for _ in range(poisson(rate, 1, dice)[0]):
        bad = dice.random() < ratio
        counts[0] += 1
        counts[1] += bad
        row = row + 1 if bad else 0
        if row == fuse:
            break
    return row
