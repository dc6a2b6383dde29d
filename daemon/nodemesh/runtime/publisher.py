"""What does one life of one publisher hand in, and what is it told?"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from nodeapi.v1 import mesh_pb2
from nodemesh.model.frame import Columns, Head, Stored
from nodemesh.model.table import Contract, Judging, Member
from nodemesh.ports import Codec, Refused
from nodemesh.runtime.bell import Bell

log = logging.getLogger("nodemesh")
WINDOW = 4 * 1024 * 1024
"""Bytes one publisher may have under way."""
MOST_TOLD = 100
"""Refusals told one by one in one answer."""
MOST_UNTOLD = 1000
"""Refusals that wait to be told; then nothing more is heard. So many of those told are remembered, too."""
Judge = Callable[[bytes, str], str]
"""What is wrong with an event's data, of this content type; empty when it keeps its contract."""


class Intake(Protocol):
    """Where frames go."""

    waiting: str
    """Why nothing is written at present; empty when it is."""

    @property
    def is_full(self) -> bool:
        """So much is on its way to the disk that no more should be handed in."""
        ...

    async def room(self) -> None:
        """Waits until it is no longer full."""
        ...

    def hand_in(self, publisher: "Publisher", stored: Stored) -> None: ...


class Contracts(Protocol):
    def contract(self, type: str, publisher: Member) -> Contract | None: ...

    def judge(self, contract: Contract) -> Judge | None: ...


