"""How long does an event wait for its next try?"""

import zlib

from nodemesh.model.frame import Address

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 60.0
"""Seconds to the next try, doubled each time."""
LONGEST_AFTER = 86_400.0
"""Seconds that a consumer may ask for."""
UNHANDLED = 5.0
"""Seconds until an event is offered again that was given back by one that handles none of its type."""


def backoff(address: Address, attempt: int) -> float:
    """Seconds: doubled with each attempt, spread by up to a quarter so that many do not come back at once."""
    pause = min(FIRST_PAUSE * 2.0 ** (attempt - 1), LONGEST_PAUSE)
    spread = zlib.crc32(f"{address.position} {address.place} {attempt}".encode()) / 2.0**32
    return pause * (1.0 + spread / 4.0)
