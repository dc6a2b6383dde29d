"""How often does the shipped verdict err in thousands of rollouts, and how soon does it find what is worse?

Requests come by chance, ten a second unless said. `python -m tests.bench.rollout_sim [rounds [seed]]` prints
the table alone.
"""

import math
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from statistics import median

from tests.bench import rollout_through_policy
from tests.bench.simulated_rollout import Ended, Rollout, World

EQUAL = (
    World("both fail never", 0.0, 0.0),
    World("both fail 0.5 %", 0.005, 0.005),
    World("both fail 5 %", 0.05, 0.05),
    World("both fail 0.5 %, and 30 % for 2 min", 0.005, 0.005, outage=0.3),
)
TOLD = World("both fail 0.5 %, with status, answer times, promise", 0.005, 0.005, told=True)
SOAKED = World(
    "both fail 0.5 %, and 30 % for 2 min of the soak", 0.005, 0.005, outage=0.3, outage_at=("soak", 400.0)
)
WORSE = (
    World("0 % to 1 %", 0.0, 0.01),
    World("0.5 % to 1.5 %", 0.005, 0.015),
    World("5 % to 6 %", 0.05, 0.06),
)
REGRESSION = World("0.5 % to 5 %", 0.005, 0.05)
OTHERS = (
    World("0 % to 100 %, 1 request a second", 0.0, 1.0, rate=1.0),
    World("0.5 % to 100 %", 0.005, 1.0),
    World("0.5 % to 20 %", 0.005, 0.2),
    World("0.5 % to 2 %", 0.005, 0.02),
)


# Many rollouts


def ended(world: World, seed: int, number: int) -> Ended:
    return Rollout(world, random.Random(f"{seed} {world.name} {number}")).run()


def ended_through_policy(world: World, seed: int, number: int) -> Ended:
    return rollout_through_policy.ended(world, random.Random(f"policy {seed} {world.name} {number}"))


def simulated(rounds: int = 5000, seed: int | None = None, processes: int | None = None) -> dict[str, float]:
    """`rounds` rollouts of equal versions, and as many as are needed of worse ones."""
    seed = random.SystemRandom().randrange(1 << 32) if seed is None else seed
    processes = processes or os.cpu_count() or 1
    began = time.monotonic()
    print(
        f"simulated rollouts, seed {seed}: a look every second, {EQUAL[0].rate:.0f} requests a second",
        flush=True,
    )
    told = math.ceil(rounds / 10)
    sizes = [(world, math.ceil((rounds - told) / len(EQUAL))) for world in EQUAL]
    sizes += [(TOLD, told), (SOAKED, math.ceil(rounds / 50)), (REGRESSION, math.ceil(rounds / 2.5))]
    sizes += [(world, math.ceil(rounds / 12)) for world in WORSE]
    sizes += [(world, math.ceil(rounds / 25)) for world in OTHERS]
    results = _all(ended, sizes, seed, processes)
    _show(results)
    sizes = [(world, math.ceil(rounds / 150)) for world in EQUAL[1:]]
    through = _all(ended_through_policy, sizes, seed, processes)
    print("through the whole policy, at most 25 minutes of each")
    _show(through)
    looks = sum(one.looks for all_of in results.values() for one in all_of)
    print(f"{looks} verdicts, {time.monotonic() - began:.0f} s", flush=True)
    equal = (*EQUAL, TOLD)
    passed = [one for all_of in through.values() for one in all_of]
    return {
        "false_rollback_ratio": max(_part(results[world], "rolled back") for world in equal),
        "simulated_rollouts": sum(len(results[world]) for world in equal),
        "regression_median_s": _seconds(results[REGRESSION]),
        "worse_promoted_ratio": max(_part(results[world], "promoted") for world in WORSE),
        "worse_first_step_ratio": max(_earned(results[world]) for world in WORSE),
        "policy_false_rollback_ratio": _part(passed, "rolled back"),
        "policy_rollouts": len(passed),
        "simulation_seed": seed,
    }


Play = Callable[[World, int, int], Ended]


def _all(
    play: Play, sizes: Sequence[tuple[World, int]], seed: int, processes: int
) -> dict[World, list[Ended]]:
    if processes == 1:
        return {world: [play(world, seed, number) for number in range(size)] for world, size in sizes}
    # Forking a program with open channels may hang the child.
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        works = {w: pool.map(partial(play, w, seed), range(size), chunksize=5) for w, size in sizes}
        return {world: list(work) for world, work in works.items()}


def _part(all_of: Sequence[Ended], how: str) -> float:
    return sum(one.how == how for one in all_of) / len(all_of)


def _earned(all_of: Sequence[Ended]) -> float:
    return sum(one.steps > 0 for one in all_of) / len(all_of)


def _seconds(all_of: Sequence[Ended]) -> float:
    """Median until the rollback, of all; those that were not rolled back never were."""
    return median(one.seconds if one.how == "rolled back" else math.inf for one in all_of)


def _show(results: dict[World, list[Ended]]) -> None:
    head = ("rollouts", "back", "median s", "bad", "a step", "promoted", "fuses")
    print(f"{'':<52}" + "".join(f"{word:>9}" for word in head))
    for world, all_of in results.items():
        back = [one for one in all_of if one.how == "rolled back"]
        seconds = f"{_seconds(all_of):.0f}" if len(back) * 2 > len(all_of) else "-"
        bad = f"{median(one.canary_bad for one in back):.0f}" if back else "-"
        row = [len(all_of), f"{len(back) / len(all_of):.2%}", seconds, bad, f"{_earned(all_of):.1%}"]
        row += [f"{_part(all_of, 'promoted'):.1%}", sum(one.fuses for one in all_of)]
        print(f"{world.name:<52}" + "".join(f"{cell:>9}" for cell in row))


if __name__ == "__main__":
    print(simulated(*(int(word) for word in sys.argv[1:])))
