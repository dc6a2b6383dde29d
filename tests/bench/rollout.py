"""How fast and how surely does a rollout decide, and what do users feel of it? `make bench-rollout`

Rollouts on a real host under load, killed, broken and good; then the proxy alone; then thousands of
simulated rollouts through the shipped policy.
"""

import argparse
import os
import statistics
import sys
from concurrent.futures import ThreadPoolExecutor

from tests.bench import rollout_proxy, rollout_sim
from tests.bench.figures import Least, Target, conclude
from tests.bench.rollout_live import Live, spread
from tests.e2e import host as hosts
from tests.e2e.follow import Follower

REQUESTS = 100_000
LONE, LONE_ROUNDS = 6, 4
"""Nodes that get one request a second, and broken canaries of each: the median of few says little."""


def live(requests: int, rounds: int, cycles: int) -> dict[str, float]:
    host = hosts.make()
    follower = None
    try:
        host.start()
        follower = Follower(host)
        bench = Live(host, follower)
        return {
            **bench.kills(requests),
            **_broken(bench, rounds),
            **bench.cycles(cycles),
            "lease_s": round(bench.lease(), 1),
        }
    finally:
        if follower is not None:
            follower.close()
        host.close()


def _broken(bench: Live, rounds: int) -> dict[str, float]:
    errors, seconds = zip(*bench.broken("POST", 100.0, rounds, "broken", 2), strict=True)
    print(f"broken, 100 requests/s: user errors {spread([*errors])}; seconds {spread([*seconds])}")
    idempotent, _ = zip(*bench.broken("GET", 100.0, rounds, "harmless", 3), strict=True)
    print(f"broken, idempotent requests: user errors {spread([*idempotent])}")
    with ThreadPoolExecutor(LONE) as pool:
        works = [pool.submit(bench.broken, "POST", 1.0, LONE_ROUNDS, f"lone{n}", 6 + n) for n in range(LONE)]
        lone = [told for work in works for told in work.result()]
    print(f"broken, 1 request/s: user errors {spread([float(e) for e, _ in lone])}; seconds", end=" ")
    print(spread([s for _, s in lone]), flush=True)
    return {
        "broken_user_errors": max(errors),
        "broken_user_errors_idempotent": max(idempotent),
        "broken_rollback_s": round(statistics.median(seconds), 2),
        "broken_rollback_worst_s": round(max(seconds), 2),
        "broken_rollback_1rps_s": round(statistics.median(s for _, s in lone), 1),
    }


def targets(told: dict[str, float], last: dict[str, float]) -> list[Target]:
    return [
        Target("decision to last canary request, p50, ms", last["p50"], 2.0),
        Target("decision to last canary request, p99, ms", last["p99"], 50.0),
        Least("requests while instances were killed", told["kill_requests"], REQUESTS),
        Target("idempotent requests that failed at kills", told["kill_failed"], 0),
        Target("kill of the canary to rollback, worst, ms", told["kill_to_rollback_ms"], 300.0),
        Target("noded stopped: canary's last answer, s", told["lease_s"], 15.0),
        Target("broken canary: user errors, worst", told["broken_user_errors"], 3),
        Target("broken canary, idempotent: user errors", told["broken_user_errors_idempotent"], 0),
        Target("broken canary, 100 requests/s: rollback, s", told["broken_rollback_s"], 1.0),
        Target("broken canary, 1 request/s: rollback, s", told["broken_rollback_1rps_s"], 30.0),
        Target("equal quality: false rollbacks, worst case", told["false_rollback_ratio"], 0.01),
        Least("simulated rollouts", told["simulated_rollouts"], 5000),
        Target("0.5 to 5 % at 10 requests/s: median, s", told["regression_median_s"], 110.0),
        Target("1 point worse: promoted", told["worse_promoted_ratio"], 0.05),
        Least("promote, drain, remove: cycles", told["cycles"], 20),
        Target("requests that failed in them", told["cycle_failed"], 0),
        Target("200 nodes: cold proxy to serving, ms", told["cold_200_ms"], 200.0),
        Target("200 nodes: resident memory of the proxy, MB", told["rss_200_mb"], 25.0),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small numbers; no figure")
    options = parser.parse_args()
    requests, rounds, cycles, simulated = (5000, 2, 2, 200) if options.quick else (REQUESTS, 15, 20, 5000)
    told = live(requests, rounds, cycles)
    last = rollout_proxy.last_request()
    told.update(rollout_proxy.added())
    told.update(rollout_proxy.cold())
    told.update(rollout_sim.simulated(simulated))
    report = {"last_request_ms": last, **told, "load": os.getloadavg()}
    return conclude(report, targets(told, last), figure=not options.quick)


if __name__ == "__main__":
    sys.exit(main())
