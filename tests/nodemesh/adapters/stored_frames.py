"""Frames for tests of the log; the bytes say which frame it is."""

import random
from collections.abc import Sequence

from nodemesh.model.frame import Columns, Head, Stored
from nodemesh.ports import Log

NONE = Columns()


def frame(
    position: int,
    stream: str = "shop.1",
    first: int = 0,
    count: int = 1,
    types: tuple[str, ...] = ("order.placed",),
    size: int = 256,
    columns: Columns = NONE,
) -> Stored:
    """Without `first`: one event, numbered as the position."""
    source = f"/{stream.partition('.')[0]}"
    head = Head(source, stream, first or position, count, 1000.25 + position, types, "1.2.0ü", "text/plain")
    data = f"{stream} {position} ".encode() + random.Random(position).randbytes(size)
    return Stored(position, head, data[: max(size, 1)], columns)


def frames(first: int, last: int, size: int = 256, stream: str = "shop.1") -> list[Stored]:
    return [frame(position, stream, size=size) for position in range(first, last + 1)]


async def all_of(log: Log, start: int = 0, types: Sequence[str] = (), most: int = 1_000_000) -> list[Stored]:
    found: list[Stored] = []
    while start <= log.span.newest:
        some, start = await log.read(start, frozenset(types), most)
        found += some
    return found
