"""`trace`: which events came of which, across nodes, and what became of them."""

from collections.abc import Iterator, Sequence

from rich.text import Text

from nodeapi.v1 import mesh_pb2
from nodectl.client import Client
from nodectl.documents import write
from nodectl.event_text import event_document, outcome
from nodectl.screen import note, say
from nodectl.session import Session
from nodectl.text import amount, clock, duration, one_line

DEEPEST = 30
"""Levels that are drawn further to the right."""


def trace(session: Session, id: str) -> None:
    with Client(session) as client:
        asked = mesh_pb2.TraceRequest(id=id)
        found = client.ask(f"trace {id}", client.mesh.GetTrace, asked, within=session.effect)
    if session.names:
        say(*(f"event/{event.id}" for event in found.events))
    elif session.plain:
        say(*_page(found, session.wide))
    else:
        events = [event_document(event) for event in found.events]
        write({"trace": found.trace, "events": events, "unsearched": found.unsearched}, session.output)
    if found.unsearched:
        note(f"not looked through: {found.unsearched}")


def _page(found: mesh_pb2.TraceReply, wide: bool) -> Iterator[Text]:
    times = [event.time for event in found.events]
    took = max(times, default=0.0) - min(times, default=0.0)
    yield Text(f"trace {one_line(found.trace)}: {amount(len(times), 'event')} in {_milliseconds(took)}")
    for event, depth, prefix in _tree(found.events):
        yield from _told(event, depth, prefix, min(times), wide)


def _told(event: mesh_pb2.Event, depth: int, prefix: str, begun: float, wide: bool) -> Iterator[Text]:
    when = f"+{_milliseconds(event.time - begun)}" if depth else clock(event.time)
    line = Text.assemble(
        (prefix, "dim"), (f"{when}  ", "dim"), (one_line(event.type), "bold"), f"  {one_line(event.source)}"
    )
    if event.subject:
        line.append(f"  {one_line(event.subject)}", style="cyan")
    line.append(f"  {one_line(event.id)}", style="dim")
    yield line
    below = prefix.replace("├─", "│ ").replace("└─", "  ")
    for one in event.outcomes:
        yield Text.assemble((f"{below}     ", "dim"), outcome(one))
        if wide and one.reason and one.state not in ("retrying", "dead"):
            yield Text(f"{below}       {one_line(one.reason)}", style="dim")


def _tree(events: Sequence[mesh_pb2.Event]) -> Iterator[tuple[mesh_pb2.Event, int, str]]:
    """Each event with its depth and what is drawn before it; what nobody there caused begins a tree."""
    known = {event.id for event in events}
    below: dict[str, list[mesh_pb2.Event]] = {}
    for event in events:
        below.setdefault(event.cause if event.cause in known else "", []).append(event)
    told: set[str] = set()
    # One that caused itself, by a circle, stands at no root: it is told last.
    for root in (*below.get("", ()), *events):
        stack: list[tuple[mesh_pb2.Event, int, str, bool]] = [(root, 0, "", True)]
        while stack:
            event, depth, before, is_last = stack.pop()
            if event.id in told:
                continue
            told.add(event.id)
            drawn = depth if depth <= DEEPEST else 0
            yield event, depth, before + ("└─ " if is_last else "├─ ") if drawn else before
            further = before + ("   " if is_last else "│  ") if drawn else before
            children = below.get(event.id, ())
            for number, child in reversed(list(enumerate(children))):
                stack.append((child, depth + 1, further, number == len(children) - 1))


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f}ms" if seconds < 1.0 else duration(seconds)
