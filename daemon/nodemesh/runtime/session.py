"""What does one instance of a consuming node get, and what does it say to it?"""

import asyncio
import math
from collections.abc import Sequence
from typing import Protocol

from nodeapi.v1 import mesh_pb2
from nodemesh.model.delivery import How, Sending, Wish
from nodemesh.model.delivery import Session as Hands
from nodemesh.policy.delivery import Delivery
from nodemesh.ports import Clock, NotFound, Refused, Unavailable
from nodemesh.runtime.bell import Bell

_HOW = {
    mesh_pb2.Failed.RETRY: How.RETRY,
    mesh_pb2.Failed.REJECT: How.REJECT,
    mesh_pb2.Failed.RELEASE: How.RELEASE,
    mesh_pb2.Failed.LOST: How.LOST,
}
PATIENCE = 1.0
"""Seconds until a log that could not be read is tried again."""
LONGEST_REASON = 1000
MOST_GRANTED = 65_536
"""Events that may be under way to one session."""


class Source(Protocol):
    """The consuming node it belongs to."""

    @property
    def delivery(self) -> Delivery: ...

    def next(self, hands: Hands) -> Sending | None:
        """What it should get now."""
        ...

    def ready(self, sending: Sending, alone: bool = False) -> bytes | None:
        """What goes out, if it need not be read."""
        ...

    async def written(self, sending: Sending, alone: bool = False) -> bytes:
        """What goes out; `alone` is told to another mesh.

        Raises NotFound when the log has lost it, Unavailable when it cannot be read now.
        """
        ...

    def moved(self, *, later: bool = True) -> None:
        """Something was settled; `later`: or given back, or to be done at some time."""
        ...


class Session:
    def __init__(self, source: Source, hands: Hands, clock: Clock) -> None:
        self.hands = hands
        self.wake = Bell()
        self._source = source
        self._clock = clock
        self._over = ""
        self._unread: Sending | None = None

    async def take(self) -> bytes:
        """The next frame to deliver. Raises Refused, with the reason, when the session is over."""
        while True:
            self.wake.clear()
            data = self.take_now()
            if data is None and self._unread is not None:
                sending, self._unread = self._unread, None
                data = await self.written(sending, sending)
            elif data is None:
                await self.wake.wait()
            if data is not None:
                return data

    def take_now(self) -> bytes | None:
        """The same, or None: when there is nothing, or when `is_unread`."""
        if self._over:
            raise Refused(self._over)
        if self._unread is not None or (sending := self.next()) is None:
            return None
        data = self.ready(sending, sending)
        if data is None:
            self._unread = sending
        return data

    @property
    def is_unread(self) -> bool:
        """What comes next has to be read from the disk: only `take` has it."""
        return self._unread is not None

    def next(self) -> Sending | None:
        return self._source.next(self.hands)

    @property
    def wants_alone(self) -> bool:
        return self._source.delivery.wants_alone(self.hands)

    def ready(self, sending: Sending, told: Sending) -> bytes | None:
        """As `written`, if it need not be read."""
        return self._source.ready(told, self._is_alone(sending))

    def _is_alone(self, sending: Sending) -> bool:
        held = self.hands.held.get(sending.number) if self.hands.is_peer else None
        return held is not None and held.past.suspect

    async def written(self, sending: Sending, told: Sending) -> bytes | None:
        """`told`: the same with the number that the other side sees. None when there is nothing to send."""
        try:
            return await self._source.written(told, self._is_alone(sending))
        except NotFound:
            # The log has lost it: nobody will ever see it.
            self._source.delivery.settle(self.hands, done=(sending.number,))
            self.hands.sent -= len(sending.places)
        except Unavailable:
            self._give_back(sending)
            await asyncio.sleep(PATIENCE)
        return None

    def _give_back(self, sending: Sending) -> None:
        released = [(sending.number, place, How.RELEASE, 0.0, "") for place in range(len(sending.places))]
        self._source.delivery.settle(self.hands, failed=released)
        self.hands.sent -= len(sending.places)

    def settle(self, settle: mesh_pb2.Settle) -> None:
        """Raises Refused for what cannot be meant."""
        if self._over:
            return
        now, hands = self._clock.now(), self.hands
        if settle.through > hands.number:
            raise Refused(
                f"settle.through: {settle.through} was not delivered yet, the last was {hands.number}"
            )
        if settle.granted > hands.sent + MOST_GRANTED:
            raise Refused(
                f"settle.granted: expected at most {hands.sent + MOST_GRANTED}, found {settle.granted}"
            )
        failed = tuple(map(_failure, settle.failed)) if settle.failed else ()
        delivery = self._source.delivery
        try:
            delivery.settle(hands, settle.through, settle.done, failed, now)
        except ValueError as error:
            raise Refused(f"settle.failed: {error}") from error
        if settle.working:
            delivery.working(hands, settle.working, now)
        hands.granted = max(hands.granted, settle.granted)
        self._source.moved(later=bool(failed or settle.working))
        self.wake.set()

    @property
    def over(self) -> str:
        """Why it is; empty while it is not."""
        return self._over

    def end(self, why: str) -> None:
        """It gets nothing more; what it had in hand goes to others."""
        if not self._over:
            self._over = why or "the session was closed"
            self._source.delivery.leave(self.hands, self._clock.now())
            self._source.moved()
            self.wake.set()

    def close(self) -> None:
        self.end("")


def _failure(failed: mesh_pb2.Failed) -> tuple[int, int, How, float, str]:
    after = failed.after if math.isfinite(failed.after) and failed.after > 0 else 0.0
    return (
        failed.delivery,
        failed.event,
        _HOW.get(failed.how, How.RETRY),
        after,
        failed.reason[:LONGEST_REASON],
    )


def hands(instance: str, version: str, subscribe: mesh_pb2.Subscribe, types: Sequence[str]) -> Hands:
    """Raises Refused for types the node does not consume."""
    wishes = {}
    for wish in subscribe.wishes:
        if wish.type not in types:
            known = ", ".join(sorted(types)) or "none"
            text = f"{wish.type!r} is not consumed by this node: add [[consumes]] to its node.toml"
            raise Refused(f"{text} (it has {known})")
        timeout = wish.timeout if math.isfinite(wish.timeout) and wish.timeout > 0 else Wish().timeout
        wishes[wish.type] = Wish(min(wish.attempts, 1000) or Wish().attempts, min(timeout, 86_400.0))
    granted = min(subscribe.granted, MOST_GRANTED)
    return Hands(instance, version, wishes, granted, subscribe.keeps_order)
