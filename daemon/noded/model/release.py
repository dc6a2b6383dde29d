"""Which tree of files carries a version, and who made it?"""

from dataclasses import dataclass

HEALED = "+heal."


@dataclass(frozen=True, slots=True)
class Release:
    node: str
    version: str
    digest: str
    """`sha256:` and 64 hex digits over the tree; the same content has the same digest everywhere."""
    origin: str
    """Who asked for it: `uid 1000`, or `incident catalog-1` for a machine-written one."""
    signature: str = ""
    """Kept for signed releases; empty means unsigned."""


def next_healed(version: str) -> str:
    """The version a machine-written change of `version` gets: 1.4.0 -> 1.4.0+heal.1 -> 1.4.0+heal.2."""
    stem, mark, count = version.partition(HEALED)
    return f"{stem}{HEALED}{int(count) + 1 if mark and count.isdigit() else 1}"
