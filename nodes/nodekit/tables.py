"""Which tables do inbox and outbox need in the author's database, and what is said to them?

noded_inbox: which events were handled, by whom. noded_outbox: events that wait for the mesh, in the order of
`id`; `sequence` is given when they are sent for the first time and never changes: the mesh knows a second
try. A row whose `refused` is filled was refused by the mesh: it stays for people to look at.
noded_outbox_stream: one row, who sends at present and which sequence comes next.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from .database import Database, Rows, Steps

# Seconds after which another instance may send in place of one that died.
LEASE = 10.0
# Rows of the inbox that one step removes, so that no writer waits long for it.
PRUNED = 500


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event in the outbox."""

    type: str
    subject: str
    content: str
    data: bytes
    extra: bytes
    """An encoded Extra, but for its place."""
    at: int
    """Microseconds since the epoch."""
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """What one relay sends next. `mine`: nobody else sends. `next`: the sequence that was not given yet."""

    mine: bool
    stream: str = ""
    next: int = 1
    rows: Sequence[Waiting] = ()

    @property
    def first(self) -> int:
        return self.rows[0].sequence if self.rows else self.next


def make_tables(db: Database, stream: str) -> Steps[None]:
    """In a transaction of its own. Does nothing where they are."""
    rows, _ = yield db.exists, ("noded_outbox_stream",)
    if rows:
        return
    if db.guard:
        yield db.guard, ()
    yield (
        "CREATE TABLE IF NOT EXISTS noded_inbox (consumer TEXT NOT NULL, event TEXT NOT NULL, "
        "at DOUBLE PRECISION NOT NULL, PRIMARY KEY (consumer, event))",
        (),
    )
    yield "CREATE INDEX IF NOT EXISTS noded_inbox_at ON noded_inbox (at)", ()
    yield (
        f"CREATE TABLE IF NOT EXISTS noded_outbox (id {db.key}, sequence BIGINT UNIQUE, type TEXT NOT NULL, "
        f"subject TEXT NOT NULL, content TEXT NOT NULL, data {db.blob} NOT NULL, extra {db.blob} NOT NULL, "
        "at BIGINT NOT NULL, refused TEXT)",
        (),
    )
    yield (
        "CREATE TABLE IF NOT EXISTS noded_outbox_stream (one INTEGER PRIMARY KEY CHECK (one = 1), "
        "name TEXT NOT NULL, next BIGINT NOT NULL, owner TEXT NOT NULL, "
        "valid_until DOUBLE PRECISION NOT NULL)",
        (),
    )
    yield "INSERT INTO noded_outbox_stream VALUES (1, ?, 1, '', 0) ON CONFLICT DO NOTHING", (stream,)


def claim(db: Database, consumer: str, event: str) -> Steps[bool]:
    """False when this consumer has handled the event already."""
    _, changed = yield (
        f"INSERT INTO noded_inbox (consumer, event, at) VALUES (?, ?, {db.now}) ON CONFLICT DO NOTHING",
        (consumer, event),
    )
    return changed == 1


def put(rows: Sequence[Waiting]) -> Steps[None]:
    for row in rows:
        yield (
            "INSERT INTO noded_outbox (type, subject, content, data, extra, at) VALUES (?, ?, ?, ?, ?, ?)",
            (row.type, row.subject, row.content, row.data, row.extra, row.at),
        )


def prune(db: Database, age: float) -> Steps[int]:
    _, changed = yield (
        f"DELETE FROM noded_inbox WHERE {db.row} IN "
        f"(SELECT {db.row} FROM noded_inbox WHERE at < {db.now} - ? LIMIT {PRUNED})",
        (age,),
    )
    return changed


def take(
    db: Database,
    owner: str,
    through: int,
    refused: Sequence[tuple[int, int, str]],
    most: tuple[int, int],
) -> Steps[Batch]:
    """Forgets what the mesh has, up to `through`, and takes what comes next: events and bytes at most.

    Who takes nothing leaves the outbox to others.
    """
    _, changed = yield (
        f"UPDATE noded_outbox_stream SET owner = ?, valid_until = {db.now} + ? "
        f"WHERE owner = ? OR owner = '' OR valid_until < {db.now}",
        (owner, LEASE, owner),
    )
    if not changed:
        return Batch(False)
    for first, last, reason in refused:
        yield (
            "UPDATE noded_outbox SET refused = ?, sequence = NULL WHERE sequence BETWEEN ? AND ?",
            (reason, first, last),
        )
    if through:
        yield "DELETE FROM noded_outbox WHERE sequence <= ?", (through,)
    ((stream, following),), _ = yield "SELECT name, next FROM noded_outbox_stream", ()
    fields = "SELECT id, type, subject, content, data, extra, at, sequence FROM noded_outbox WHERE"
    found, _ = yield f"{fields} sequence IS NOT NULL ORDER BY sequence LIMIT ?", (most[0],)
    if found:
        return Batch(True, stream, following, waiting(fitting(found, most[1])))
    found, _ = yield f"{fields} sequence IS NULL AND refused IS NULL ORDER BY id LIMIT ?", (most[0],)
    found = [(*row[:7], following + place) for place, row in enumerate(fitting(found, most[1]))]
    for row in found:
        yield "UPDATE noded_outbox SET sequence = ? WHERE id = ?", (row[7], row[0])
    following += len(found)
    yield (
        "UPDATE noded_outbox_stream SET next = ?, owner = ?",
        (following, owner if found else ""),
    )
    return Batch(True, stream, following, waiting(found))


def fitting(rows: Rows, most: int) -> Rows:
    """The first, and those after it as long as all are of one content type and of `most` bytes together."""
    kept, size = 0, 0
    # Type, subject, data and what else is said of it: all of that is in the frame.
    of_frame = (1, 2, 4, 5)
    for row in rows:
        size += sum(len(row[column]) for column in of_frame)
        if kept and (size > most or row[3] != rows[0][3]):
            break
        kept += 1
    return rows[:kept]


def waiting(rows: Rows) -> tuple[Waiting, ...]:
    return tuple(
        Waiting(type, subject, content, bytes(data), bytes(extra), at, sequence)
        for _, type, subject, content, data, extra, at, sequence in rows
    )


def leave(owner: str) -> Steps[None]:
    """Somebody else may send at once."""
    yield "UPDATE noded_outbox_stream SET owner = '' WHERE owner = ?", (owner,)


def begin_stream(owner: str, name: str) -> Steps[None]:
    """The mesh knows more of the stream than the database (which came from a backup), or nothing any more."""
    _, changed = yield (
        "UPDATE noded_outbox_stream SET name = ?, next = 1 WHERE owner = ?",
        (name, owner),
    )
    if changed:
        yield "UPDATE noded_outbox SET sequence = NULL WHERE sequence IS NOT NULL", ()
