"""The words about events: what nodes say to each other, what was set aside, what came of what."""

import time
from pathlib import Path

import click

from nodectl.cli_tree import (
    EventType,
    Moment,
    NodeName,
    Section,
    command,
    confirmed,
    group,
    maybe_node,
    node_argument,
)
from nodectl.session import Session

SECTION = Section("Events")
since_option = click.option(
    "--since", type=Moment(), default=0.0, show_default=False, help="Such as 10m, 2h or 2026-11-23T01:00."
)


def _named(context: click.Context, option: click.Parameter, given: str | tuple[str, ...]) -> object:
    """Ids also as `-o name` prints them."""
    return tuple(map(_id, given)) if isinstance(given, tuple) else _id(given)


def _id(given: str) -> str:
    return given.rpartition("/")[2]


ids_argument = click.argument("ids", metavar="[ID]...", nargs=-1, callback=_named)
all_option = click.option("--all", "every", is_flag=True, help="All dead letters of the node.")
yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


@group(SECTION, "events")
def events_() -> None:
    """Look at events, publish, replay; dead letters."""


@command(events_, "tail", lists=True)
@click.argument("types", metavar="[TYPE]...", nargs=-1, type=EventType())
@since_option
@click.option("--source", metavar="NODE", default="", help="Only what this node published.")
@click.option("--subject", default="", help="Only with this subject.")
@click.option("-n", "--limit", type=click.IntRange(1, 1_000_000_000), default=None, help="End after so many.")
@click.option("--no-follow", is_flag=True, help="End with what there is now; needs --since.")
def tail_(
    session: Session,
    types: tuple[str, ...],
    since: float,
    source: str,
    subject: str,
    limit: int | None,
    no_follow: bool,
) -> None:
    """Show events as they are published, or since a moment.

    Data longer than 64 KiB is cut; `events show` has it whole.
    """
    from nodectl.commands import events

    if no_follow and not since:
        raise click.UsageError("--no-follow needs --since: from now on there is nothing yet")
    events.tail(session, events.Wanted(types, source, subject, since, limit or 0, not no_follow))


@command(events_, wide=True)
@click.argument("id", metavar="ID", callback=_named)
def show(session: Session, id: str) -> None:
    """Show one event whole, and what became of it at every consumer."""
    from nodectl.commands import events

    events.show(session, id)


@command(events_, lists=True)
@click.argument("type", type=EventType())
@click.argument("data", metavar="[DATA|-]", default="", required=False)
@click.option("--file", type=click.Path(path_type=Path), default=None, help="Its data, instead of DATA.")
@click.option("--subject", default="", help="What it is about; consumers may ask for its order.")
@click.option("--content", default="", help="What its data is; application/json.", show_default=False)
@click.option(
    "--attribute", "attributes", metavar="NAME=VALUE", multiple=True, help="A CloudEvents extension."
)
def publish(
    session: Session,
    type: str,
    data: str,
    file: Path | None,
    subject: str,
    content: str,
    attributes: tuple[str, ...],
) -> None:
    """Publish an event yourself.

    Its source is /nodectl. It is held against the contract of its type, and on disk when the command ends.
    """
    from nodeapi.v1 import mesh_pb2
    from nodectl.commands import events

    if (file is None) == (not data):
        raise click.UsageError("""give DATA such as '{"id": 1}', - for a pipe, or --file""")
    held = {}
    for one in attributes:
        name, equals, value = one.partition("=")
        if not equals:
            raise click.BadParameter(f"expected NAME=VALUE, got {one!r}", param_hint="--attribute")
        held[name] = value
    body = events.read_data(data, file, is_json=content in ("", "application/json"))
    events.publish(
        session,
        mesh_pb2.SendRequest(type=type, subject=subject, data=body, content=content, attributes=held),
    )


@command(events_)
@click.option("--to", "node", metavar="NODE", type=NodeName(), required=True, help="Who gets them.")
@since_option
@click.option("--until", type=Moment(), default=0.0, show_default=False, help="Else now.")
@click.option(
    "--type", "types", metavar="TYPE", type=EventType(), multiple=True, help="Else all it consumes."
)
@click.option("--id", metavar="ID", default="", help="This one event.")
@yes_option
def replay(
    session: Session, node: str, since: float, until: float, types: tuple[str, ...], id: str, yes: bool
) -> None:
    """Send events of before again, to one node.

    They keep their ids: a handler with an inbox passes over those it has handled.
    """
    from nodeapi.v1 import mesh_pb2
    from nodectl.commands import events

    if bool(since) == bool(id):
        raise click.UsageError("give --since, or --id for one event")
    if until and until <= since:
        raise click.UsageError("--until is not after --since")
    which = id or f"its events since {time.strftime('%b %d %H:%M:%S', time.localtime(since))}"
    confirmed(yes, f"Have {node} handle {which} again?")
    events.replay(session, mesh_pb2.ReplayRequest(node=node, since=since, until=until, types=types, id=id))


@group(events_, "dead")
def dead_() -> None:
    """Deal with events that a node could not handle."""


@command(dead_, "list", lists=True)
@maybe_node
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=100, help="Oldest letters; 100.")
def list_(session: Session, node: str, limit: int) -> None:
    """Show what was set aside, of all nodes or of one, and why."""
    from nodectl.commands import dead

    dead.listed(session, node, limit)


@command(dead_)
@node_argument
@ids_argument
@all_option
def requeue(session: Session, node: str, ids: tuple[str, ...], every: bool) -> None:
    """Send dead letters again, to the node that could not handle them."""
    from nodectl.commands import dead

    dead.requeue(session, node, _which(ids, every))


@command(dead_)
@node_argument
@ids_argument
@all_option
@yes_option
def drop(session: Session, node: str, ids: tuple[str, ...], every: bool, yes: bool) -> None:
    """Give dead letters up for good."""
    from nodectl.commands import dead

    which = _which(ids, every)
    what = f"{len(which)} dead letters" if len(which) > 1 else which[0] if which else "all dead letters"
    confirmed(yes, f"Give up {what} of {node} for good?")
    dead.drop(session, node, which)


def _which(ids: tuple[str, ...], every: bool) -> tuple[str, ...]:
    if bool(ids) == every:
        raise click.UsageError("which ones? Give their ids, or --all")
    return ids


@command(SECTION, "map", wide=True, also=("dot",))
def map_(session: Session) -> None:
    """Show who publishes and consumes what.

    And how far everybody is. -o wide measures for a second how many events are published and handled;
    -o dot is for graphviz.
    """
    from nodectl.commands import flows

    flows.flows(session)


@command(SECTION, "trace", lists=True)
@click.argument("id", metavar="TRACE|EVENT", callback=_named)
def trace_(session: Session, id: str) -> None:
    """Show which events came of an event, and of those.

    By the trace's id, or by the id of any event in it.
    """
    from nodectl.commands import trace

    trace.trace(session, id)
