"""How is a cursor written down?

As JSON with a CRC-32. Trials are due on a clock that begins anew with the host: what is kept is how long each
still has to wait, and the date on which that was so.
"""

import json
from typing import Any
from zlib import crc32

from nodemesh.adapters.sqlite_errors import Damaged
from nodemesh.model.cursor import Cursor, Trial
from nodemesh.model.frame import Address


def text_of(node: str, cursor: Cursor, now: float, wall: float) -> tuple[bytes, int]:
    trials = [
        (at.position, at.place, t.attempt, t.due - now, t.reason, t.version, t.suspect)
        for at, t in cursor.trials.items()
    ]
    whole = {
        "node": node,
        "floor": cursor.floor,
        "open": list(cursor.open.items()),
        "settled": cursor.settled,
        "behind": dict(cursor.behind),
        "top": cursor.top,
        "begun": cursor.begun,
        "trials": trials,
        "at": wall,
    }
    text = json.dumps(whole, separators=(",", ":")).encode()
    return text, crc32(text)


def cursor_of(node: str, text: Any, crc: Any, now: float, wall: float) -> Cursor:
    """A wait never becomes longer than it was, whatever somebody did to the date. Raises Damaged."""
    if type(text) is not bytes or crc32(text) != crc:
        raise Damaged(f"the cursor of {node!r} is not what was written")
    whole = json.loads(text)
    if whole["node"] != node:
        raise Damaged(f"the cursor of {whole['node']} is said to be of {node!r}")
    passed = max(0.0, wall - whole["at"])
    trials = {
        Address(position, place): Trial(attempt, now + max(0.0, left - passed), reason, version, suspect)
        for position, place, attempt, left, reason, version, suspect in whole["trials"]
    }
    settled = tuple((first, last) for first, last in whole["settled"])
    # Releases before did not know these.
    late = whole.get("behind", {}), whole.get("top", 0), whole.get("begun", 0)
    return Cursor(whole["floor"], dict(whole["open"]), trials, settled, *late)


def newest_of(cursor: Cursor) -> int:
    """Highest position it speaks of; its floor may be the next one that comes."""
    tried = (address.position for address in cursor.trials)
    settled = (last for _, last in cursor.settled)
    return max([cursor.floor - 1, cursor.top - 1, *cursor.open, *tried, *settled])
