"""Is everything that one contract allows a producer to send valid by the contract of a consumer?

Producers may narrow, consumers may widen. Judged are the words of `schemas.JUDGED`, $ref, allOf and anyOf; of
others no more is known than that both sides may say the same. What a producer says in words that are not
judged is passed over: it sends less than is taken here, so "compatible" stays true, and "breaks" becomes
"unknown".
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import zip_longest
from typing import Any

from noded.policy import ranges, taken
from noded.policy.joining import TOGETHER, Conjunct, Way, frozen
from noded.policy.schemas import (
    ALIKE,
    DEEPEST,
    JUDGED,
    LEADING,
    TOO_LARGE,
    Meter,
    Side,
    Unclear,
    kinds,
    limit,
    listed,
    plain,
    read,
    required,
    schemas,
    shown,
    step,
    values,
)

MOST = 5
"""Problems that are told of one pair of contracts."""
CHARACTERS = 256
"""Of a text that are read in the time of one step."""
ARTICLES = {
    "integer": "an integer",
    "array": "an array",
    "object": "an object",
    "null": "null",
} | {name: f"a {name}" for name in ("boolean", "number", "string")}


class Answer(StrEnum):
    BREAKS = "breaks"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    answer: Answer
    path: str
    """Into the value, such as `$.items[].price`."""
    why: str


Found = tuple[Finding, ...]


def compare(producer: str, consumer: str, meter: Meter | None = None) -> Found:
    """Two JSON Schemas as text. Nothing is found when all that the first allows is valid by the second."""
    if producer == consumer:
        return ()
    spent = meter or Meter()
    try:
        spent.spend((len(producer) + len(consumer)) // CHARACTERS, "$")
        one, other = read(producer), read(consumer)
        if frozen(plain(one)) == frozen(plain(other)):
            return ()
        pair = Pair(Side(one, spent, sends=True), Side(other, spent))
        found = pair.fits(one, other, "$", 0)
        return tuple(f for f in found if f not in [f for f in found if f.why == TOO_LARGE][1:])
    except Unclear as unclear:
        return (Finding(Answer.UNKNOWN, unclear.path, unclear.why),)
    except ValueError as error:
        return (Finding(Answer.UNKNOWN, "$", f"it cannot be read: {error}"[:200]),)
    except (RecursionError, OverflowError):
        return (Finding(Answer.UNKNOWN, "$", "it is nested too deep, or its numbers are too long"),)


def _breaks(path: str, why: str) -> Found:
    return (Finding(Answer.BREAKS, path, why),)


def _unknown(path: str, why: str) -> Found:
    return (Finding(Answer.UNKNOWN, path, why),)


@dataclass(frozen=True, slots=True)
class Pair:
    producer: Side
    consumer: Side
    under_way: frozenset[tuple[int, int]] = frozenset()

    def fits(self, sent: Any, wanted: Any, path: str, depth: int) -> Found:
        """Of what the producer's part `sent` allows, what may not be valid by `wanted`."""
        if depth > DEEPEST:
            return _unknown(path, f"it is deeper than {DEEPEST} levels")
        try:
            goals = self.consumer.ways(wanted, path)
            if goals == [({},)]:
                return ()
            found: Found = ()
            for way in self.producer.ways(sent, path):
                if not self._empty(way, path, depth):
                    found += self._one(way, goals, path, depth)
            return tuple(dict.fromkeys(found))[:MOST]
        except Unclear as unclear:
            return _unknown(unclear.path, unclear.why)

    def _one(self, way: Way, goals: list[Way], path: str, depth: int) -> Found:
        if not goals:
            return _breaks(path, "may be sent, and is not taken at all")
        if len(goals) == 1:
            return tuple(f for goal in goals[0] for f in self._part(way, goal, path, depth))
        tries = [tuple(f for goal in one for f in self._part(way, goal, path, depth)) for one in goals]
        if not all(tries):
            return ()
        if len(way) > 1:
            return _unknown(path, "none of the ways of its anyOf is known to take all that is sent")
        return self._split(way[0], goals, path, depth)

    def _split(self, part: Conjunct, goals: list[Way], path: str, depth: int) -> Found:
        """No single way takes everything: perhaps each type, or each value, has one of its own."""
        listed = self._few(part, path)
        if listed is not None:
            return tuple(f for value in listed for f in self._value(value, goals, path))
        found: Found = ()
        for kind in kinds(part, path):
            only = {**part, "type": kind}
            open_to = [goal for goal in goals if all(self._takes(kind, one, path) for one in goal)]
            whole = [
                tuple(f for one in goal for f in self._part((only,), one, path, depth)) for goal in open_to
            ]
            if all(whole) and len(open_to) > 1:
                found += _unknown(path, f"which ways of its anyOf take {ARTICLES[kind]} cannot be told")
            elif all(whole):
                found += whole[0] if whole else _breaks(path, f"may be {ARTICLES[kind]}, which is not taken")
        return found

    def _takes(self, kind: str, goal: Conjunct, path: str) -> bool:
        known = kinds(goal, path)
        return (
            kind in known
            or (kind == "integer" and "number" in known)
            or (kind == "number" and "integer" in known)
        )

    def _part(self, way: Way, goal: Conjunct, path: str, depth: int) -> Found:
        """One of the things a value must fit at once is enough when it allows nothing but what is wanted."""
        found: Found = ()
        for part in way:
            found = self._against(part, goal, path, depth)
            if not found:
                return ()
        if len(way) > 1:
            return _unknown(path, f"what allOf or $ref say together cannot be told; {found[0].why}")
        return found

    def _against(self, part: Conjunct, goal: Conjunct, path: str, depth: int) -> Found:
        self.producer.meter.spend(1 + len(part) + len(goal), path)
        found = (*self._judged(part, goal, path, depth), *self._alike(part, goal, path))
        strange = next((word for word in part if word not in JUDGED), "")
        if strange:
            why = f"the producer's {strange} is not compared here"
            found = tuple(replace(f, answer=Answer.UNKNOWN, why=f"{f.why}; {why}") for f in found)
        return found

    def _judged(self, part: Conjunct, goal: Conjunct, path: str, depth: int) -> Found:
        listed = self._few(part, path)
        if listed is not None:
            return tuple(f for value in listed for f in self._value(value, [(goal,)], path))
        if values(goal, path) is not None:
            return self._unlisted(part, goal, path)
        sent = [kind for kind in kinds(part, path) if self._possible(kind, part, path, depth)]
        wanted = kinds(goal, path)
        foreign = [
            kind for kind in sent if kind not in wanted and not (kind == "integer" and "number" in wanted)
        ]
        found = self._foreign(foreign, wanted, "type" in part, path) if foreign else ()
        for kind in sent:
            if kind not in foreign:
                found += self._kind(kind, part, goal, path, depth)
        return found

    def _foreign(self, sent: list[str], wanted: tuple[str, ...], told: bool, path: str) -> Found:
        if sent == ["number"] and "integer" in wanted:
            return _breaks(path, "may be a number with a fraction, where an integer is asked for")
        asked = " or ".join(ARTICLES[name] for name in wanted) or "nothing"
        may_be = " or ".join(ARTICLES[name] for name in sent) if told else "anything"
        return _breaks(path, f"may be {may_be}, where {asked} is asked for")

    def _alike(self, part: Conjunct, goal: Conjunct, path: str) -> Iterator[Finding]:
        for word in goal:
            if word in JUDGED and word != "pattern":
                continue
            if word == "pattern" and not {"string"} & {*kinds(part, path)}:
                continue
            if word not in ALIKE or not self._same(part, goal, word):
                yield Finding(
                    Answer.UNKNOWN, f"{path}", f"the consumer's {word} is compared by a person only"
                )

    def _same(self, part: Conjunct, goal: Conjunct, word: str) -> bool:
        if word not in part or self.producer.other != self.consumer.other:
            return False
        words = next((group for group in TOGETHER if word in group), (word,))
        if any(lead in str(goal.get(one)) for one in words for lead in LEADING):
            return False
        return all(frozen(part.get(one)) == frozen(goal.get(one)) for one in words)

    def _value(self, value: Any, goals: list[Way], path: str) -> Found:
        fits = taken.fits(self.consumer, value, goals, path)
        if fits:
            return ()
        if fits is None:
            return _unknown(path, f"may be {shown(value)}, and whether that is taken cannot be told")
        return _breaks(path, f"may be {shown(value)}, which is not taken")

    def _few(self, part: Conjunct, path: str) -> list[Any] | None:
        """All values there may be, where they are listed or few; None else."""
        listed = values(part, path)
        if listed is not None:
            rest = {word: value for word, value in part.items() if word not in ("enum", "const")}
            return [v for v in listed if taken.fits(self.producer, v, [(rest,)], path) is not False]
        return ranges.few(part, kinds(part, path), path)

    def _unlisted(self, part: Conjunct, goal: Conjunct, path: str) -> Found:
        names = ", ".join(map(shown, (values(goal, path) or [])[:5]))
        if "pattern" in part or {*kinds(part, path)} <= {"array", "object"}:
            return _unknown(path, f"only some values are taken ({names})")
        return _breaks(path, f"may be any value of its type, and only some are taken ({names})")

    def _empty(self, way: Way, path: str, depth: int) -> bool:
        """Whether nothing can be valid; False when that cannot be told easily."""
        return any(
            not any(self._possible(kind, part, path, depth) for kind in kinds(part, path)) for part in way
        )

    def _possible(self, kind: str, part: Conjunct, path: str, depth: int) -> bool:
        if kind == "object":
            known, more = schemas(part, "properties", path), part.get("additionalProperties", True)
            return not any(
                self.producer.ways(known.get(name, more), path) == [] for name in required(part, path)
            )
        return ranges.possible(kind, part, path)

    # Type by type

    def _kind(self, kind: str, part: Conjunct, goal: Conjunct, path: str, depth: int) -> Found:
        match kind:
            case "string":
                why = ranges.wider(part, goal, ("minLength", "maxLength"), "characters", path)
                if why and "pattern" in part:
                    return _unknown(path, f"{why}, if the producer's pattern allows it")
            case "number" | "integer":
                why = ranges.beyond(kind == "integer", part, goal, path)
            case "array":
                return self._array(part, goal, path, depth)
            case "object":
                return self._object(part, goal, path, depth)
            case _:
                why = ""
        return _breaks(path, why) if why else ()

    def _array(self, part: Conjunct, goal: Conjunct, path: str, depth: int) -> Found:
        first, wanted = (listed(one, "prefixItems", path) for one in (part, goal))
        longest, rest, asked = limit(part, "maxItems", path), part.get("items", True), goal.get("items", True)
        if rest is False:
            longest = len(first) if longest is None else min(longest, len(first))
        closed = part if longest is None else {**part, "maxItems": longest}
        why = ranges.wider(closed, goal, ("minItems", "maxItems"), "items", path)
        found = _breaks(path, why) if why else ()
        for place, (sent, taken_) in enumerate(zip_longest(first, wanted)):
            inside = rest if place >= len(first) else sent
            if (longest is not None and place >= longest) or not self.producer.ways(inside, path):
                return found
            goes = asked if place >= len(wanted) else taken_
            found += self._inside(inside, goes, f"{path}[{place}]", depth)
        if longest is not None and longest <= max(len(first), len(wanted)):
            return found
        return found + self._inside(rest, asked, f"{path}[]", depth)

    def _object(self, part: Conjunct, goal: Conjunct, path: str, depth: int) -> Found:
        always = {*required(part, path)}
        found: Found = tuple(
            Finding(Answer.BREAKS, step(path, name), "may be missing, and is asked for")
            for name in required(goal, path)
            if name not in always
        )
        known, wanted = schemas(part, "properties", path), schemas(goal, "properties", path)
        # Names that patternProperties match are no longer additional.
        more = True if "patternProperties" in part else part.get("additionalProperties", True)
        rest = goal.get("additionalProperties", True)
        for name in dict.fromkeys((*wanted, *known)):
            if self.producer.meter.left < 0:
                return found + _unknown(path, TOO_LARGE)
            sent, asked = known.get(name, more), wanted.get(name, rest)
            if sent is not False:
                found += self._property(name, sent, asked, name in known, path, depth)
        if more is not False and rest is not True and "patternProperties" not in goal:
            found += self._others(more, rest, path, depth)
        return found[:MOST]

    def _property(self, name: str, sent: Any, asked: Any, told: bool, path: str, depth: int) -> Found:
        place = step(path, name)
        found = self._inside(sent, asked, place, depth)
        if asked is False and found:
            return _breaks(place, "may be sent, and the consumer takes no such property")
        if told or not found:
            return found
        if sent is True:
            why = "may be anything: the producer's contract does not name it and is open to other properties"
            return (Finding(found[0].answer, place, why),)
        return found

    def _others(self, more: Any, rest: Any, path: str, depth: int) -> Found:
        found = self._inside(more, rest, f"{path}.*", depth)
        if found and rest is False:
            why = "may have properties that no contract names, and the consumer takes none"
            return _breaks(path, why)
        return found

    def _inside(self, sent: Any, asked: Any, path: str, depth: int) -> Found:
        """One level deeper. A pair that is being compared already holds if it holds for what is inside it."""
        key = (id(sent), id(asked))
        if isinstance(asked, Mapping) and key in self.under_way:
            return ()
        # Deeper down more is kept of the way there.
        self.producer.meter.spend(1 + depth // 4, path)
        inner = replace(self, under_way=self.under_way | {key})
        return inner.fits(sent, asked, path, depth + 1)
