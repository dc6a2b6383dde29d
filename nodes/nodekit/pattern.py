"""Does a text match a pattern, however hostile both are? Each character is looked at once: no backtracking.

Regular expressions as JSON Schema uses them, found anywhere in the text: literals, `.`, `[a-z]`, `[^a-z]`,
groups, `|`, `* + ? {m,n}`, `^` and `$` (the very start and end), `\\d \\w \\s` and `\\D \\W \\S` (ASCII),
`\\t \\n \\r`, `\\xHH`, `\\uHHHH`.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable
from typing import Any

LAST = 0x10FFFF
LONGEST = 1024
MOST_STATES = 2000
MOST_KEPT = 8000
DEEPEST = 50
MOST_LAID = 20_000
# What a part is, and what it is made of: the kind says which type that has.
Tree = tuple[str, Any]
# Pairs of first and last code point.
Ranges = tuple[tuple[int, int], ...]
CLASSES: dict[str, Ranges] = {
    "d": ((48, 57),),
    "w": ((48, 57), (65, 90), (95, 95), (97, 122)),
    "s": ((9, 13), (32, 32)),
}
SIGNS = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "0": 0}
COUNT = re.compile(r"\{(\d{1,4})(?:(,)(\d{0,4}))?\}")
HEX = re.compile(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})")


class PatternRefused(ValueError):
    """The text says what was found and what is possible."""


class TooMuch(Exception):
    """Judging this value would take too long."""


class Meter:
    """What is left of the work that one judgement may cost, in units of about 0.1 microseconds."""

    def __init__(self, most: int) -> None:
        self.most = self.left = most

    def spend(self, units: int) -> None:
        self.left -= units
        if self.left < 0:
            raise TooMuch


class State:
    """A set of places in the pattern, and where each kind of character leads from it."""

    __slots__ = ("after", "ends", "found", "places")

    def __init__(self, places: frozenset[int], found: bool, ends: bool) -> None:
        self.places = places
        self.found = found
        self.ends = ends
        self.after: dict[str, State] = {}


class Pattern:
    def __init__(self, source: str, meter: Meter) -> None:
        reader = Reader(source)
        self.meter = meter
        self.steps, self.jumps, self.goal = reader.steps, reader.jumps, reader.goal
        self.first, self.last = reader.starts, reader.ends
        self.start = reader.start
        self.kept: dict[frozenset[int], State] = {}
        self.count = 0
        self.forget()

    def matches(self, text: str) -> bool:
        state = self.begin
        for sign in text:
            if state.found:
                return True
            after = state.after.get(sign)
            state = self.grow(state, sign) if after is None else after
        return state.found or state.ends

    def forget(self) -> None:
        self.kept.clear()
        self.count = 0
        self.begin = self.state(self.closure((self.start,), True, False), True)

    def grow(self, state: State, sign: str) -> State:
        self.meter.spend(20 + 4 * len(state.places))
        if self.count >= MOST_KEPT:
            self.forget()
        code, steps = ord(sign), self.steps
        reached = [
            steps[place][1] for place in state.places if place in steps and within(steps[place][0], code)
        ]
        after = self.state(self.closure((*reached, self.start), False, False))
        state.after[sign] = after
        self.count += 1 + len(after.places) // 8
        return after

    def state(self, places: frozenset[int], first: bool = False) -> State:
        known = self.kept.get(places)
        if known is None or first:
            at_end = self.closure(places, first, True)
            known = State(places, self.goal in places, self.goal in at_end)
            if not first:
                self.kept[places] = known
        return known

    def closure(self, places: Iterable[int], at_start: bool, at_end: bool) -> frozenset[int]:
        reached, left = set[int](), list(places)
        while left:
            place = left.pop()
            if place in reached:
                continue
            reached.add(place)
            if (place in self.first and not at_start) or (place in self.last and not at_end):
                continue
            left.extend(self.jumps.get(place, ()))
        return frozenset(reached)


def within(ranges: Ranges, code: int) -> bool:
    place = bisect_right(ranges, (code, LAST)) - 1
    return place >= 0 and ranges[place][1] >= code


def merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    whole: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if whole and low <= whole[-1][1] + 1:
            whole[-1] = (whole[-1][0], max(high, whole[-1][1]))
        else:
            whole.append((low, high))
    return tuple(whole)


def outside(ranges: Ranges) -> Ranges:
    edges = [-1, *(edge for pair in ranges for edge in pair), LAST + 1]
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return tuple((low + 1, high - 1) for low, high in pairs if low + 1 <= high - 1)


class Reader:
    """Thompson's construction: `steps` take a character, `jumps` take none."""

    def __init__(self, source: str) -> None:
        if len(source) > LONGEST:
            raise PatternRefused(f"expected at most {LONGEST} characters, found {len(source)}")
        self.source, self.at, self.depth = source, 0, 0
        self.steps: dict[int, tuple[Ranges, int]] = {}
        self.jumps: dict[int, tuple[int, ...]] = {}
        self.starts, self.ends = set[int](), set[int]()
        self.states = self.laid = 0
        self.goal = self.place()
        tree = self.read_choice()
        if self.at < len(source):
            raise self.refused("a ) without a (")
        self.start = self.lay(tree, self.goal)

    def refused(self, what: str) -> PatternRefused:
        return PatternRefused(f"{what}, at character {self.at + 1} of {self.source[:60]!r}")

    def place(self, *jumps: int) -> int:
        self.states += 1
        if self.states > MOST_STATES:
            raise PatternRefused(f"{self.source[:60]!r} written out is longer than {MOST_STATES} places")
        if jumps:
            self.jumps[self.states] = jumps
        return self.states

    def next(self) -> str:
        return self.source[self.at : self.at + 1]

    # The source is read once into a tree, which is then laid down, each part before the place where it leads.

    def read_choice(self) -> Tree:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.refused(f"more than {DEEPEST} groups within each other")
        ways = [self.read_row()]
        while self.next() == "|":
            self.at += 1
            ways.append(self.read_row())
        self.depth -= 1
        return ways[0] if len(ways) == 1 else ("either", ways)

    def read_row(self) -> Tree:
        row: list[Tree] = []
        while self.next() not in ("", "|", ")"):
            part = self.read_part()
            row.append(self.read_times(part))
        return ("row", row)

    def read_part(self) -> Tree:
        sign = self.next()
        self.at += 1
        match sign:
            case "(":
                return self.read_group()
            case "[":
                return ("sign", self.read_set())
            case "\\":
                return ("sign", self.read_escape())
            case ".":
                return ("sign", outside(((10, 10), (13, 13), (0x2028, 0x2029))))
            case "^" | "$":
                return (sign, None)
            case "*" | "+" | "?" | "{":
                self.at -= 1
                raise self.refused(f"{sign} with nothing before it to repeat")
        return ("sign", ((ord(sign), ord(sign)),))

    def read_group(self) -> Tree:
        if self.next() == "?":
            if not self.source.startswith("?:", self.at):
                raise self.refused("expected ( or (?: for a group: looking ahead and names are not possible")
            self.at += 2
        inside = self.read_choice()
        if self.next() != ")":
            raise self.refused("a ( without its )")
        self.at += 1
        return inside

    def read_times(self, part: Tree) -> Tree:
        sign = self.next()
        if sign in ("*", "+", "?"):
            low, high = {"*": (0, -1), "+": (1, -1), "?": (0, 1)}[sign]
            self.at += 1
        elif sign == "{":
            found = COUNT.match(self.source, self.at)
            if not found:
                raise self.refused("expected a count such as {3} or {2,5}")
            low = int(found[1])
            high = low if not found[2] else int(found[3]) if found[3] else -1
            if 0 <= high < low:
                raise self.refused(f"expected a count that rises, found {found[0]}")
            self.at = found.end()
        else:
            return part
        if self.next() == "?":
            self.at += 1  # Lazy or greedy: the same texts match.
        if self.next() in ("*", "+", "{"):
            raise self.refused("a repetition of a repetition needs a group")
        return ("times", (part, low, high))

    def read_escape(self) -> Ranges:
        sign = self.next()
        if sign.lower() in CLASSES:
            self.at += 1
            known = CLASSES[sign.lower()]
            return known if sign.islower() else outside(known)
        code = self.read_code()
        return ((code, code),)

    def read_code(self) -> int:
        """Behind a backslash."""
        sign = self.next()
        found = HEX.match(self.source, self.at)
        if found:
            self.at = found.end()
            return int(found[1] or found[2], 16)
        if sign in SIGNS or (sign and not sign.isalnum()):
            self.at += 1
            return SIGNS.get(sign, ord(sign))
        raise self.refused(f"\\{sign} is not possible here")

    def read_set(self) -> Ranges:
        turned = self.next() == "^"
        self.at += turned
        parts: list[tuple[int, int]] = []
        while self.next() != "]":
            low = self.read_member()
            if self.next() == "-" and self.source[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                low = self.read_range(low, self.read_member())
            parts.extend(low)
        self.at += 1
        whole = merged(parts)
        return outside(whole) if turned else whole

    def read_range(self, low: Ranges, high: Ranges) -> Ranges:
        ends = (*low, *high)
        if len(ends) != 2 or any(first != last for first, last in ends) or high < low:
            raise self.refused("expected a range that rises, such as a-z")
        return ((low[0][0], high[0][0]),)

    def read_member(self) -> Ranges:
        sign = self.next()
        if not sign:
            raise self.refused("a [ without its ]")
        self.at += 1
        if sign != "\\":
            return ((ord(sign), ord(sign)),)
        if self.next() == "b":
            self.at += 1
            return ((8, 8),)
        return self.read_escape()

    def lay(self, tree: Tree, goal: int) -> int:
        self.laid += 1
        if self.laid > MOST_LAID:
            raise PatternRefused(f"{self.source[:60]!r} repeats too much")
        kind, inside = tree
        match kind:
            case "sign":
                place = self.place()
                self.steps[place] = (inside, goal)
                return place
            case "row":
                for part in reversed(inside):
                    goal = self.lay(part, goal)
                return goal
            case "either":
                return self.place(*[self.lay(way, goal) for way in inside])
            case "times":
                part, low, high = inside
                return self.lay_times(part, low, high, goal)
        place = self.place(goal)
        (self.starts if kind == "^" else self.ends).add(place)
        return place

    def lay_times(self, part: Tree, low: int, high: int, goal: int) -> int:
        if high < 0:
            again = self.place()
            self.jumps[again] = (self.lay(part, again), goal)
            goal = again
        for _ in range(high - low):
            goal = self.place(self.lay(part, goal), goal)
        for _ in range(low):
            goal = self.lay(part, goal)
        return goal
