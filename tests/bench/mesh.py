"""How many events does the mesh carry, at what cost and how soon? `make bench-mesh`

Beside it, in the same rounds and on the same disk: JetStream with file storage and Redis Streams with
`appendfsync everysec`, each used as its documentation advises. Every run has fresh processes and a fresh
state; the order changes from round to round. Ratios are medians of the rounds' ratios: whatever else the
machine does then falls on all alike. The mesh acknowledges what is synced to disk, the peers do so before.
"""

import argparse
import json
import os
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median

from tests.bench import provide
from tests.bench.brokers import Broker, JetStream, RedisStreams
from tests.bench.carried import Carried, Load, carry, many, single
from tests.bench.disk import fdatasyncs
from tests.bench.figures import conclude
from tests.bench.mesh_figures import details, summed_up, targets
from tests.bench.mesh_memory import Memory, remembered
from tests.bench.own_mesh import Mesh
from tests.bench.two_meshes import TwoMeshes

RUNS: dict[str, tuple[type[Broker] | type[TwoMeshes], Callable[[int], Load]]] = {
    "mesh": (Mesh, lambda part: single(600_000 // part)),
    "jetstream": (JetStream, lambda part: single(60_000 // part)),
    "redis": (RedisStreams, lambda part: single(240_000 // part)),
    "mesh_default": (Mesh, lambda part: single(150_000 // part, "json")),
    "jetstream_default": (JetStream, lambda part: single(45_000 // part, "json")),
    "redis_default": (RedisStreams, lambda part: single(90_000 // part, "json")),
    "mesh_many": (Mesh, lambda part: many(160_000 // part)),
    "jetstream_many": (JetStream, lambda part: many(30_000 // part)),
    "redis_many": (RedisStreams, lambda part: many(80_000 // part)),
    "mesh_1k": (Mesh, lambda part: single(4_000 // part, rate=1_000)),
    "jetstream_1k": (JetStream, lambda part: single(4_000 // part, rate=1_000)),
    "redis_1k": (RedisStreams, lambda part: single(4_000 // part, rate=1_000)),
    "mesh_two_hosts": (TwoMeshes, lambda part: single(300_000 // part)),
    "mesh_50k": (Mesh, lambda part: single(150_000 // part, rate=50_000)),
}
"""Events enough for about three seconds; `part` makes them fewer."""
WAITING = 1_000_000


class Bench:
    def __init__(self, disk: Path, part: int, only: frozenset[str], profiles: Path | None) -> None:
        self.disk = disk
        self.part = part
        self.only = only
        self.profiles = profiles
        self.rows: dict[str, list[Carried]] = defaultdict(list)
        self.syncs: list[float] = []
        """Milliseconds, the median of each round."""
        self.memory: Memory | None = None

    def round(self, number: int) -> None:
        names = [name for name in RUNS if name in self.only]
        random.Random(number).shuffle(names)
        synced = fdatasyncs(self.disk)
        for name in names:
            synced += fdatasyncs(self.disk)
            row = self._run(name)
            self.rows[name].append(row)
            late = f", p50 {row.p50_ms:.2f} p99 {row.p99_ms:.2f} ms" if row.p50_ms else ""
            faults = f", {row.missing} MISSING" if row.missing else ""
            faults += f", {row.repeated} repeated" if row.repeated else ""
            say(f"  {name:<18} {row.evs:>9,.0f} ev/s {row.cpu_us:>8.2f} us each{late}{faults}")
        self.syncs.append(median(synced))

    def _run(self, name: str) -> Carried:
        broker, load = RUNS[name]
        profiles = None
        if self.profiles and broker in (Mesh, TwoMeshes):
            profiles = self.profiles / name
            profiles.mkdir(parents=True, exist_ok=True)
        with broker(self.disk, profiles) as one:
            return carry(one, load(self.part))

    def remember(self) -> None:
        with Mesh(self.disk) as mesh:
            self.memory = remembered(mesh, WAITING // self.part)
        say(f"  {self.memory}")


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of few events; no figure")
    parser.add_argument("--rounds", type=int, default=7, help="at least 5 for a figure")
    parser.add_argument("--only", default="", help=f"some of {', '.join(RUNS)}, memory; no figure")
    parser.add_argument("--disk", type=Path, default=Path("/var/tmp"), help="where all keep their events")
    parser.add_argument("--profile", type=Path, help="a folder for profiles of our programs; no figure")
    chosen = parser.parse_args()
    unknown = set(filter(None, chosen.only.split(","))) - {*RUNS, "memory"}
    if unknown:
        parser.error(
            f"--only: unknown {', '.join(sorted(unknown))}: expected some of {', '.join(RUNS)}, memory"
        )
    return chosen


def main() -> int:
    chosen = options()
    rounds = 1 if chosen.quick else chosen.rounds
    only = frozenset(filter(None, chosen.only.split(","))) or frozenset((*RUNS, "memory"))
    provide.provide()
    say(f"{provide.versions()}")
    bench = Bench(chosen.disk, 20 if chosen.quick else 1, only, chosen.profile)
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        bench.round(number)
    if "memory" in only:
        bench.remember()
    whole = not (chosen.quick or chosen.only or chosen.profile) and rounds >= 5
    told = summed_up(bench.rows, bench.syncs, bench.memory)
    print(
        json.dumps({**details(bench.rows), "rounds": rounds, "load": os.getloadavg(), **provide.versions()})
    )
    return conclude(told, targets(bench.rows, bench.syncs, told), figure=whole)


if __name__ == "__main__":
    sys.exit(main())
