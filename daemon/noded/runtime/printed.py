"""What of a program's words is kept? The newest, masked, for operators: what it prints may hold secrets."""

from collections.abc import Callable

from noded.launch import Ran
from nodespec.manifest import NodeSpec

Mask = Callable[[NodeSpec, str], str]
"""Takes out of a text, line by line, what looks like a secret, and what the manifest says in confidence."""

MOST = 4 * 1024
"""Bytes kept."""
LOOKED_AT = 16 * 1024
"""Characters that are masked: more takes too long while others wait."""
LONGEST_LINE = 200


def kept(spec: NodeSpec, ran: Ran, mask: Mask) -> str:
    """A line whose beginning is missing is left out: by its beginning a secret is known."""
    newest = ran.output[-LOOKED_AT:]
    if ran.truncated or len(newest) < len(ran.output):
        newest = newest.partition("\n")[2]
    return mask(spec, newest).encode(errors="replace")[-MOST:].decode(errors="ignore")


def last_line(spec: NodeSpec, ran: Ran, mask: Mask) -> str:
    return short((kept(spec, ran, mask).strip().splitlines() or [""])[-1])


def command(spec: NodeSpec, argv: tuple[str, ...], mask: Mask) -> str:
    """How it is named to people who may not read manifests."""
    return short(mask(spec, " ".join(argv)).rstrip("\n"))


def short(text: str) -> str:
    """One line that can be shown."""
    return "".join(c if c.isprintable() else " " for c in text[:LONGEST_LINE])
