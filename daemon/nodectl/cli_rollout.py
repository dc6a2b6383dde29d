"""The words about the change from one version to the next: look at it, steer it, go back."""

import click
from click.shell_completion import CompletionItem

from nodectl import cli_release
from nodectl.cli_tree import command, group, node_argument, wait_option, watch_option
from nodectl.session import Session

force_option = click.option(
    "--force", is_flag=True, help="Go on although it conflicts with what is here; recorded."
)
SECTION = cli_release.SECTION
"""It goes on with the words about versions."""


class Version(click.ParamType[str]):
    """A version of the node that stands before it."""

    name = "version"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from nodectl.commands import completion

        socket = (ctx.obj or Session()).socket
        return [CompletionItem(one) for one in completion.versions(socket, ctx.params["node"], incomplete)]


class Identity(click.ParamType[str]):
    """A rollout of the node that stands before it."""

    name = "id"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from nodectl.commands import completion

        socket = (ctx.obj or Session()).socket
        return [CompletionItem(one) for one in completion.rollouts(socket, ctx.params["node"], incomplete)]


@group(SECTION, "rollout")
def rollout_() -> None:
    """Watch and steer the change from one version to the next.

    \b
    nodectl rollout watch NODE      how it goes, until it ends
    nodectl rollout pause NODE      stay at this share; harm still ends it
    nodectl rollout abort NODE      all traffic back to the old version
    nodectl rollout rollback NODE   back to the version before, also later
    """


@command(rollout_, "status")
@node_argument
@watch_option
@click.pass_context
def rollout_status(ctx: click.Context, session: Session, node: str, watch: bool) -> None:
    """Show the rollout under way, else the last one."""
    from nodectl.commands import rollout

    if watch:
        ctx.exit(rollout.watch(session, node))
    rollout.status(session, node)


@command(rollout_, "watch")
@node_argument
@click.pass_context
def rollout_watch(ctx: click.Context, session: Session, node: str) -> None:
    """Show the rollout until it ends.

    Exit code 0 when it was promoted, 1 when it was rolled back.
    """
    from nodectl.commands import rollout

    ctx.exit(rollout.watch(session, node))


@command(rollout_)
@node_argument
@click.option("--now", is_flag=True, help="To the end, not only to the next step.")
@wait_option
def promote(session: Session, node: str, now: bool, wait: bool) -> None:
    """Go to the next step without waiting for the verdict."""
    from nodectl.commands import rollout_orders

    rollout_orders.promote(session, node, now, wait)


@command(rollout_)
@node_argument
@wait_option
def abort(session: Session, node: str, wait: bool) -> None:
    """Take all traffic back to the old version and end the rollout."""
    from nodectl.commands import rollout_orders

    rollout_orders.abort(session, node, wait)


@command(rollout_, "pause")
@node_argument
@wait_option
def rollout_pause(session: Session, node: str, wait: bool) -> None:
    """Stay at the present share until `rollout resume`.

    Harm still ends the rollout. `nodectl pause NODE` stops healing, too.
    """
    from nodectl.commands import rollout_orders

    rollout_orders.pause(session, node, wait)


@command(rollout_, "resume")
@node_argument
@wait_option
def rollout_resume(session: Session, node: str, wait: bool) -> None:
    """Let a rollout go on that was paused."""
    from nodectl.commands import rollout_orders

    rollout_orders.resume(session, node, wait)


@command(rollout_)
@node_argument
@force_option
@wait_option
def retry(session: Session, node: str, wait: bool, force: bool) -> None:
    """Begin the last rollout again that was rolled back.

    Exit code 3 when it would break another node by now.
    """
    from nodectl.commands import rollout_orders

    rollout_orders.retry(session, node, wait, force)


@command(rollout_)
@node_argument
@click.argument("version", metavar="[VERSION]", default="", required=False, type=Version())
@force_option
@wait_option
def rollback(session: Session, node: str, version: str, wait: bool, force: bool) -> None:
    """Return to a version that ran before.

    Without VERSION to the last one. At once while the old version is warm, else as soon as it is ready;
    without steps. A rollout under way is ended first: then it is the same as `rollout abort`.

    Exit code 3 when the version would break another node by now.
    """
    from nodectl.commands import rollout_orders

    rollout_orders.rollback(session, node, version, wait, force)


@command(rollout_)
@node_argument
@click.argument("identity", metavar="[ID]", default="", required=False, type=Identity())
def history(session: Session, node: str, identity: str) -> None:
    """Show the rollouts of a node, newest first, or one step by step."""
    from nodectl.commands import rollout

    rollout.history(session, node, identity)