class Publisher:
    def __init__(
        self,
        member: Member,
        head: Head,
        checked: bool,
        through: int,
        intake: Intake,
        rest: tuple[Codec, Contracts],
        refused: Iterable[mesh_pb2.Refusal] = (),
    ) -> None:
        """`refused`: of an earlier connection, which may not have heard of it."""
        self.member = member
        self.stream = head.stream
        self._checked = checked
        self._accepted = through
        self._through = through
        """Last sequence on disk or refused, with all before it."""
        self._begun = False
        self._warned: set[str] = set()
        self._refused = [each for each in refused if each.first + each.count - 1 <= through]
        self.refused = deque(self._refused, MOST_UNTOLD)
        """Told or not: whoever goes on with this stream is told again."""
        self._told_some = asyncio.Event()
        self._gone: list[tuple[int, int]] = []
        """First and last of what was refused beyond what is on disk."""
        self.news = Bell()
        self.news.set()
        self._told = ""
        self._over = ""
        self._intake = intake
        self._codec, self._contracts = rest

    @property
    def over(self) -> bool:
        return bool(self._over)

    @property
    def is_busy(self) -> bool:
        """`feed` would wait."""
        return self._intake.is_full or len(self._refused) > MOST_UNTOLD

    async def feed(self, frame: bytes) -> None:
        """Raises Refused when the stream cannot go on."""
        while self.is_busy and not self._over:
            await self._intake.room()
            if len(self._refused) > MOST_UNTOLD and not self._over:
                self._told_some.clear()
                await self._told_some.wait()
        self.feed_now(frame)

    def feed_now(self, frame: bytes) -> None:
        """The same for who has seen that it is not busy."""
        if self._over:
            raise Refused(self._over)
        head, columns = self._codec.read(frame)
        self._check(head)
        if head.last <= self._accepted:
            self.tell()
            return
        start = self._accepted + 1 - head.first
        self._accepted = head.last
        for first, last, reason in self._judged(head, columns, frame, start):
            if reason:
                self._refuse(head.first + first, last - first, reason)
            elif first == 0 and last == head.count:
                self._intake.hand_in(self, Stored(0, head, frame, columns))
            else:
                data = self._codec.piece(frame, first, last)
                head_of_it, columns_of_it = self._codec.read(data)
                self._intake.hand_in(self, Stored(0, head_of_it, data, columns_of_it))

    def _check(self, head: Head) -> None:
        if head.stream != self.stream:
            raise Refused(
                f"head.stream: expected {self.stream!r} as in the first frame, found {head.stream!r}"
            )
        expected = f"/{self.member.node}"
        if head.source != expected:
            raise Refused(f"head.source: expected {expected!r}, found {head.source!r}")
        if head.first > self._accepted + 1 and not self._begun:
            # It has had word of all before: what the log has lost since, or forgotten, nobody sends again.
            self._accepted = self._through = head.first - 1
        self._begun = True
        if head.first > self._accepted + 1:
            text = f"head.first: expected {self._accepted + 1}, found {head.first}"
            raise Refused(f"{text}: events in between are missing")

    async def take(self) -> bytes:
        """What is on disk, and what was refused. Raises Refused when the stream is over."""
        await self.news.wait()
        return self.take_now()

    def take_now(self) -> bytes:
        """The same, news or not."""
        self.news.clear()
        if self._over:
            raise Refused(self._over)
        refused, self._refused = self._refused[:MOST_TOLD], self._refused[MOST_TOLD:]
        self._told_some.set()
        through = self._through
        if self._refused:
            self.news.set()
            # What is refused must be told before, or with, what seems to say that all is on disk.
            through = min(through, *(each.first - 1 for each in self._refused))
        self._told = self._intake.waiting
        told = mesh_pb2.Published(through=through, window=WINDOW, refused=refused, waiting=self._told)
        return told.SerializeToString()

    def close(self) -> None:
        self.end("the stream was closed")

    def end(self, why: str) -> None:
        self._over = self._over or why
        self.news.set()
        self._told_some.set()

    def tell(self) -> None:
        self.news.set()

    def on_disk(self, head: Head) -> None:
        """It hears of it with the next `tell`."""
        self._reached(head.first, head.last)

    def refuse(self, head: Head, reason: str) -> None:
        """What was handed in could not be kept."""
        self._refuse(head.first, head.count, reason)

    def _refuse(self, first: int, count: int, reason: str) -> None:
        refusal = mesh_pb2.Refusal(first=first, count=count, reason=reason)
        self._refused.append(refusal)
        self.refused.append(refusal)
        self._reached(first, first + count - 1)
        self.news.set()

    def _reached(self, first: int, last: int) -> None:
        """Frames come to their end in order, refused ones sooner."""
        self._gone.append((first, last))
        while True:
            joined = next((span for span in self._gone if span[0] <= self._through + 1), None)
            if joined is None:
                break
            self._gone.remove(joined)
            self._through = max(self._through, joined[1])

    def _judged(self, head: Head, columns: Columns, frame: bytes, start: int) -> list[tuple[int, int, str]]:
        """Runs of neighbours with the same judgement: first place, place after the last, the reason or ""."""
        node = self.member.node
        judges: list[tuple[Judge | None, str]] = []
        for type in head.types:
            contract = self._contracts.contract(type, self.member)
            if contract is None:
                judges.append((None, f"{node} does not publish {type}: add [[publishes]] to its node.toml"))
            elif self._checked or contract.judging is Judging.OFF or not contract.schema:
                judges.append((None, ""))
            else:
                judges.append((self._contracts.judge(contract), ""))
        if all(judge is None for judge, _ in judges) and len({reason for _, reason in judges}) == 1:
            return [(start, head.count, judges[0][1])]
        data = self._codec.events(frame)
        runs: list[tuple[int, int, str]] = []
        for place in range(start, head.count):
            judge, reason = judges[columns.type[place] if columns.type else 0]
            text = reason or (judge(data[place], head.content) if judge else "")
            if text and not reason:
                text = self._weighed(head.types[columns.type[place] if columns.type else 0], text)
            if runs and runs[-1][2] == text:
                runs[-1] = (runs[-1][0], place + 1, text)
            else:
                runs.append((place, place + 1, text))
        return runs

    def _weighed(self, type: str, text: str) -> str:
        """Why a broken event is refused; empty where its publisher only wants to be told, once."""
        contract = self._contracts.contract(type, self.member)
        if contract is None or contract.judging is not Judging.WARN:
            return text
        if type not in self._warned:
            self._warned.add(type)
            log.warning("%s breaks the contract of %s, and goes on: %s", self.member.instance, type, text)
        return ""
