"""Which events wait for a consumer that asks for their order?

Events of one key go to one session, one after the other. A key changes hands only when nothing of it is under
way, and one that failed holds up those behind it. Key 0 is no key: such events have no order, each goes its
own way. An event is one number here, its position above its place.
"""

from collections import deque
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from nodemesh.model.delivery import NO_PAST, Batch, Offer, Past, Session
from nodemesh.model.frame import Places
from nodemesh.policy.kinds import Kind, Kinds

BITS = 16
MASK = (1 << BITS) - 1
REST = ""


@dataclass(slots=True, eq=False)
class Line:
    """What waits of one key, in the order of the log, as a heap."""

    key: int
    waiting: list[int]
    under_way: int = 0
    held_up: int = 0
    """Failed ones that wait for their time, or to be kept as dead letters."""
    last: int = 0
    """The one that was sent last: earlier ones that came back wait until nothing is under way."""
    session: Session | None = None
    """Whose hands hold what is under way."""
    home: "deque[Line] | None" = None
    """Where it is listed. A list that it has left may still hold it, and passes it over."""


_TRIED: deque[Line] = deque()
"""Home of lines whose first event was tried before."""


class Shelf:
    """Lines whose first event may be sent, by the position of that."""

    __slots__ = ("_at", "_order")

    def __init__(self) -> None:
        self._at: dict[int, deque[Line]] = {}
        self._order: list[int] = []

    def at(self, position: int) -> deque[Line]:
        lines = self._at.get(position)
        if lines is None:
            lines = self._at[position] = deque()
            heappush(self._order, position)
        return lines

    @property
    def first(self) -> int | None:
        while self._order:
            lines = self._at[self._order[0]]
            while lines and lines[0].home is not lines:
                lines.popleft()
            if lines:
                return self._order[0]
            del self._at[heappop(self._order)]
        return None


