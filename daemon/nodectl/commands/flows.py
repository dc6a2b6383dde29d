"""`map`: who publishes what, who consumes it, and how far they are."""

import json
import time
from collections.abc import Iterable, Iterator

from nodeapi.v1 import mesh_pb2
from nodectl.client import Client
from nodectl.documents import document, write
from nodectl.screen import Cell, columns, note, say, styled
from nodectl.session import Session
from nodectl.text import clean, count, duration, size

HEAD = ("TYPE", "FROM", "TO", "PUBLISHED", "WAITING", "OLDEST", "DEAD", "READERS")
WIDE_HEAD = (*HEAD, "PUBLISHED/S", "HANDLED/S", "RETRIED", "VERSIONS")
MEASURED = 1.0
"""Seconds over which rates are counted."""
LATE = 60.0
"""Seconds after which an event that waits is coloured."""

SPARE = ("OLDEST", "PUBLISHED", "READERS")
"""Where the terminal is narrow, in this order."""


def flows(session: Session) -> None:
    with Client(session) as client:

        def ask() -> mesh_pb2.MapReply:
            reply: mesh_pb2.MapReply = client.ask("show the map", client.mesh.GetMap, mesh_pb2.MapRequest())
            return reply

        found = ask()
        rates: list[tuple[float, float]] = []
        if session.wide:
            before, begun = found, time.monotonic()
            time.sleep(MEASURED)
            found = ask()
            rates = _rates(before, found, time.monotonic() - begun)
    if session.output == "dot":
        say(*_dot(found.flows))
    elif not session.plain:
        write(document(found), session.output)
    else:
        _table(found, rates)


def _table(found: mesh_pb2.MapReply, rates: list[tuple[float, float]]) -> None:
    if not found.flows:
        say("no node publishes or consumes events; [[publishes]] and [[consumes]] in node.toml say so")
        return
    rows = [_row(flow) for flow in found.flows]
    if rates:
        rows = [[*row, *_wide(flow, rate)] for row, flow, rate in zip(rows, found.flows, rates, strict=True)]
    say(*columns(WIDE_HEAD if rates else HEAD, rows, spare=() if rates else SPARE))
    note(f"event log: {size(found.log_bytes)} of {size(found.log_limit)}")
    for peer in found.peers:
        state = "connected" if peer.connected else f"not connected: {peer.problem or 'no answer'}"
        note(f"peer {peer.name} at {peer.address}: {state}")


def _row(flow: mesh_pb2.Flow) -> list[Cell]:
    if not flow.consumer:
        return [flow.type, flow.publisher or "-", "-", count(flow.published), "-", "-", "-", "-"]
    return [
        flow.type,
        flow.publisher or "-",
        flow.consumer,
        count(flow.published) if flow.publisher else "-",
        count(flow.lag),
        styled(duration(flow.oldest), "yellow" if flow.oldest > LATE else "") if flow.lag else "-",
        styled(count(flow.dead), "red" if flow.dead else ""),
        styled(str(flow.sessions), "" if flow.sessions else "yellow"),
    ]


def _wide(flow: mesh_pb2.Flow, rate: tuple[float, float]) -> list[Cell]:
    versions = ", ".join(
        f"{one.version} {count(one.acked)}" + (f" ({count(one.failed)} failed)" if one.failed else "")
        for one in flow.versions
    )
    published, handled = (f"{each:,.0f}" for each in rate)
    return [published, handled if flow.consumer else "-", count(flow.retried), versions or "-"]


def _rates(before: mesh_pb2.MapReply, now: mesh_pb2.MapReply, seconds: float) -> list[tuple[float, float]]:
    """Events per second, published and handled; counters that began anew give 0."""
    known = {(flow.type, flow.publisher, flow.consumer): flow for flow in before.flows}
    rates = []
    for flow in now.flows:
        old = known.get((flow.type, flow.publisher, flow.consumer), flow)
        gained = (flow.published - old.published, flow.acked - old.acked)
        rates.append((max(0.0, gained[0] / seconds), max(0.0, gained[1] / seconds)))
    return rates


def _dot(found: Iterable[mesh_pb2.Flow]) -> Iterator[str]:
    """Nodes as boxes, with an arrow for every type from who publishes it to who consumes it."""
    yield "digraph events {"
    yield "  rankdir=LR; node [shape=box];"
    for flow in found:
        publisher, consumer = flow.publisher or "(nobody)", flow.consumer or "(nobody)"
        label = flow.type + (f"\n{count(flow.lag)} wait" if flow.lag else "")
        colour = ", color=red" if flow.dead else ""
        yield f"  {_quoted(publisher)} -> {_quoted(consumer)} [label={_quoted(label)}{colour}];"
    yield "}"


def _quoted(text: str) -> str:
    return json.dumps(clean(text), ensure_ascii=False)
