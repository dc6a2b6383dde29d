"""Which deliveries of this session are handled, what has the mesh been told, and how much may it send?"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from time import monotonic

from .frames import Frame
from .payload import is_json
from .wire import RETRY, Failed, Settle

MOST_GRANTED = 8192
RATE_TIME = 0.25
LONGEST_REASON = 500
HANDLED, FAILED = 1, 2
# What was settled so long before the connection was lost is on the mesh's disk.
UNSURE = 5.0
# The mesh sends again what was in hand as soon as somebody is there to take it.
REMEMBERED = 30.0
MOST_RECENT = 2048
Marks = tuple[Sequence[int], bytearray]
"""Of one delivery: the places in the whole frame (none: as they are), and what became of each."""


class Delivery:
    """Events that came together. `marks`: what became of each so far."""

    __slots__ = ("frame", "json", "left", "marks", "number", "session")

    def __init__(self, session: "Session", frame: Frame) -> None:
        self.session, self.frame = session, frame
        self.number = frame.delivery.number
        self.left = len(frame.data)
        self.marks = bytearray(self.left)
        self.json = is_json(frame.head.content)

    def identity(self, place: int) -> tuple[str, int]:
        """Stream and sequence: the same whenever the event comes again."""
        return self.frame.head.stream, self.frame.sequence(place)


class Session:
    """From one subscription to the loss of its connection. `speak` sends what is to be told."""

    def __init__(self, least: int, plan: Callable[[], None]) -> None:
        self.least = min(MOST_GRANTED, least)
        self.plan = plan
        self.order: deque[Delivery] = deque()
        self.number = self.through = 0
        """Of the newest delivery, and of the last one before which all are done."""
        self.recent: deque[tuple[float, tuple[str, int], Marks]] = deque(maxlen=MOST_RECENT)
        self.above: list[int] = []
        self.failed: list[Failed] = []
        self.finished = 0
        self.granted = self.least
        self.planned = self.closing = False
        self._since, self._before, self._rate = monotonic(), 0, 0

    def take(self, frame: Frame) -> Delivery:
        delivery = Delivery(self, frame)
        self.number = delivery.number
        self.order.append(delivery)
        return delivery

    # What becomes of events

    def handled(self, delivery: Delivery, place: int) -> None:
        delivery.marks[place] = HANDLED
        self.finished += 1
        delivery.left -= 1
        if not delivery.left:
            self.complete(delivery)
        if not self.planned:
            self.planned = True
            self.plan()

    def handled_so_far(self, delivery: Delivery) -> None:
        """What was only marked is counted: once for many events."""
        left = delivery.marks.count(0)
        if left == delivery.left:
            return
        self.finished += delivery.left - left
        delivery.left = left
        if not left:
            self.complete(delivery)
        if not self.planned:
            self.planned = True
            self.plan()

    def fail(
        self, delivery: Delivery, place: int, how: int = RETRY, after: float = 0.0, why: str = ""
    ) -> None:
        self.failed.append(Failed(delivery.number, place, how, after, why[:LONGEST_REASON]))
        self.handled(delivery, place)
        delivery.marks[place] = FAILED

    def complete(self, delivery: Delivery) -> None:
        if delivery is not self.order[0]:
            self.above.append(delivery.number)

    # What is told

    def settle(self) -> Settle:
        """What the mesh does not know yet."""
        self.planned = False
        order = self.order
        while order and not order[0].left:
            delivery = order.popleft()
            self.through = delivery.number
            self.recent.append((monotonic(), *remembered(delivery)))
        done = [number for number in self.above if number > self.through]
        failed, self.above, self.failed = self.failed, [], []
        return Settle(self.through, done, failed, self.grant())

    def grant(self) -> int:
        """Enough for what is handled in a quarter of a second, so that nobody waits for the next word."""
        if self.closing:
            return self.granted
        passed = monotonic() - self._since
        lately = self.finished - self._before
        if passed >= RATE_TIME:
            self._rate = int(lately * RATE_TIME / passed)
            self._since, self._before = monotonic(), self.finished
        window = min(MOST_GRANTED, max(self.least, self._rate, lately))
        self.granted = max(self.granted, self.finished + window)
        return self.granted

    def in_hand(self, but: Iterable[Delivery] = ()) -> Sequence[int]:
        passed_over = {each.number for each in but}
        return [each.number for each in self.order if each.left and each.number not in passed_over]


class Lately:
    """What was handled shortly before a connection was lost: the mesh may not know, and send it again."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, int], list[Marks]] = {}
        """By stream and first sequence of the frame. Those still at work go on marking what they handle."""
        self.until = 0.0

    def lost(self, session: Session) -> None:
        now = monotonic()
        self.known = {}
        for delivery in session.order:
            session.recent.append((now, *remembered(delivery)))
        for at, frame, marks in session.recent:
            if now - at < UNSURE:
                self.known.setdefault(frame, []).append(marks)
        self.until = now + REMEMBERED

    def handled(self, frame: Frame) -> set[int]:
        """Places in this frame that need no handler."""
        if monotonic() > self.until:
            self.known = {}
        before = {
            index[place] if index else place
            for index, marks in self.known.get((frame.head.stream, frame.head.first), ())
            for place, mark in enumerate(marks)
            if mark == HANDLED
        }
        if not before:
            return set()
        index = frame.index
        return {place for place in range(len(frame.data)) if (index[place] if index else place) in before}


def remembered(delivery: Delivery) -> tuple[tuple[str, int], Marks]:
    """A part of a frame has the stream and first sequence of the whole."""
    frame = delivery.frame
    return (frame.head.stream, frame.head.first), (frame.index, delivery.marks)
