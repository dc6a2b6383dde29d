"""What does noded cost a host where nothing happens? `make bench-overhead`

Idle nodekit nodes with default heartbeats, one instance each, noded with shipped defaults: its resident
memory, its CPU time over a minute, and how long it takes after `kill -9` until it answers and watches every
process again.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench.figures import Target, conclude
from tests.bench.fleet import Fleet, cpu_seconds, watched_processes
from tests.e2e import host as hosts

MB = 1_000_000
SETTLE = 20.0
"""Seconds after the last start until noded's work is only that of every second."""
ADOPTIONS = 3


class Overhead:
    def __init__(self, fleet: Fleet, seconds: float) -> None:
        self.fleet = fleet
        self.seconds = seconds
        self.report: dict[str, float] = {}

    def measure(self, count: int, label: str) -> None:
        """CPU and memory with so many nodes."""
        self.say(f"starting nodes up to {count}")
        self.fleet.grow(count)
        time.sleep(SETTLE)
        host = self.fleet.host
        programs = {name: host.running[name].pid for name in ("noded", "launcher")}
        before, began = {name: cpu_seconds(pid) for name, pid in programs.items()}, time.monotonic()
        time.sleep(self.seconds)
        took = time.monotonic() - began
        for name, pid in programs.items():
            key = f"cpu_percent_{label}" if name == "noded" else f"launcher_cpu_percent_{label}"
            self.report[key] = round((cpu_seconds(pid) - before[name]) / took * 100, 2)
        self.report[f"rss_mb_{label}"] = round(host.memory_of_noded() / MB, 1)
        host.check("noded")
        if self.fleet.ready() != count:
            raise RuntimeError(f"{self.fleet.ready()} of {count} nodes run after the measurement")
        self.say(f"{count} nodes: {self.report}")

    def adopt(self, count: int, label: str) -> None:
        """From the start of a new noded until it answers and waits for the end of every process."""
        self.fleet.grow(count)
        took = sorted(self._adoption(count) for _ in range(ADOPTIONS))
        self.say(f"adoption of {count}: {took}")
        self.report[f"adopt_{label}_s"] = round(took[len(took) // 2], 2)
        self.report[f"adopt_{label}_worst_s"] = round(took[-1], 2)

    def _adoption(self, count: int) -> float:
        host = self.fleet.host
        pids = self.fleet.pids()
        host.kill("noded")
        began = time.monotonic()
        host.begin_noded()
        while watched_processes(host.running["noded"].pid) < count or self.fleet.ready() < count:
            host.check("noded")
            if time.monotonic() - began > 60:
                raise TimeoutError(f"{self.fleet.ready()} of {count} nodes were adopted in a minute")
            time.sleep(0.01)
        took = time.monotonic() - began
        if self.fleet.pids() != pids:
            raise RuntimeError("other processes run after the adoption than before it")
        time.sleep(3.0)
        return took

    def say(self, text: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


@contextmanager
def running() -> Iterator[Fleet]:
    host = hosts.make("nb")
    try:
        host.start()
        fleet = Fleet(host)
        try:
            yield fleet
        finally:
            fleet.close()
    finally:
        host.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few nodes and seconds; no figure")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each measurement of CPU time")
    options = parser.parse_args()
    small, middle, large = (5, 10, 20) if options.quick else (50, 200, 500)
    seconds = min(options.seconds, 10.0) if options.quick else max(60.0, options.seconds)
    with running() as fleet:
        bench = Overhead(fleet, seconds)
        bench.measure(small, "50")
        bench.adopt(middle, "200")
        bench.measure(large, "500")
        report = bench.report
    targets = (
        Target("noded resident at 50 nodes, MB", report["rss_mb_50"], 60.0),
        Target("noded CPU at 50 nodes, % of a core", report["cpu_percent_50"], 1.5),
        Target("noded CPU at 500 nodes, % of a core", report["cpu_percent_500"], 8.0),
        Target("adoption of 200 nodes, s", report["adopt_200_s"], 2.0),
    )
    told = {**report, "nodes": [small, middle, large], "load": os.getloadavg()}
    return conclude(told, targets, figure=not options.quick)


if __name__ == "__main__":
    sys.exit(main())
