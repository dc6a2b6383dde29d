"""Does a mapping from outside hold what was expected? Every mistake is collected, none is guessed away."""

import math
import os
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import TypeVar

T = TypeVar("T")


class Fields:
    """Takes typed values out of a mapping and remembers each mistake as one line that names the key."""

    def __init__(self, raw: Mapping[str, object], prefix: str = "") -> None:
        self._raw = raw
        self._prefix = prefix
        self._known: list[str] = []
        self.mistakes: list[str] = []

    def need(self, key: str, check: Callable[[object], T | None], expected: str, stand_in: T) -> T:
        """The value of a required key; after a mistake `stand_in`, so that reading can go on."""
        if key not in self._raw:
            self._known.append(key)
            self.mistakes.append(f"{self._prefix}{key}: missing, expected {expected}")
            return stand_in
        return self.take(key, check, expected, stand_in)

    def take(self, key: str, check: Callable[[object], T | None], expected: str, default: T) -> T:
        """The value of an optional key. `check` answers None for a value that is not as expected."""
        self._known.append(key)
        if key not in self._raw:
            return default
        value = check(self._raw[key])
        if value is None:
            self.mistakes.append(f"{self._prefix}{key}: {shown(self._raw[key])}, expected {expected}")
            return default
        return value

    def finish(self) -> list[str]:
        """All mistakes, unknown keys included. Call it after every known key was taken."""
        for key in self._raw:
            if key not in self._known:
                near = get_close_matches(key, self._known, 1)
                hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(self._known)}"
                self.mistakes.append(f"{self._prefix}{shown(key)}: unknown key{hint}")
        return self.mistakes


def shown(value: object) -> str:
    """A value as it may appear in an error text: bounded and on one line."""
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def text(value: object) -> str | None:
    """Text the kernel can take as a path or an argument: no NUL, no half of a surrogate pair."""
    if not isinstance(value, str) or "\0" in value:
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        return None
    return value


def filled(value: object) -> str | None:
    return text(value) or None


def path(value: object) -> str | None:
    found = text(value)
    return found if found is not None and found.startswith("/") and len(found) < 4096 else None


def place(value: object) -> str | None:
    """A path that says where it leads, links aside: without ".", ".." and double slashes, not / itself."""
    found = path(value)
    plain = found is not None and os.path.normpath(found) == found != "/" and not found.startswith("//")
    return found if plain else None


def whole(value: object) -> int | None:
    """A whole number that is not negative and fits the kernel's 63 bits."""
    return value if type(value) is int and 0 <= value < 2**63 else None


def number(value: object) -> float | None:
    if type(value) is int:
        return float(value) if 0 <= value < 2**53 else None
    return value if type(value) is float and math.isfinite(value) and value >= 0 else None


def flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def texts(value: object) -> tuple[str, ...] | None:
    if not isinstance(value, list):
        return None
    found = tuple(entry for entry in map(text, value) if entry is not None)
    return found if len(found) == len(value) else None


def mapping(value: object) -> Mapping[str, object] | None:
    return value if isinstance(value, dict) else None
