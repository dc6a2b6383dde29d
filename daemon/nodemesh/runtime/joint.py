"""How does one instance get events of several meshes, as if they were of one?"""

from collections.abc import Callable

from nodeapi.v1 import mesh_pb2
from nodemesh.model.delivery import Sending
from nodemesh.model.delivery import Session as Hands
from nodemesh.ports import Clock, Refused
from nodemesh.runtime.inbound import Inbound, renumbered
from nodemesh.runtime.session import MOST_GRANTED, Session


class Joint:
    """Deliveries have one count over all meshes, and what the instance grants is for all of them."""

    def __init__(self, own: Session, clock: Clock, left: Callable[["Joint"], None]) -> None:
        """`own` is its session of this host's events; with its end all ends."""
        self.hands = own.hands
        self._own, self._clock, self._left = own, clock, left
        self.wake = own.wake
        self._parts: list[Session] = [own]
        self._granted, self._sent = own.hands.granted, 0
        self._number = self._through = 0
        self._unread: tuple[Session, Sending] | None = None
        self._where: dict[int, tuple[Session, int]] = {}
        """By our number: whose it is, and which number it has there."""

    @property
    def own(self) -> Session:
        return self._own

    def add(self, source: Inbound) -> None:
        own = self.hands
        hands = Hands(own.instance, own.version, own.wishes, 0, own.keeps_order)
        part = Session(source, hands, self._clock)
        part.wake = self.wake
        self._parts.append(part)
        self._share()
        source.join(part)

    async def take(self) -> bytes:
        """Raises Refused when it is over."""
        while True:
            self.wake.clear()
            data = self.take_now()
            if data is None and self._unread is not None:
                (part, sending), self._unread = self._unread, None
                data = await part.written(sending, renumbered(sending, self._number + 1))
                if data is not None:
                    self._give(part, sending)
            elif data is None:
                await self.wake.wait()
            if data is not None:
                return data

    def take_now(self) -> bytes | None:
        """The same, or None: when there is nothing, or when `is_unread`."""
        if self._own.over:
            raise Refused(self._own.over)
        if self._unread is not None or (found := self._next()) is None:
            return None
        part, sending = found
        data = part.ready(sending, renumbered(sending, self._number + 1))
        if data is None:
            self._unread = found
        else:
            self._give(part, sending)
        return data

    @property
    def is_unread(self) -> bool:
        """As of a session."""
        return self._unread is not None

    def _give(self, part: Session, sending: Sending) -> None:
        self._number += 1
        self._sent += len(sending.places)
        self._where[self._number] = (part, sending.number)
        self._share()

    def settle(self, settle: mesh_pb2.Settle) -> None:
        """Raises Refused for what cannot be meant."""
        self._check(settle)
        said = {id(part): mesh_pb2.Settle() for part in self._parts}
        for failed in settle.failed:
            if (found := self._find(failed.delivery, said)) is not None:
                theirs = found[0].failed.add()
                theirs.CopyFrom(failed)
                theirs.delivery = found[1]
        for number in settle.working:
            if (found := self._find(number, said)) is not None:
                found[0].working.append(found[1])
        for number in settle.done:
            if (found := self._find(number, said)) is not None:
                found[0].done.append(found[1])
        self._reach(settle.through, said)
        self._granted = max(self._granted, settle.granted)
        for part in self._parts:
            if (word := said[id(part)]).ByteSize():
                part.settle(word)
        self._share()
        self.wake.set()

    def _check(self, settle: mesh_pb2.Settle) -> None:
        if settle.through > self._number:
            text = f"{settle.through} was not delivered yet, the last was {self._number}"
            raise Refused(f"settle.through: {text}")
        if settle.granted > self._sent + MOST_GRANTED:
            text = f"expected at most {self._sent + MOST_GRANTED}, found {settle.granted}"
            raise Refused(f"settle.granted: {text}")

    def _reach(self, through: int, said: dict[int, mesh_pb2.Settle]) -> None:
        """Numbers of a part rise with ours."""
        for number in range(self._through + 1, through + 1):
            if (found := self._find(number, said)) is not None:
                found[0].through = found[1]
            self._where.pop(number, None)
        self._through = max(self._through, through)

    def close(self) -> None:
        for part in self._parts:
            part.close()
        self._left(self)

    def _find(self, number: int, said: dict[int, mesh_pb2.Settle]) -> tuple[mesh_pb2.Settle, int] | None:
        where = self._where.get(number)
        if where is None or id(where[0]) not in said:
            return None
        return said[id(where[0])], where[1]

    def _next(self) -> tuple[Session, Sending] | None:
        """Each mesh in turn; one whose stream has ended is left out."""
        if any(part.over for part in self._parts):
            self._parts = [part for part in self._parts if not part.over]
        if self._sent >= self._granted:
            return None
        for turn, part in enumerate(self._parts):
            others = [each.hands for each in self._parts if each is not part]
            if any(each.room <= 0 and each.held for each in others):
                continue
            part.hands.elsewhere = sum(len(each.held) for each in others)
            sending = part.next()
            if sending is not None:
                self._parts = [*self._parts[turn + 1 :], *self._parts[: turn + 1]]
                return part, sending
            if part.hands.elsewhere and part.wants_alone:
                return None
        return None

    def _share(self) -> None:
        free = max(0, self._granted - self._sent)
        for part in self._parts:
            part.hands.granted = part.hands.sent + free
