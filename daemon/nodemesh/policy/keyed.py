"""Which events wait for a consumer that asks for their order?

Events of one key go to one session, one after the other. A key changes hands only when nothing of it is under
way, and one that failed holds up those behind it.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from nodemesh.model.delivery import Batch, Offer, Past, Session
from nodemesh.model.frame import MOST_EVENTS, Places
from nodemesh.policy.waiting import Fits

NO_PAST = Past()
VersionOf = Callable[[int], str]
"""The release that should handle a key; empty: any."""


@dataclass(slots=True)
class Line:
    """What waits of one key: addresses in the order of the log, as a heap."""

    key: int
    waiting: list[tuple[int, int]] = field(default_factory=list)
    under_way: set[tuple[int, int]] = field(default_factory=set)
    held_up: set[tuple[int, int]] = field(default_factory=set)
    """Failed ones that wait for their time, or for a session of their own."""
    session: Session | None = None
    home: "deque[Line] | None" = None
    """The list it stands on. One that it has left may still hold it, and passes it over."""
    past: dict[tuple[int, int], Past] = field(default_factory=dict)

    @property
    def free(self) -> bool:
        """Its first event may be sent."""
        return bool(self.waiting) and not self.held_up


class Keyed:
    def __init__(self, version_of: VersionOf) -> None:
        self._version_of = version_of
        self._lines: dict[int, Line] = {}
        self._keys: dict[int, tuple[int, ...]] = {}
        """Keys of the events of a frame, by position."""
        self._left: dict[int, int] = {}
        """Events of a frame that are not settled yet."""
        self._open: dict[str, deque[Line]] = {}
        """Lines that nobody holds, by the release that should."""
        self._own: dict[int, deque[Line]] = {}
        """Lines that a session holds, by the session's id()."""

    def add(self, offer: Offer, places: Places, later: frozenset[int] = frozenset()) -> None:
        """`later` are those that wait for their next try, and come by `give_back`."""
        self._keys[offer.position] = offer.keys
        self._left[offer.position] = len(places)
        for place in places:
            key = _key(offer.keys, offer.position, place)
            line = self._lines.get(key)
            if line is None:
                line = self._lines[key] = Line(key)
            if place in later:
                line.held_up.add((offer.position, place))
            else:
                heapq.heappush(line.waiting, (offer.position, place))
            self._list(line)

    def give_back(self, batch: Batch) -> None:
        for place in batch.places:
            line = self._line(batch.position, place)
            event = batch.position, place
            line.under_way.discard(event)
            line.held_up.discard(event)
            if batch.past != NO_PAST:
                line.past[event] = batch.past
            heapq.heappush(line.waiting, event)
            self._release(line)

    def take(self, session: Session, most: int, fits: Fits) -> Batch | None:
        """Events of one frame, of as many keys as the session may have."""
        most = session.free
        position, past = 0, NO_PAST
        places: list[int] = []
        later: list[Line] = []
        for line in self._offered(session):
            if len(places) >= most:
                later.append(line)
                break
            if not self._may_send(line, session):
                continue
            first = line.waiting[0]
            its = line.past.get(first, NO_PAST)
            if (position and (first[0] != position or its != past)) or not fits(
                Batch(first[0], first[1:], its)
            ):
                later.append(line)
                continue
            position, past = first[0], its
            most = 1 if past.suspect else most
            self._take_from(line, session, most, places, past)
            if line.free:
                later.append(line)
        for line in later:
            self._list(line)
        return Batch(position, tuple(sorted(places)), past) if places else None

    def settled(self, position: int, places: Iterable[int]) -> None:
        for place in places:
            line = self._line(position, place)
            event = position, place
            line.under_way.discard(event)
            line.held_up.discard(event)
            line.past.pop(event, None)
            self._left[position] -= 1
            self._release(line)
        if not self._left[position]:
            del self._left[position], self._keys[position]

    def leave(self, session: Session) -> None:
        for line in self._own.pop(id(session), ()):
            line.home = None
            self._list(line)

    def hold_up(self, position: int, place: int) -> None:
        """It failed: what is behind it waits until it comes back by `give_back`, or is settled."""
        line = self._line(position, place)
        line.under_way.discard((position, place))
        line.held_up.add((position, place))
        if not line.under_way:
            line.session = line.home = None

    def reroute(self) -> None:
        """The shares have changed: lines that nobody holds are sorted anew."""
        listed = [line for lines in self._open.values() for line in lines if line.home is lines]
        self._open.clear()
        for line in listed:
            line.home = None
            self._list(line)

    def _may_send(self, line: Line, session: Session) -> bool:
        if not line.free:
            return False
        if line.under_way and line.session is not session:
            return False
        return session.keeps_order or not line.under_way

    def _take_from(self, line: Line, session: Session, most: int, places: list[int], past: Past) -> None:
        position = line.waiting[0][0]
        line.session = session
        while line.waiting and line.waiting[0][0] == position and len(places) < most:
            if line.past.get(line.waiting[0], NO_PAST) != past:
                break
            event = heapq.heappop(line.waiting)
            line.under_way.add(event)
            places.append(event[1])
            if not session.keeps_order:
                break

    def _offered(self, session: Session) -> Iterable[Line]:
        """Lines this session may take from, each taken off its list; the caller lists again what is left."""
        for lines in (self._own.get(id(session)), self._open.get(session.version), self._open.get("")):
            for _ in range(len(lines) if lines else 0):
                assert lines
                line = lines.popleft()
                if line.home is lines:
                    line.home = None
                    yield line

    def _list(self, line: Line) -> None:
        if line.home is not None or not line.free:
            return
        if line.under_way and line.session is not None:
            line.home = self._own.setdefault(id(line.session), deque())
        else:
            line.session = None
            line.home = self._open.setdefault(self._version_of(line.key), deque())
        line.home.append(line)

    def _release(self, line: Line) -> None:
        if not line.under_way:
            # Anybody may have it now, wherever it stood.
            line.session = line.home = None
            if not line.waiting and not line.held_up:
                self._lines.pop(line.key, None)
                return
        self._list(line)

    def _line(self, position: int, place: int) -> Line:
        key = _key(self._keys.get(position, ()), position, place)
        return self._lines.setdefault(key, Line(key))


def _key(keys: tuple[int, ...], position: int, place: int) -> int:
    """An event without a subject has a key of its own: nothing comes before or after it."""
    return keys[place] if keys and keys[place] else -(position * MOST_EVENTS + place) - 1
