"""A log of the mesh in memory. It passes the same contract suite as `SqliteLog`.

Its time is that of the events. It can be told to fail like a full disk, and to have lost what a damaged file
held.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from nodemesh.model.frame import Stored
from nodemesh.ports import NotFound, Span, Unavailable


class FakeLog:
    def __init__(self) -> None:
        self.frames: dict[int, Stored] = {}
        self.problem = ""
        """While it is not empty, appending fails with it."""
        self._newest = 0
        self._taken = 0.0
        self._streams: dict[str, int] = {}

    @property
    def span(self) -> Span:
        if not self.frames:
            return Span(0, 0, 0) if not self._newest else Span(self._newest + 1, self._newest, 0)
        return Span(min(self.frames), self._newest, sum(len(frame.data) for frame in self.frames.values()))

    @property
    def streams(self) -> Mapping[str, int]:
        return self._streams

    def begin_above(self, position: int) -> None:
        self._newest = max(self._newest, position)

    def lose(self, first: int, last: int) -> None:
        for position in range(first, last + 1):
            self.frames.pop(position, None)

    async def append(self, frames: Sequence[Stored]) -> None:
        expected = range(self._newest + 1, self._newest + 1 + len(frames))
        if [frame.position for frame in frames] != list(expected):
            raise ValueError(f"positions are to be {expected}")
        if self.problem:
            raise Unavailable(self.problem)
        for frame in frames:
            self._taken = self._taken if frame.to else max(self._taken, frame.head.at)
            self.frames[frame.position] = replace(frame, taken=self._taken)
            if not frame.to:
                self._streams[frame.head.stream] = frame.head.last
        self._newest += len(frames)

    async def read(self, start: int, types: frozenset[str], most: int) -> tuple[Sequence[Stored], int]:
        found: list[Stored] = []
        size = 0
        for position in sorted(position for position in self.frames if position >= start):
            frame = self.frames[position]
            if types and types.isdisjoint(frame.head.types):
                continue
            found.append(frame)
            size += len(frame.data)
            if size >= most:
                return found, position + 1
        return found, max(start, self._newest + 1)

    async def copies(self, stream: str, sequence: int) -> Sequence[Stored]:
        frames = (frame for frame in self.frames.values() if frame.to and frame.head.stream == stream)
        return [frame for frame in frames if frame.head.first <= sequence <= frame.head.last]

    async def find(self, stream: str, sequence: int) -> Stored:
        for frame in self.frames.values():
            if (
                not frame.to
                and frame.head.stream == stream
                and frame.head.first <= sequence <= frame.head.last
            ):
                return frame
        raise NotFound(f"the log does not hold {stream}.{sequence}: it never came, or is not kept any more")

    async def gaps(self, stream: str) -> Sequence[tuple[int, int]]:
        heads = [f.head for f in self.frames.values() if not f.to and f.head.stream == stream]
        ends = [0, *(head.last for head in heads)]
        return [
            (end + 1, head.first - 1) for end, head in zip(ends, heads, strict=False) if head.first > end + 1
        ]

    async def drop(self, below: int) -> int:
        """Frame by frame, where files go as a whole; the newest frame stays."""
        gone = [position for position in self.frames if position < min(below, self._newest)]
        return sum(len(self.frames.pop(position).data) for position in gone)

    async def close(self) -> None:
        pass
