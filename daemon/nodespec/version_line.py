"""Which line of a manifest says the version of its release?"""

import re
import tomllib
from collections.abc import Sequence

LOOKS_SO = re.compile(r"""\s*(?:node\s*\.\s*)?["']?version["']?\s*=""")
MOST = 32
"""Lines that look so and are tried."""


def version_line(lines: Sequence[str]) -> int | None:
    """The one without which [node] has no version: other tables, and texts of many lines, may have such a
    line as well. Lines with their ends, as `splitlines(keepends=True)` gives them."""
    tried = [number for number, line in enumerate(lines) if LOOKS_SO.match(line)][:MOST]
    if not tried or not _has(lines):
        return None
    return next((n for n in tried if _has([*lines[:n], *lines[n + 1 :]]) is False), None)


def _has(lines: Sequence[str]) -> bool | None:
    """Whether there is a version; None when it is no TOML."""
    try:
        node = tomllib.loads("".join(lines)).get("node")
    except tomllib.TOMLDecodeError:
        return None
    return isinstance(node, dict) and "version" in node
