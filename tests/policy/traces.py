"""What does the memory of healthy and of leaking processes look like? Seeded synthetic traces.

`healthy` is what the detector was tuned on. `held_out` has other shapes and other ranges, was written
before tuning and is only measured. `leaking` and `held_out_leaking` say when their leak begins.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

MB = 1_000_000
MIB = 1 << 20
HOUR = 3600.0

Shape = Callable[[float], float]  # seconds since the start -> bytes


@dataclass(frozen=True, slots=True)
class Trace:
    name: str
    limit: int
    samples: tuple[tuple[float, int], ...]
    onset: float | None = None


def _log_uniform(dice: Random, low: float, high: float) -> float:
    return math.exp(dice.uniform(math.log(low), math.log(high)))


def _times(dice: Random, seconds: float, period: float, jitter: float = 0.0) -> Iterator[float]:
    at = 0.0
    while at < seconds:
        yield at
        at += period * (1.0 + dice.uniform(-jitter, jitter))


def _noise(dice: Random, sd: float, correlation: float) -> Callable[[float], float]:
    """First-order autoregressive noise that forgets over `correlation` seconds; called in rising time."""
    state = [dice.gauss(0.0, sd), 0.0]

    def value(at: float) -> float:
        keep = math.exp(-(at - state[1]) / correlation)
        state[0] = keep * state[0] + dice.gauss(0.0, sd) * math.sqrt(1.0 - keep * keep)
        state[1] = at
        return state[0]

    return value


def _sawtooth(dice: Random, amplitude: float, period: float) -> Shape:
    phase = dice.random() * period
    return lambda at: amplitude * (((at + phase) % period) / period)


def _sample(
    name: str, limit: int, times: Iterator[float], parts: list[Shape], onset: float | None = None
) -> Trace:
    samples = tuple((at, max(0, int(sum(part(at) for part in parts)))) for at in times)
    return Trace(name, limit, samples, onset)


# ---- healthy shapes, for tuning -------------------------------------------------------------------------


def _flat(dice: Random, room: float) -> Shape:
    return lambda at: 0.0


def _exponential(dice: Random, room: float) -> Shape:
    tau, size = _log_uniform(dice, 10.0, 2 * HOUR), room * dice.uniform(0.1, 1.0)
    return lambda at: size * (1.0 - math.exp(-at / tau))


def _logistic(dice: Random, room: float) -> Shape:
    wide, size = _log_uniform(dice, 5.0, 0.5 * HOUR), room * dice.uniform(0.1, 1.0)
    middle = wide * dice.uniform(3.0, 6.0)
    return lambda at: size / (1.0 + math.exp(max(-700.0, -(at - middle) / wide)))


def _two_stage(dice: Random, room: float) -> Shape:
    first, second = _log_uniform(dice, 10.0, HOUR), _log_uniform(dice, 10.0, HOUR)
    size, part, begin = room * dice.uniform(0.2, 1.0), dice.uniform(0.3, 0.8), first * dice.uniform(1.0, 4.0)

    def shape(at: float) -> float:
        late = 1.0 - math.exp(-max(0.0, at - begin) / second)
        return size * (part * (1.0 - math.exp(-at / first)) + (1.0 - part) * late)

    return shape


def _collected(dice: Random, room: float) -> Shape:
    return _sawtooth(dice, room * dice.uniform(0.02, 0.15), _log_uniform(dice, 5.0, 600.0))


def _noisy(dice: Random, room: float) -> Shape:
    return _noise(dice, room * dice.uniform(0.005, 0.03), _log_uniform(dice, 10.0, 600.0))


def _diurnal(dice: Random, room: float) -> Shape:
    swing, phase = room * dice.uniform(0.05, 0.3), dice.uniform(0.0, 24 * HOUR)
    return lambda at: swing * 0.5 * (1.0 + math.sin(2.0 * math.pi * (at + phase) / (24 * HOUR)))


def _steps(dice: Random, room: float) -> Shape:
    count = max(1, min(4, int(room * 0.6 / (25 * MB))))
    moments = [dice.uniform(0.0, 4 * HOUR) for _ in range(dice.randint(1, count))]
    return lambda at: 25.0 * MB * sum(at >= moment for moment in moments)


def _wandering(dice: Random, room: float) -> Shape:
    width, speed = room * dice.uniform(0.05, 0.2), dice.uniform(0.002, 0.01)
    state = [width / 2.0, 0.0]

    def shape(at: float) -> float:
        state[0] += dice.gauss(0.0, width * speed * math.sqrt(at - state[1]))
        state[1] = at
        state[0] = min(width, max(0.0, state[0]))
        return state[0]

    return shape


def _rotated(dice: Random, room: float) -> Shape:
    return _sawtooth(dice, room * dice.uniform(0.03, 0.1), dice.uniform(HOUR, 3 * HOUR))


def _dropped(dice: Random, room: float) -> Shape:
    tau, size, every = _log_uniform(dice, 10.0, 600.0), room * dice.uniform(0.1, 0.6), dice.uniform(900, 7200)
    return lambda at: size * (1.0 - math.exp(-(at % every) / tau))


def _ramp(dice: Random, room: float) -> Shape:
    size, begin = room * dice.uniform(0.03, 0.15), dice.uniform(0.0, 2 * HOUR)
    return lambda at: size * min(1.0, max(0.0, (at - begin) / 600.0))


HEALTHY: dict[str, Callable[[Random, float], Shape]] = {
    "flat": _flat,
    "exponential": _exponential,
    "logistic": _logistic,
    "two-stage": _two_stage,
    "collected": _collected,
    "noisy": _noisy,
    "diurnal": _diurnal,
    "steps": _steps,
    "wandering": _wandering,
    "rotated": _rotated,
    "dropped": _dropped,
    "ramp": _ramp,
}


def healthy(name: str, seed: int) -> Trace:
    """A shape that never exceeds 90 % of the limit, on a base, with noise and often a small sawtooth."""
    dice = Random(f"healthy {name} {seed}")
    limit = int(_log_uniform(dice, 192.0, 2048.0)) * MIB
    base = limit * dice.uniform(0.08, 0.35)
    parts: list[Shape] = [lambda at: base]
    room = 0.9 * limit - base
    parts.append(HEALTHY[name](dice, room))
    parts.append(_noise(dice, limit * _log_uniform(dice, 0.0002, 0.004), _log_uniform(dice, 5.0, 120.0)))
    if dice.random() < 0.5:
        parts.append(_sawtooth(dice, room * dice.uniform(0.01, 0.04), _log_uniform(dice, 5.0, 180.0)))
    period, seconds = dice.choice(((1.0, HOUR), (5.0, 6 * HOUR), (3.0, 3 * HOUR)))
    return _sample(name, limit, _times(dice, seconds, period, dice.choice((0.0, 0.4))), parts)


# ---- healthy shapes, held out ---------------------------------------------------------------------------


def _stretched(dice: Random, room: float) -> Shape:
    tau, bend = _log_uniform(dice, 15.0, HOUR), dice.uniform(0.5, 1.4)
    size = room * dice.uniform(0.1, 0.97)
    return lambda at: size * (1.0 - math.exp(-((at / tau) ** bend)))


def _hyperbolic(dice: Random, room: float) -> Shape:
    tau, size = _log_uniform(dice, 15.0, HOUR), room * dice.uniform(0.1, 0.97)
    return lambda at: size * at / (at + tau)


def _logarithmic(dice: Random, room: float) -> Shape:
    tau, full, size = (
        _log_uniform(dice, 5.0, 300.0),
        dice.uniform(0.5, 4.0) * HOUR,
        room * dice.uniform(0.1, 0.8),
    )
    return lambda at: size * math.log1p(min(at, full) / tau) / math.log1p(full / tau)


def _error_curve(dice: Random, room: float) -> Shape:
    wide, size = _log_uniform(dice, 10.0, 0.3 * HOUR), room * dice.uniform(0.1, 0.9)
    middle = wide * dice.uniform(2.0, 4.0)
    return lambda at: size * 0.5 * math.erfc(-(at - middle) / wide)


def _workers(dice: Random, room: float) -> Shape:
    count, tau = dice.randint(2, 8), _log_uniform(dice, 10.0, 1200.0)
    size, starts = room * dice.uniform(0.2, 0.9) / count, [dice.uniform(0.0, 60.0) for _ in range(count)]
    return lambda at: sum(size * (1.0 - math.exp(-max(0.0, at - start) / tau)) for start in starts)


def _cache_misses(dice: Random, room: float) -> Shape:
    """Many small steps, rarer and rarer: distinct keys of a finite set asked at random."""
    keys, rate = dice.randint(50, 400), _log_uniform(dice, 0.02, 2.0)
    size, state = room * dice.uniform(0.1, 0.9) / keys, [0.0, 0.0]

    def shape(at: float) -> float:
        wanted = keys - state[0]
        mean = wanted * (1.0 - math.exp(-rate * (at - state[1]) / keys))
        state[0] += min(wanted, max(0.0, round(dice.gauss(mean, math.sqrt(mean)))))
        state[1] = at
        return state[0] * size

    return shape


def _triangle(dice: Random, room: float) -> Shape:
    size, period = room * dice.uniform(0.02, 0.1), _log_uniform(dice, 8.0, 900.0)
    return lambda at: size * abs(2.0 * ((at / period) % 1.0) - 1.0)


def _generations(dice: Random, room: float) -> Shape:
    """Small collections ride on the rare large one."""
    short = _sawtooth(dice, room * dice.uniform(0.01, 0.05), _log_uniform(dice, 5.0, 60.0))
    long = _sawtooth(dice, room * dice.uniform(0.02, 0.1), _log_uniform(dice, 120.0, 900.0))
    return lambda at: short(at) + long(at)


def _spikes(dice: Random, room: float) -> Shape:
    every, length = dice.uniform(60.0, 1800.0), dice.uniform(5.0, 45.0)
    heights = [room * dice.uniform(0.05, 0.5) for _ in range(97)]
    return lambda at: heights[int(at / every) % 97] if at % every < length else 0.0


def _batches(dice: Random, room: float) -> Shape:
    every, length = dice.uniform(1800.0, HOUR), dice.uniform(120.0, 900.0)
    size = room * dice.uniform(0.1, 0.5)
    return lambda at: size if at % every > every - length else 0.0


def _office_day(dice: Random, room: float) -> Shape:
    swing, phase = room * dice.uniform(0.05, 0.2), dice.uniform(0.0, 24 * HOUR)
    return lambda at: swing / (1.0 + math.exp(-6.0 * math.sin(2.0 * math.pi * (at + phase) / (24 * HOUR))))


def _smooth_ramp(dice: Random, room: float) -> Shape:
    size, begin, length = (
        room * dice.uniform(0.03, 0.14),
        dice.uniform(0.0, HOUR),
        dice.uniform(300.0, 1200.0),
    )

    def shape(at: float) -> float:
        part = min(1.0, max(0.0, (at - begin) / length))
        return size * 0.5 * (1.0 - math.cos(math.pi * part))

    return shape


def _shrinking(dice: Random, room: float) -> Shape:
    tau, size = _log_uniform(dice, 60.0, HOUR), room * dice.uniform(0.1, 0.8)
    return lambda at: size * math.exp(-at / tau)


def _overshoot(dice: Random, room: float) -> Shape:
    tau, size = _log_uniform(dice, 10.0, 900.0), room * dice.uniform(0.1, 0.7)
    return lambda at: size * (1.0 - math.exp(-at / tau) * math.cos(at / tau))


HELD_OUT: dict[str, Callable[[Random, float], Shape]] = {
    "stretched": _stretched,
    "hyperbolic": _hyperbolic,
    "logarithmic": _logarithmic,
    "error curve": _error_curve,
    "workers": _workers,
    "cache misses": _cache_misses,
    "triangle": _triangle,
    "generations": _generations,
    "spikes": _spikes,
    "batches": _batches,
    "office day": _office_day,
    "smooth ramp": _smooth_ramp,
    "shrinking": _shrinking,
    "overshoot": _overshoot,
}


def held_out(name: str, seed: int) -> Trace:
    """Like `healthy`, with other shapes, other ranges and gaps of minutes in the samples."""
    dice = Random(f"held out {name} {seed}")
    limit = int(_log_uniform(dice, 128.0, 6000.0)) * MIB
    base = limit * dice.uniform(0.05, 0.45)
    room = 0.9 * limit - base
    parts: list[Shape] = [lambda at: base, HELD_OUT[name](dice, room)]
    parts.append(_noise(dice, limit * _log_uniform(dice, 0.0001, 0.006), _log_uniform(dice, 2.0, 200.0)))
    if dice.random() < 0.6:
        parts.append(_sawtooth(dice, room * dice.uniform(0.005, 0.05), _log_uniform(dice, 3.0, 240.0)))
    period, seconds = dice.choice(((1.0, HOUR), (2.0, 2 * HOUR), (7.0, 5 * HOUR), (10.0, 8 * HOUR)))
    gap = dice.uniform(600.0, seconds)
    hole = dice.choice((0.0, 0.0, 90.0, 300.0))
    times = (at for at in _times(dice, seconds, period, 0.3) if not gap <= at < gap + hole)
    return _sample(name, limit, times, parts)


# ---- leaks ----------------------------------------------------------------------------------------------


def fast_leak(seed: int, quiet: float = 0.0, warm: float = 0.0, uneven: float = 0.0) -> Trace:
    """1.2 MB/s from the start of the process, or after at most `quiet` seconds, on a warm-up of `warm` bytes.

    uneven: standard deviation of the leak's speed, in speeds: requests never come evenly.
    """
    dice = Random(f"fast {seed}")
    onset, tau = quiet * dice.uniform(0.1, 1.0), dice.uniform(2.0, 8.0)
    load, state = _noise(dice, uneven, 15.0), [0.0, 0.0]

    def leak(at: float) -> float:
        state[0] += 1.2 * MB * max(0.0, 1.0 + load(at)) * max(0.0, at - max(onset, state[1]))
        state[1] = at
        return state[0]

    parts: list[Shape] = [
        lambda at: 35 * MB + warm * (1.0 - math.exp(-at / tau)),
        leak,
        lambda at: dice.gauss(0.0, 0.5 * MB),
    ]
    return _sample("1.2 MB/s", 256 * MIB, _times(dice, onset + 190.0, 1.0), parts, onset)


def slow_leak(per_minute: float, seed: int) -> Trace:
    """A leak in MB per minute that begins long after the start, on warm-up, sawtooth and noise."""
    dice = Random(f"slow {per_minute} {seed}")
    onset, tau, size = (
        dice.uniform(1.0, 1.5) * HOUR,
        dice.uniform(180.0, 900.0),
        dice.uniform(40.0, 100.0) * MB,
    )
    parts: list[Shape] = [
        lambda at: 60 * MB + size * (1.0 - math.exp(-at / tau)),
        lambda at: max(0.0, at - onset) / 60.0 * per_minute * MB,
        _sawtooth(dice, dice.uniform(5.0, 15.0) * MB, dice.uniform(30.0, 180.0)),
        _noise(dice, 2.0 * MB, 95.0),
    ]
    seconds = onset + min(4 * HOUR, 300.0 / per_minute * 60.0)
    return _sample(f"{per_minute:g} MB/min", 512 * MB, _times(dice, seconds, 5.0), parts, onset)


def held_out_leak(name: str, seed: int) -> Trace:
    """Leaks of other speeds and habits, from the start or later; some in bursts, some with the load."""
    dice = Random(f"held out leak {name} {seed}")
    limit, onset = int(_log_uniform(dice, 256.0, 2048.0)) * MIB, dice.choice((0.0, dice.uniform(600.0, HOUR)))
    base, hours = limit * dice.uniform(0.1, 0.3), _log_uniform(dice, 0.1, 3.0)
    room = limit - base
    speed = room / (hours * HOUR)  # reaches the limit after `hours`
    burst = dice.uniform(0.002, 0.01) * room

    def leak(at: float) -> float:
        lost = speed * max(0.0, at - onset)
        if name == "in bursts":
            return lost // burst * burst
        if name == "with the load":
            return lost + speed * 0.5 * HOUR / 12 * math.sin(2.0 * math.pi * at / (HOUR / 6)) / math.pi
        if name == "getting faster":
            return lost * (0.5 + 0.5 * max(0.0, at - onset) / (hours * HOUR))
        return lost

    parts: list[Shape] = [lambda at: base, leak, _noise(dice, limit * 0.002, 60.0)]
    parts.append(_sawtooth(dice, room * dice.uniform(0.0, 0.03), _log_uniform(dice, 5.0, 120.0)))
    period = 1.0 if hours < 0.5 else 5.0
    times = _times(dice, onset + hours * HOUR, period, 0.2)
    return _sample(name, limit, times, parts, onset)


HELD_OUT_LEAKS = ("plain", "in bursts", "with the load", "getting faster")