class Keyed:
    def __init__(self, kinds: Kinds, offers: Mapping[int, Offer]) -> None:
        """`offers` are looked at, not changed."""
        self._kinds, self._offers = kinds, offers
        self._lines: dict[int, Line] = {}
        self._keys: dict[int, Sequence[int]] = {}
        """Of the events of a frame, by position."""
        self._open: dict[tuple[Kind, str], Shelf] = {}
        """Lines that nobody holds, by the kind of their first event, and the release whose they are."""
        self._own: dict[Session, Shelf] = {}
        """Lines that a session holds, and of which it may have more."""
        self._tried: dict[Kind, list[tuple[int, int]]] = {}
        """First event and key of lines that were tried before, as heaps."""
        self._past: dict[int, Past] = {}
        """Of waiting events that were tried before."""
        self._held_up: set[int] = set()

    def add(self, offer: Offer, places: Places, later: frozenset[int] = frozenset()) -> None:
        """`later` are those that wait for their next try, and come by `give_back`."""
        start, keys, lines = offer.position << BITS, offer.keys, self._lines
        sure: Sequence[int] = keys
        if not keys:
            sure = range(~start, ~start - places[-1] - 1, -1)
        elif 0 in keys:
            sure = tuple(key or ~(start + place) for place, key in enumerate(keys))
        self._keys[offer.position] = sure
        only = self._kinds.only
        rest = None if only is None or only.parts.live else self._shelf(only, REST).at(offer.position)
        for place in places:
            event, key = start + place, sure[place]
            line = lines.get(key)
            if line is None:
                line = lines[key] = Line(key, [])
            if place in later:
                line.held_up += 1
                self._held_up.add(event)
                line.home = None
                continue
            # The highest of all so far: the heap stays one.
            line.waiting.append(event)
            if rest is not None and not line.under_way and not line.held_up and line.home is None:
                rest.append(line)
                line.home = rest
            elif line.home is None:
                self._list(line)

    def give_back(self, batch: Batch) -> None:
        start, keys, past = batch.position << BITS, self._keys[batch.position], batch.past
        for place in batch.places:
            line, event = self._lines[keys[place]], start + place
            self._off(line, event)
            if past is not NO_PAST:
                self._past[event] = past
            heappush(line.waiting, event)
            if line.home is None or not line.under_way or line.waiting[0] == event:
                line.home = None
                self._list(line)

    def take(self, session: Session, only_again: bool = False) -> Batch | None:
        """Events of one frame, of as many keys as the session may have."""
        mine = self._kinds.of(session)
        rests = [kind for kind in mine if session.version in kind.parts.rest]
        if (found := self._first_tried(rests)) is not None:
            kind, first = found
            if first.suspect and (session.held or session.elsewhere):
                # Its hands must be empty first.
                return None
            return self._take_tried(session, kind, first)
        return None if only_again else self._take_first(session, mine)

    def _take_first(self, session: Session, mine: Sequence[Kind]) -> Batch | None:
        """Of what is new."""
        shelves = [self._own.get(session)]
        for kind in mine:
            is_rest = session.version in kind.parts.rest
            shelves.append(self._open.get((kind, REST if is_rest else session.version)))
        found = [(shelf.first, shelf) for shelf in shelves if shelf is not None]
        position = min((first for first, _ in found if first is not None), default=None)
        if position is None:
            return None
        places: list[int] = []
        for first_of_it, shelf in found:
            if first_of_it == position:
                self._take_new(session, position, shelf.at(position), places)
        places.sort()
        return Batch(position, tuple(places))

    def wants_alone(self, session: Session) -> bool:
        """Whether an event waits until this session has nothing in hand."""
        rests = [kind for kind in self._kinds.of(session) if session.version in kind.parts.rest]
        found = self._first_tried(rests)
        return found is not None and found[1].suspect

    def take_out(self, types: Set[str]) -> list[Batch]:
        """Everything of these types that waits here; it is to be settled."""
        out = []
        for line in list(self._lines.values()):
            gone = [event for event in line.waiting if self._type_of(event) in types]
            if gone:
                line.waiting = [event for event in line.waiting if self._type_of(event) not in types]
                heapify(line.waiting)
                line.under_way += len(gone)
                line.home = None
                out += [
                    Batch(event >> BITS, (event & MASK,), self._past.pop(event, NO_PAST)) for event in gone
                ]
                self._list(line)
        return out

    def settled(self, position: int, places: Places, over: bool) -> None:
        """`over`: these were the last of the frame."""
        start, keys, lines = position << BITS, self._keys[position], self._lines
        for place in places:
            key = keys[place]
            line = lines[key]
            if self._held_up:
                self._off(line, start + place)
            else:
                line.under_way -= 1
            if line.under_way:
                continue
            line.session = None
            if line.waiting:
                line.home = None
                self._list(line)
            elif not line.held_up:
                del lines[key]
        if over:
            del self._keys[position]

    def leave(self, session: Session) -> None:
        self._own.pop(session, None)

    def hold_up(self, position: int, place: int) -> None:
        """It failed: what is behind it waits until it comes back by `give_back`, or is settled."""
        line = self._lines[self._keys[position][place]]
        line.under_way -= 1
        line.held_up += 1
        line.home = None
        self._held_up.add((position << BITS) + place)
        if not line.under_way:
            line.session = None

    def gather(self, kind: Kind) -> None:
        """Its shares are about to change."""

    def spread(self, kind: Kind) -> None:
        """Its shares have changed."""
        self.sort()

    def sort(self) -> None:
        """Lines are listed anew. One that is under way stays in its hands until that is settled."""
        self._open, self._own, self._tried = {}, {}, {}
        for line in self._lines.values():
            line.home = None
            self._list(line)

    def _off(self, line: Line, event: int) -> None:
        if event in self._held_up:
            self._held_up.discard(event)
            line.held_up -= 1
        else:
            line.under_way -= 1
        if not line.under_way:
            line.session = None

    def _list(self, line: Line) -> None:
        """Where those find it who may send its first event; nowhere while nobody may."""
        if line.home is not None or line.held_up or not line.waiting:
            return
        event, session = line.waiting[0], line.session
        kind = self._kinds.only or self._kinds.kind_of(self._type_of(event))
        if session is not None:
            if event < line.last or event in self._past or not session.keeps_order:
                return
            if not self._may_go_on(session, kind, line.key):
                return
            if session not in self._own:
                self._own[session] = Shelf()
            shelf = self._own[session]
        elif event in self._past:
            heappush(self._tried.setdefault(kind, []), (event, line.key))
            line.home = _TRIED
            return
        else:
            shelf = self._shelf(kind, kind.shares.version_of(line.key) if kind.parts.live else REST)
        line.home = shelf.at(event >> BITS)
        line.home.append(line)

    def _may_go_on(self, session: Session, kind: Kind, key: int) -> bool:
        if kind not in self._kinds.of(session):
            return False
        wanted = kind.shares.version_of(key) if kind.parts.live else REST
        return session.version == wanted if wanted else session.version in kind.parts.rest

    def _shelf(self, kind: Kind, version: str) -> Shelf:
        shelf = self._open.get((kind, version))
        if shelf is None:
            shelf = self._open[kind, version] = Shelf()
        return shelf

    def _type_of(self, event: int) -> str:
        return self._offers[event >> BITS].type_of(event & MASK)

    def _first_tried(self, kinds: Sequence[Kind]) -> tuple[Kind, Past] | None:
        """Of these kinds the first one."""
        found = [(tried[0][0], kind) for kind in kinds if (tried := self._heap(kind))]
        if not found:
            return None
        event, kind = min(found, key=lambda each: each[0])
        return kind, self._past[event]

    def _heap(self, kind: Kind) -> list[tuple[int, int]]:
        """With one at its head that waits still."""
        tried = self._tried.get(kind, [])
        while tried:
            event, key = tried[0]
            line = self._lines.get(key)
            if line is not None and line.home is _TRIED and line.waiting[0] == event:
                break
            heappop(tried)
        return tried

    def _take_tried(self, session: Session, kind: Kind, past: Past) -> Batch:
        position = self._tried[kind][0][0] >> BITS
        most = 1 if past.suspect else session.free
        places: list[int] = []
        while len(places) < most and (tried := self._heap(kind)):
            if tried[0][0] >> BITS != position or self._past[tried[0][0]] != past:
                break
            line = self._lines[heappop(tried)[1]]
            self._run(line, session, most, places, past)
        return Batch(position, tuple(sorted(places)), past)

    def _take_new(self, session: Session, position: int, lines: deque[Line], places: list[int]) -> None:
        most = session.free
        while lines and len(places) < most:
            line = lines.popleft()
            if line.home is not lines:
                continue
            waiting = line.waiting
            if len(waiting) > 1:
                self._run(line, session, most, places, NO_PAST)
                continue
            line.last = waiting.pop()
            places.append(line.last & MASK)
            line.under_way += 1
            line.session = session
            line.home = None

    def _run(self, line: Line, session: Session, most: int, places: list[int], past: Past) -> None:
        """Takes the first of a line, and what may go with it."""
        waiting, position = line.waiting, line.waiting[0] >> BITS
        while True:
            event = heappop(waiting)
            self._past.pop(event, None)
            line.under_way += 1
            places.append(event & MASK)
            if not session.keeps_order or not waiting or len(places) >= most:
                break
            if waiting[0] >> BITS != position or self._past.get(waiting[0], NO_PAST) != past:
                break
            if self._kinds.only is None and not self._may_go_on(
                session, self._kinds.kind_of(self._type_of(waiting[0])), line.key
            ):
                break
        line.last, line.session, line.home = event, session, None
        self._list(line)
