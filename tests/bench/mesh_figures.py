"""What do the rounds of `make bench-mesh` come to? Medians, and medians of the rounds' ratios."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import TypeAlias

from tests.bench.carried import Carried
from tests.bench.figures import Least, Target
from tests.bench.mesh_memory import Memory

Rows: TypeAlias = Mapping[str, Sequence[Carried]]
"""By the name of the run, one for each round."""
Told: TypeAlias = dict[str, float | None]

KEYS = (
    "bare_evs",
    "default_evs",
    "jetstream_evs",
    "redis_everysec_evs",
    "ratio_jetstream",
    "ratio_default_jetstream",
    "ratio_redis",
    "cpu_ratio_jetstream",
    "two_host_ratio_jetstream",
    "p50_ms_1k",
    "jetstream_p50_ms_1k",
    "fdatasync_ms",
    "rss_idle_mb",
    "rss_stalled_mb",
    "lost",
)


def evs(row: Carried) -> float:
    return row.evs


def cpu(row: Carried) -> float:
    return row.cpu_us


def p50(row: Carried) -> float:
    return row.p50_ms


def middle(rows: Rows, name: str, of: Callable[[Carried], float]) -> float | None:
    return median(map(of, rows[name])) if rows.get(name) else None


def ratio(rows: Rows, ours: str, theirs: str, of: Callable[[Carried], float]) -> float | None:
    """The median of the rounds' ratios."""
    pairs = zip(rows.get(ours, ()), rows.get(theirs, ()), strict=False)
    found = [of(mine) / of(other) for mine, other in pairs if of(other)]
    return median(found) if found else None


def beyond(rows: Rows, syncs: Sequence[float]) -> float | None:
    """Milliseconds by which p50 at 1,000/s passes JetStream's and 1.5 times the same round's fdatasync."""
    rounds = zip(rows.get("mesh_1k", ()), rows.get("jetstream_1k", ()), syncs, strict=False)
    found = [ours.p50_ms - theirs.p50_ms - 1.5 * sync for ours, theirs, sync in rounds]
    return median(found) if found else None


def lost(rows: Rows, memory: Memory | None) -> int:
    """Acknowledged events of the mesh that never arrived."""
    missing = sum(row.missing for name, found in rows.items() if name.startswith("mesh") for row in found)
    return missing + (memory.missing if memory else 0)


def summed_up(rows: Rows, syncs: Sequence[float], memory: Memory | None) -> Told:
    found: Told = {
        "bare_evs": middle(rows, "mesh", evs),
        "default_evs": middle(rows, "mesh_default", evs),
        "jetstream_evs": middle(rows, "jetstream", evs),
        "redis_everysec_evs": middle(rows, "redis", evs),
        "ratio_jetstream": ratio(rows, "mesh", "jetstream", evs),
        "ratio_default_jetstream": ratio(rows, "mesh_default", "jetstream_default", evs),
        "ratio_redis": ratio(rows, "mesh", "redis", evs),
        "cpu_ratio_jetstream": ratio(rows, "mesh", "jetstream", cpu),
        "two_host_ratio_jetstream": ratio(rows, "mesh_two_hosts", "jetstream", evs),
        "p50_ms_1k": middle(rows, "mesh_1k", p50),
        "jetstream_p50_ms_1k": middle(rows, "jetstream_1k", p50),
        "fdatasync_ms": median(syncs) if syncs else None,
        "rss_idle_mb": memory.idle_mb if memory else None,
        "rss_stalled_mb": memory.stalled_mb if memory else None,
        "lost": lost(rows, memory),
    }
    return {key: short(found.get(key)) for key in KEYS}


def short(value: float | None) -> float | None:
    """Three digits, or whole."""
    if value is None or isinstance(value, int):
        return value
    return round(value) if value >= 1000 else float(f"{value:.3g}")


def details(rows: Rows) -> dict[str, object]:
    """Medians of everything that was seen, for who asks where the time goes."""
    middles = {
        name: {key: short(median(float(asdict(row)[key]) for row in found)) for key in asdict(found[0])}
        for name, found in rows.items()
        if found
    }
    peers = [(peer, kind) for kind in ("", "_default", "_many", "_1k") for peer in ("jetstream", "redis")]
    return {
        "rows": middles,
        "evs_ratios": {
            f"{peer}{kind}": short(ratio(rows, f"mesh{kind}", f"{peer}{kind}", evs)) for peer, kind in peers
        },
        "cpu_ratios": {
            f"{peer}{kind}": short(ratio(rows, f"mesh{kind}", f"{peer}{kind}", cpu)) for peer, kind in peers
        },
    }


def targets(rows: Rows, syncs: Sequence[float], told: Told) -> tuple[Target, ...]:
    """Those that were measured."""
    wanted: tuple[tuple[type[Target], str, float | None, float], ...] = (
        (Least, "events/s, bare, times JetStream's", told["ratio_jetstream"], 15.0),
        (Least, "events/s, bare, times Redis everysec's", told["ratio_redis"], 6.0),
        (Target, "CPU of an event, bare, part of JetStream's", told["cpu_ratio_jetstream"], 0.1),
        (Least, "events/s over two hosts, times JetStream's", told["two_host_ratio_jetstream"], 10.0),
        (Least, "events/s, defaults, times JetStream's", told["ratio_default_jetstream"], 4.0),
        (Target, "p50 at 1,000/s beyond JetStream's and syncs, ms", beyond(rows, syncs), 0.0),
        (Target, "p50 at 50,000/s, times that at 1,000/s", ratio(rows, "mesh_50k", "mesh_1k", p50), 2.0),
        (Target, "resident idle, MB", told["rss_idle_mb"], 60.0),
        (Target, "resident with a stalled consumer, most, MB", told["rss_stalled_mb"], 120.0),
        (Target, "acknowledged events lost", told["lost"], 0.0),
    )
    return tuple(kind(what, value, bound) for kind, what, value, bound in wanted if value is not None)
