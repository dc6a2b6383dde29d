"""What may noded order a node to do, and what does the node answer?"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from . import memory
from .caches import Caches, OnLoop
from .profile import Profile

Result = dict[str, object]
# One frame slows an allocation-heavy node to a third, ten frames to a twentieth: one is the default.
MOST_FRAMES = 25
MOST_SITES = 100


class Refused(Exception):
    """The order cannot be obeyed; the text says why."""


@dataclass(frozen=True, slots=True)
class Orders:
    """Each order runs to its end in nodekit's thread; only the node's own shrink() is called on the loop."""

    caches: Caches
    profile: Profile
    on_loop: OnLoop
    activate: Callable[[], None]
    describe: Callable[[], Result]

    def obey(self, order: Mapping[str, Any]) -> Result:
        """Raises Refused for an order that is unknown, badly shaped or not possible now."""
        result: Result = {}
        match order.get("do"):
            case "collect":
                result.update(memory.collect())
            case "shrink":
                result = self.shrink(share(order.get("fraction", 0.5)))
            case "restore":
                result = self.restore()
            case "profile_start":
                self.profile_start(number(order, "frames", 1, MOST_FRAMES))
            case "profile_stop":
                result = self.profile_stop(number(order, "top", 15, MOST_SITES))
            case "activate":
                self.activate()
            case "describe":
                result = self.describe()
            case unknown:
                raise Refused(f"do: {str(unknown)[:64]!r} is not an order this nodekit knows")
        return result

    def shrink(self, fraction: float) -> Result:
        before = memory.rss()
        caches = self.caches.shrink(fraction, self.on_loop)
        memory.trim()
        return {"before": before, "after": memory.rss(), "caches": caches}

    def restore(self) -> Result:
        before = memory.rss()
        caches = self.caches.restore()
        return {"before": before, "after": memory.rss(), "caches": caches}

    def profile_start(self, frames: int) -> None:
        try:
            self.profile.start(frames)
        except ValueError as error:
            raise Refused(str(error)) from None

    def profile_stop(self, top: int) -> Result:
        try:
            return self.profile.stop(top)
        except ValueError as error:
            raise Refused(str(error)) from None


def share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise Refused(f"fraction: expected a number from 0 to 1, got {str(value)[:64]!r}")
    return float(value)


def number(order: Mapping[str, Any], key: str, default: int, most: int) -> int:
    value = order.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise Refused(f"{key}: expected a whole number from 1 to {most}, got {str(value)[:64]!r}")
    return value
