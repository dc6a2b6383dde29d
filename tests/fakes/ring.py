"""A ring in memory: what was flushed stays, what was not is lost, and every step is remembered.

It can be told to fail like a full disk, and passes the same contract suite as `SegmentRing`.
"""

from noded.ports import Unavailable


class FakeRing:
    def __init__(self, segment: int = 8 * 1024 * 1024, kept: int = 64 * 1024 * 1024) -> None:
        self.segments: list[str] = []
        """The text of every kept segment, oldest first."""
        self.steps: list[str] = []
        self.is_full_disk = False
        self._segment = segment
        self._kept = kept
        self._pending: list[str] = []
        self._size = 0

    def append(self, line: str) -> None:
        self.steps.append(f"append {line[:1]}")
        self._pending.append(line)
        self._size += len(line) + 1

    def full(self) -> bool:
        return self._size >= self._segment

    def rotate(self, header: str) -> None:
        self._write("rotate")
        self._size = len(header) + 1
        self._pending = [header]
        self.segments.append("")
        try:
            self._write("header")
        except Unavailable:
            self.segments.pop()
            raise
        while len(self.segments) > 2 and sum(map(len, self.segments)) > self._kept:
            del self.segments[0]

    def flush(self) -> None:
        self._write("flush")

    async def sync(self) -> None:
        self._write("sync")

    def _write(self, step: str) -> None:
        self.steps.append(step)
        pending, self._pending = self._pending, []
        if not pending:
            return
        if self.is_full_disk or not self.segments:
            raise Unavailable(f"cannot write the journal: {'disk full' if self.segments else 'no segment'}")
        self.segments[-1] += "\n".join(pending) + "\n"
