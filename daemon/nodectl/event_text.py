"""How is an event written for a person, and for a program?

What is in it comes from nodes: nothing of it reaches a terminal but through `text`.
"""

import json
import string
from collections.abc import Iterator
from typing import Any

from rich.text import Text

from nodeapi.v1 import mesh_pb2
from nodectl.documents import document
from nodectl.screen import Cell, columns, pairs, styled
from nodectl.text import amount, clean, clock, count, one_line, size

LONGEST = 160
"""Characters of data in a line that tells other things too."""
HEX_LINES = 16
HEX_WIDTH = 16
_SHOWN = frozenset((string.ascii_letters + string.digits + string.punctuation + " ").encode())
STYLES = {
    "handled": "green",
    "replayed": "green",
    "in hand": "cyan",
    "retrying": "yellow",
    "dead": "red",
}


def event_document(event: mesh_pb2.Event) -> dict[str, Any]:
    """With the data as CloudEvents' JSON has it: a value, a text, or in base64."""
    import base64

    made = document(event)
    value, text = _value(event), _text(event)
    plain = value is not None or text is not None
    made["data"] = value[0] if value is not None else text
    made["data_base64"] = None if plain else base64.b64encode(event.data).decode()
    return made


def is_cut(event: mesh_pb2.Event) -> bool:
    return event.size > len(event.data)


def data_line(event: mesh_pb2.Event) -> str:
    value, text = _value(event), _text(event)
    if value is not None:
        text = json.dumps(value[0], ensure_ascii=False, separators=(",", ":"))
    if text is None:
        text = f"{event.data[:24].hex(' ')} ({size(event.size or len(event.data))})"
    line = one_line(text)
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def data_lines(event: mesh_pb2.Event) -> Iterator[str]:
    """JSON in its form, text as it is, all else as the beginning of a hex dump."""
    value, text = _value(event), _text(event)
    if value is not None:
        yield from json.dumps(value[0], ensure_ascii=False, indent=2).splitlines()
    elif text is not None:
        yield from clean(text).splitlines()
    else:
        yield from _hex(event.data)
    shown = len(event.data) if text is not None else min(len(event.data), HEX_LINES * HEX_WIDTH)
    if event.size > shown:
        yield f"… {amount(event.size - shown, 'byte')} more"


def event_line(event: mesh_pb2.Event, wide: bool) -> Text:
    source = one_line(event.source).removeprefix("/")
    line = Text.assemble(
        (clock(event.time), "dim"), f"  {source:12}  ", (f"{one_line(event.type):20}", "bold"), "  "
    )
    if wide:
        line.append(f"{one_line(event.id)}  {one_line(event.trace)}  ", style="dim")
    if event.subject:
        line.append(f"{one_line(event.subject)}  ", style="cyan")
    line.append(data_line(event))
    return line


def event_page(event: mesh_pb2.Event) -> list[Text]:
    lines = pairs(
        [
            ("id", event.id),
            ("type", styled(event.type, "bold")),
            ("source", event.source + (f" {event.version}" if event.version else "")),
            ("subject", event.subject),
            ("time", clock(event.time)),
            ("content", event.content),
            ("size", size(event.size)),
            ("trace", event.trace),
            ("cause", event.cause),
            ("place", f"{event.position}, {event.index}"),
            *((one_line(name), value) for name, value in sorted(event.attributes.items())),
        ],
        indent=0,
    )
    if event.outcomes:
        lines += [Text(), *columns(("CONSUMER", "STATE", "TRIES", "REASON"), map(_row, event.outcomes))]
    return [*lines, Text(), *(Text(clean(line)) for line in data_lines(event))]


def outcome(one: mesh_pb2.Outcome) -> Text:
    """In a few words."""
    told = Text.assemble(f"{one_line(one.consumer)} ", (one_line(one.state), STYLES.get(one.state, "")))
    if one.state == "in hand":
        told.append(f" of {one_line(one.instance)}")
    if one.attempts > 1:
        told.append(f" ({count(one.attempts)} tries)")
    if one.reason and one.state in ("retrying", "dead"):
        told.append(f": {one_line(one.reason)}")
    return told


def _row(one: mesh_pb2.Outcome) -> list[Cell]:
    reason = one.reason
    if one.state == "retrying" and one.at:
        reason = f"{reason}; again at {clock(one.at)}" if reason else f"again at {clock(one.at)}"
    elif one.state == "dead" and one.at:
        reason = f"{reason}; set aside {clock(one.at)}"
    state = f"{one.state}: {one.instance}" if one.instance else one.state
    return [one.consumer, styled(state, STYLES.get(one.state, "")), str(one.attempts or "-"), reason or "-"]


def _value(event: mesh_pb2.Event) -> tuple[Any] | None:
    """None for what is no JSON, or not all of it."""
    kind = event.content.partition(";")[0].strip().lower()
    if is_cut(event) or not (kind in ("", "application/json", "text/json") or kind.endswith("+json")):
        return None
    try:
        return (read_json(event.data),)
    except (ValueError, RecursionError):
        return None


def read_json(data: bytes) -> Any:
    """As every language reads it. Raises ValueError, RecursionError."""
    return json.loads(data.decode(), parse_constant=_no_number)


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number in JSON")


def _text(event: mesh_pb2.Event) -> str | None:
    """None for bytes that no person reads."""
    data = event.data
    for end in range(len(data), max(-1, len(data) - 4), -1) if is_cut(event) else (len(data),):
        try:
            text = data[:end].decode()
        except UnicodeDecodeError:
            continue
        return None if any(ord(sign) < 32 and sign not in "\t\n\r" for sign in text) else text
    return None


def _hex(data: bytes) -> Iterator[str]:
    for start in range(0, min(len(data), HEX_LINES * HEX_WIDTH), HEX_WIDTH):
        part = data[start : start + HEX_WIDTH]
        signs = "".join(chr(byte) if byte in _SHOWN else "." for byte in part)
        yield f"{start:06x}  {part.hex(' '):{HEX_WIDTH * 3}} {signs}"
