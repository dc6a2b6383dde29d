"""Does one range of numbers, lengths or counts lie within another, and how many values does it hold?"""

import math
from typing import Any

from noded.policy.joining import Conjunct
from noded.policy.schemas import limit, shown

FEW = 20
"""Integers that are looked at one by one."""
COUNTS = {"string": ("minLength", "maxLength"), "array": ("minItems", "maxItems")}


def wider(part: Conjunct, goal: Conjunct, words: tuple[str, str], unit: str, path: str) -> str:
    """Why a length or count may lie outside what is asked for; empty when it cannot."""
    low, high = (limit(part, word, path) for word in words)
    least, most = (limit(goal, word, path) for word in words)
    if least is not None and least > max(low or 0, 0):
        return f"may have fewer than {shown(least)} {unit}"
    if most is not None and (high is None or high > most):
        return f"may have more than {shown(most)} {unit}"
    return ""


def beyond(whole: bool, part: Conjunct, goal: Conjunct, path: str) -> str:
    """Why a number may lie outside what is asked for; empty when it cannot."""
    (low, above), (high, below) = _ends(part, path, whole)
    for word in ("minimum", "exclusiveMinimum"):
        least, open_ = limit(goal, word, path), word == "exclusiveMinimum"
        if least is not None and not (low > least or (low == least and (above or not open_))):
            return f"may be {'at most' if open_ else 'less than'} {shown(least)}"
    for word in ("maximum", "exclusiveMaximum"):
        most, open_ = limit(goal, word, path), word == "exclusiveMaximum"
        if most is not None and not (high < most or (high == most and (below or not open_))):
            return f"may be {'at least' if open_ else 'more than'} {shown(most)}"
    return ""


def possible(kind: str, part: Conjunct, path: str) -> bool:
    """Whether a value of this type can lie within its own range."""
    if kind in COUNTS:
        low, high = (limit(part, word, path) for word in COUNTS[kind])
        return high is None or high >= max(low or 0, 0)
    if kind in ("number", "integer"):
        (low, above), (high, below) = _ends(part, path, kind == "integer")
        return low < high or (low == high and not above and not below)
    return True


def few(part: Conjunct, kinds: tuple[str, ...], path: str) -> list[Any] | None:
    """All values of these types, where they are few; None else."""
    found: list[Any] = []
    for kind in kinds:
        match kind:
            case "null":
                found.append(None)
            case "boolean":
                found += [False, True]
            case "integer":
                (low, _), (high, _) = _ends(part, path, True)
                if low == -math.inf or high == math.inf or high - low >= FEW:
                    return None
                found += range(int(low), int(high) + 1)
            case _:
                return None
    return found


def _ends(part: Conjunct, path: str, whole: bool) -> tuple[tuple[float, bool], tuple[float, bool]]:
    """Lowest and highest value, and whether each is just outside; of integers both are inside."""
    low, above = _tightest(part, path, ("minimum", "exclusiveMinimum"), -1)
    high, below = _tightest(part, path, ("maximum", "exclusiveMaximum"), 1)
    if whole and low != -math.inf:
        low, above = (math.floor(low) + 1 if above else math.ceil(low)), False
    if whole and high != math.inf:
        high, below = (math.ceil(high) - 1 if below else math.floor(high)), False
    return (low, above), (high, below)


def _tightest(part: Conjunct, path: str, words: tuple[str, str], sign: int) -> tuple[float, bool]:
    inside, outside = (limit(part, word, path) for word in words)
    if inside is None and outside is None:
        return sign * math.inf, False
    if outside is None or inside is None:
        return (outside, True) if inside is None and outside is not None else (inside or 0, False)
    tighter = inside > outside if sign < 0 else inside < outside
    return (inside, False) if tighter else (outside, True)
