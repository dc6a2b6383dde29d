"""The words for looking: what runs, what it wrote, what was done and why."""

import click

from nodectl.cli_tree import (
    Listing,
    NodeName,
    Seconds,
    Section,
    command,
    follow_option,
    group,
    maybe_node,
    node_argument,
    watch_option,
)
from nodectl.session import Session

SECTION = Section("Look")


@command(SECTION, "status", lists=True)
@maybe_node
@watch_option
def status_(session: Session, node: str, watch: bool) -> None:
    """Show the nodes of this host, or one with its instances."""
    from nodectl.commands import status

    (status.watch if watch else status.status)(session, node)


@command(SECTION)
@node_argument
def describe(session: Session, node: str) -> None:
    """Show all about one node."""
    from nodectl.commands import status

    status.describe(session, node)


@command(SECTION, "top")
@maybe_node
@click.option(
    "-d", "--delay", type=Seconds(), default=1.0, help="Between two pictures; 1s.", show_default=False
)
def top_(session: Session, node: str, delay: float) -> None:
    """Show who uses CPU and memory and answers how much, now.

    Keys: q ends; c, m and r sort by CPU, memory and requests. Without a terminal one picture is printed.
    """
    from nodectl.commands import top

    top.top(session, node, delay)


@command(SECTION, "logs")
@click.argument("node", metavar="NODE[.NUMBER]", shell_complete=NodeName().shell_complete)
@follow_option
@click.option("-n", "--lines", type=click.IntRange(1, 1_000_000), default=100, help="Newest lines; 100.")
def logs_(session: Session, node: str, follow: bool, lines: int) -> None:
    """Show what a node wrote; with NODE.NUMBER one instance."""
    from nodectl.commands import logs

    word, dot, number = node.partition(".")
    name = NodeName().convert(word, None, None)
    if dot and not number.isdecimal():
        raise click.BadParameter(f"{node!r} is no instance: expected one such as {name}.7")
    logs.logs(session, name, node if dot else "", lines, follow)


@command(SECTION, "explain")
@maybe_node
@follow_option
@click.option("-n", "--lines", type=click.IntRange(1, 1_000_000), default=200, help="Newest entries; 200.")
@click.option("--incident", metavar="ID", default="", help="Only what belongs to this incident.")
@click.option("-v", "--verbose", is_flag=True, help="With what failed commands printed; for operators.")
def explain_(session: Session, node: str, follow: bool, lines: int, incident: str, verbose: bool) -> None:
    """Tell what noded saw and did, and why.

    Without NODE for the whole host.
    """
    from nodectl.commands import explain

    explain.explain(session, node, lines, follow, incident, verbose)


@group(SECTION, "incidents", Listing)
def incidents_() -> None:
    """Show open and past problems, and approve a healing step.

    \b
    nodectl incidents [NODE [ID]]
    nodectl incidents approve NODE
    """


@command(incidents_, "list", lists=True)
@maybe_node
@click.argument("identity", metavar="[ID]", default="", required=False)
@watch_option
def list_(session: Session, node: str, identity: str, watch: bool) -> None:
    """Show the incidents of all nodes, of one, or one incident in full."""
    from nodectl.commands import incidents

    if watch and identity:
        raise click.UsageError("--watch is for lists; leave out the ID")
    if watch:
        incidents.watch(session, node)
    else:
        incidents.incidents(session, node, identity)


@command(incidents_)
@node_argument
def approve(session: Session, node: str) -> None:
    """Let noded take the healing step that waits for a person."""
    from nodectl.commands import incidents

    incidents.approve(session, node)
