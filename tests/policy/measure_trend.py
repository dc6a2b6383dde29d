"""How often does the memory trend raise a false alarm, and how late does it find a leak?

Prints one JSON object: PYTHONPATH=.:daemon python tests/policy/measure_trend.py [traces per shape, 20]
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable

from noded.model.trend import Growth, Trend
from noded.policy.trend import step
from tests.policy import traces
from tests.policy.traces import Trace


def first_finding(trace: Trace) -> tuple[float, Growth] | None:
    """When the first finding came, and what it said."""
    trend = Trend()
    for at, used in trace.samples:
        trend, growth = step(trend, at, used, trace.limit)
        if growth is not None:
            return at, growth
    return None


def false_alarms(make: Callable[[str, int], Trace], names: Iterable[str], count: int) -> dict[str, int]:
    return {name: sum(first_finding(make(name, seed)) is not None for seed in range(count)) for name in names}


def delays(make: Callable[[int], Trace], count: int) -> dict[str, float | int | None]:
    """Seconds from onset to the finding, and the share of the limit in use by then."""
    late, level, missed, early = [], [], 0, 0
    for seed in range(count):
        trace = make(seed)
        assert trace.onset is not None
        found = first_finding(trace)
        if found is None:
            missed += 1
            late.append(float("inf"))
        elif found[0] < trace.onset:
            early += 1
        else:
            late.append(found[0] - trace.onset)
            level.append(found[1].used / trace.limit)
    middle = statistics.median(late) if late else None
    return {
        "traces": count,
        "median_s": None if middle is None or middle == float("inf") else round(middle, 1),
        "max_s": round(max((d for d in late if d != float("inf")), default=0.0), 1),
        "median_level": round(statistics.median(level), 3) if level else None,
        "max_level": round(max(level), 3) if level else None,
        "missed": missed,
        "before_onset": early,
    }


def cost() -> dict[str, float]:
    """Microseconds of one step, over a healthy and over a leaking trace of a sample a second."""
    spent = {}
    for name, trace in (("healthy", traces.healthy("collected", 3)), ("leaking", traces.fast_leak(0))):
        trend, begin = Trend(), time.process_time()
        for at, used in trace.samples:
            trend, _ = step(trend, at, used, trace.limit)
        spent[f"step_us_{name}"] = round((time.process_time() - begin) / len(trace.samples) * 1e6, 1)
    return spent


def main(count: int) -> None:
    tuned = false_alarms(traces.healthy, traces.HEALTHY, count)
    unseen = false_alarms(traces.held_out, traces.HELD_OUT, count)
    report = {
        "tuned_on": {"traces": count * len(tuned), "false_alarms": sum(tuned.values()), "by_shape": tuned},
        "held_out": {"traces": count * len(unseen), "false_alarms": sum(unseen.values()), "by_shape": unseen},
        "leaks": {
            "1.2 MB/s": delays(traces.fast_leak, count),
            "1.2 MB/s, quiet first": delays(lambda seed: traces.fast_leak(seed, quiet=60.0), count),
            "1.2 MB/s, warm-up first": delays(lambda seed: traces.fast_leak(seed, warm=12e6), count),
            "1.2 MB/s, uneven": delays(lambda seed: traces.fast_leak(seed, uneven=0.25), count),
            "5 MB/min": delays(lambda seed: traces.slow_leak(5.0, seed), count),
            "1 MB/min": delays(lambda seed: traces.slow_leak(1.0, seed), count),
        },
        "held_out_leaks": {
            name: delays(lambda seed, name=name: traces.held_out_leak(name, seed), count)  # type: ignore[misc]
            for name in traces.HELD_OUT_LEAKS
        },
        "cost": cost(),
    }
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
