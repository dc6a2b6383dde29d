"""The words that order something: of one node, or of the whole host."""

import click

from nodectl.cli_tree import Section, command, confirmed, maybe_node, node_argument, wait_option
from nodectl.session import Session

SECTION = Section("Orders")


@command(SECTION)
@node_argument
@wait_option
def start(session: Session, node: str, wait: bool) -> None:
    """Start a stopped node."""
    from nodectl.commands import verbs

    verbs.start(session, node, wait)


@command(SECTION)
@node_argument
@wait_option
def stop(session: Session, node: str, wait: bool) -> None:
    """Stop a node; it stays known."""
    from nodectl.commands import verbs

    verbs.stop(session, node, wait)


@command(SECTION)
@node_argument
@wait_option
def restart(session: Session, node: str, wait: bool) -> None:
    """Replace a node's instances by new ones of its version."""
    from nodectl.commands import verbs

    verbs.restart(session, node, wait)


@command(SECTION)
@node_argument
def reload(session: Session, node: str) -> None:
    """Have a node read its settings again.

    By the signal that [node] reload in its manifest names, to every instance.
    """
    from nodectl.commands import verbs

    verbs.reload(session, node)


@command(SECTION)
@node_argument
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@wait_option
def remove(session: Session, node: str, yes: bool, wait: bool) -> None:
    """Stop a node and forget it."""
    from nodectl.commands import verbs

    confirmed(yes, f"Stop {node} and forget it?")
    verbs.remove(session, node, wait)


@command(SECTION, "exec")
@node_argument
@click.option("--instance", metavar="ID", default="", help="Such as catalog.7; else the oldest that serves.")
@click.argument("words", metavar="-- CMD ...", nargs=-1, required=True)
@click.pass_context
def exec_(ctx: click.Context, session: Session, node: str, instance: str, words: tuple[str, ...]) -> None:
    """Run a program inside an instance.

    It runs as the instance's user, with its environment and limits, in the folder of its release. It has no
    terminal and nothing to read. --timeout ends it (60s, at most 10m). What it wrote is shown when
    it has ended, at most the newest 64 KiB. The exit code is the program's; 124 when it was out of time, 125
    when it could not be run.
    """
    from nodectl.commands import exec as execute

    ctx.exit(execute.run(session, node, instance, words))


def _node_or_host(verb: str, node: str, host: bool) -> str:
    if node and host:
        raise click.UsageError("give a node or --host, not both")
    if not node and not host:
        raise click.UsageError(
            f"which one? One node: nodectl {verb} NODE; the whole host: nodectl {verb} --host"
        )
    return node


host_option = click.option("--host", is_flag=True, help="The whole host.")


@command(SECTION)
@maybe_node
@host_option
@wait_option
def pause(session: Session, node: str, host: bool, wait: bool) -> None:
    """Let noded do nothing but keep processes alive.

    \b
    nodectl pause NODE     no healing step, no step of a rollout
    nodectl pause --host   no healing on this host
    """
    from nodectl.commands import verbs

    verbs.pause(session, _node_or_host("pause", node, host), wait)


@command(SECTION)
@maybe_node
@host_option
@wait_option
def resume(session: Session, node: str, host: bool, wait: bool) -> None:
    """End a pause.

    \b
    nodectl resume NODE
    nodectl resume --host
    """
    from nodectl.commands import verbs

    verbs.resume(session, _node_or_host("resume", node, host), wait)
