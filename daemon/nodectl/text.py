"""How is what a machine knows written for a person, safely?"""

import re
import time
from datetime import datetime

# What nodes write may hold sequences that move the cursor, retitle the window or reorder the line.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[\]PX^_][^\n]*?(?:\x07|\x1b\\|(?=\n)|$)"  # OSC, DCS and others, up to their end
    r"|\x1b[ -/]*[0-~]"
    r"|\x9b[0-?]*[ -/]*[@-~]",
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """Without control characters, except newline and tab."""
    return _CONTROL.sub("", _ESCAPES.sub("", text))


def one_line(text: str) -> str:
    return " ".join(clean(text).split())


def size(count: float) -> str:
    if abs(count) < 1024:
        return f"{count:.0f} B"
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        count /= 1024
        if abs(count) < 1023.95 or unit == "TiB":
            break
    return f"{count:.1f} {unit}"


def duration(seconds: float) -> str:
    """At most two parts: 0.4s, 12s, 3m 5s, 2h 7m, 4d 3h."""
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f}".removesuffix(".0") + "s"
    whole = round(seconds)
    for one, parts in (("d", 86400), ("h", 3600), ("m", 60)):
        if whole >= parts:
            below, step = {"d": ("h", 3600), "h": ("m", 60), "m": ("s", 1)}[one]
            rest = whole % parts // step
            return f"{whole // parts}{one}" + (f" {rest}{below}" if rest else "")
    return f"{whole}s"


def ago(at: float, now: float | None = None) -> str:
    return duration((time.time() if now is None else now) - at) + " ago" if at else "-"


def clock(at: float) -> str:
    """Local time, as journalctl writes it, with milliseconds."""
    moment = datetime.fromtimestamp(at)
    return f"{moment:%b %d %H:%M:%S}.{moment.microsecond // 1000:03d}"


def share(of_one: float) -> str:
    return f"{of_one * 100:.4g} %"


def ratio(part: int, whole: int) -> str:
    return f"{part / whole * 100:.2f} %" if whole else "-"


def count(number: int) -> str:
    return f"{number:,}"


def amount(number: int, one: str, many: str = "") -> str:
    return f"{count(number)} {one if number == 1 else many or one + 's'}"
