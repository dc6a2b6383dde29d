"""Which commands are there? The tree and its words; the work is in `commands/`, imported when needed."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from nodectl.failures import Exit, Failure
from nodectl.session import SOCKET, Session


class Tree(click.Group):
    """Commands stand in the help in the order in which they are written here."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Failure as failure:
            failure.show()
            ctx.exit(failure.code)
        except KeyboardInterrupt:
            ctx.exit(Exit.INTERRUPTED)


class Listing(Tree):
    """A group that lists when its first word is no command of its own."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in (*self.commands, "-h", "--help"):
            args = ["list", *args]
        return super().parse_args(ctx, args)


class NodeName(click.ParamType[Any]):
    name = "node"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "" and param is not None and not param.required:
            return ""
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,31}", value):
            self.fail(
                f"{value!r} is no node name: a small letter, then small letters, digits or -", param, ctx
            )
        return value


class Seconds(click.ParamType[Any]):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = re.fullmatch(r"(\d{1,7}(?:\.\d{1,3})?)(ms|s|m|h|)", str(value))
        if not found or not float(found[1]):
            self.fail(f"{value!r} is no duration: expected one such as 30s, 500ms, 5m or 1h", param, ctx)
        return float(found[1]) * {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0}[found[2]]


def _choose(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    session = ctx.obj or Session()
    ctx.obj = session if value is None else replace(session, **{str(param.name): value})


def _shared(root: bool = False) -> list[click.Parameter]:
    """The options that every command takes, before or after its name."""
    choose: dict[str, Any] = {"expose_value": False, "callback": _choose}
    return [
        click.Option(
            ["--socket"],
            metavar="PATH",
            envvar="NODED_SOCKET_PATH" if root else None,
            help=f"noded's control socket; else $NODED_SOCKET_PATH, else {SOCKET}.",
            **choose,
        ),
        click.Option(
            ["-o", "--output"],
            type=click.Choice(["table", "json", "yaml"]),
            help="How answers are written; streams are one JSON object per line.",
            **choose,
        ),
        click.Option(
            ["--timeout"],
            type=Seconds(),
            help="Longest time for an answer (15s) and for an effect (2m); the end of a watch.",
            **choose,
        ),
    ]


node_argument = click.argument("node", type=NodeName())
maybe_node = click.argument("node", type=NodeName(), default="", required=False)
folder = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
wait_option = click.option("--wait/--no-wait", default=True, help="Follow until the order has come true.")
watch_option = click.option("-w", "--watch", is_flag=True, help="Go on, and show what changes.")
follow_option = click.option("-f", "--follow", is_flag=True, help="Go on with what comes.")


def _command(group: click.Group, name: str = "") -> Callable[[Callable[..., Any]], click.Command]:
    def add(function: Callable[..., Any]) -> click.Command:
        made = click.command(name or function.__name__.rstrip("_"))(click.pass_obj(function))
        made.params += _shared()
        group.add_command(made)
        return made

    return add


@click.group(cls=Tree, context_settings={"help_option_names": ["-h", "--help"]})
def nodectl() -> None:
    """Looks at the nodes of this host and gives noded orders.

    Exit codes: 0 ok, 1 failed, 2 usage or an invalid folder, 3 differences, 4 not reachable, 5 not permitted.
    """


nodectl.params += _shared(root=True)


@_command(nodectl)
@folder
@wait_option
def apply(session: Session, folder: Path, wait: bool) -> None:
    """Bring in the node in DIR: start a new one, roll out a new version."""
    from nodectl.commands import release

    release.apply(session, folder, wait)


@_command(nodectl)
@folder
@click.pass_context
def plan(ctx: click.Context, session: Session, folder: Path) -> None:
    """Say what `apply DIR` would change; exit code 3 when it would."""
    from nodectl.commands import release

    ctx.exit(release.plan(session, folder))


@_command(nodectl)
@folder
def validate(session: Session, folder: Path) -> None:
    """Check the node in DIR, without noded: all mistakes at once."""
    from nodectl.commands import release

    release.validate(session, folder)


@_command(nodectl, "status")
@maybe_node
@watch_option
def status_(session: Session, node: str, watch: bool) -> None:
    """Show the nodes of this host, or one with its instances."""
    from nodectl.commands import status

    (status.watch if watch else status.status)(session, node)


@_command(nodectl)
@node_argument
def describe(session: Session, node: str) -> None:
    """Show all about one node."""
    from nodectl.commands import status

    status.describe(session, node)


@_command(nodectl, "logs")
@click.argument("node", metavar="NODE[.NUMBER]")
@follow_option
@click.option("-n", "--lines", type=click.IntRange(1, 1_000_000), default=100, help="Newest lines; 100.")
def logs_(session: Session, node: str, follow: bool, lines: int) -> None:
    """Show what a node wrote; with NODE.NUMBER one instance."""
    from nodectl.commands import logs

    name = NodeName().convert(node.partition(".")[0], None, None)
    logs.logs(session, name, node if "." in node else "", lines, follow)


@_command(nodectl, "explain")
@maybe_node
@follow_option
@click.option("-n", "--lines", type=click.IntRange(1, 1_000_000), default=200, help="Newest entries; 200.")
@click.option("--incident", metavar="ID", default="", help="Only what belongs to this incident.")
def explain_(session: Session, node: str, follow: bool, lines: int, incident: str) -> None:
    """Tell what noded saw and did, and why; without NODE for the host."""
    from nodectl.commands import explain

    explain.explain(session, node, lines, follow, incident)


@_command(nodectl)
@node_argument
@wait_option
def start(session: Session, node: str, wait: bool) -> None:
    """Start a stopped node."""
    from nodectl.commands import verbs

    verbs.start(session, node, wait)


@_command(nodectl)
@node_argument
@wait_option
def stop(session: Session, node: str, wait: bool) -> None:
    """Stop a node; it stays known."""
    from nodectl.commands import verbs

    verbs.stop(session, node, wait)


@_command(nodectl)
@node_argument
@wait_option
def restart(session: Session, node: str, wait: bool) -> None:
    """Replace the instances of a node by new ones of the same version."""
    from nodectl.commands import verbs

    verbs.restart(session, node, wait)


@_command(nodectl)
@node_argument
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@wait_option
def remove(session: Session, node: str, yes: bool, wait: bool) -> None:
    """Stop a node and forget it."""
    from nodectl.commands import verbs

    if not yes:
        click.confirm(f"Stop {node} and forget it?", abort=True, err=True)
    verbs.remove(session, node, wait)


@click.group("incidents", cls=Listing)
def incidents_() -> None:
    """Show open and past problems, and approve a healing step.

    \b
    nodectl incidents [NODE [ID]]
    nodectl incidents approve NODE
    """


nodectl.add_command(incidents_)


@_command(incidents_, "list")
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


@_command(incidents_)
@node_argument
def approve(session: Session, node: str) -> None:
    """Let noded take the healing step that waits for a person."""
    from nodectl.commands import incidents

    incidents.approve(session, node)


@click.group("rollout", cls=Tree)
def rollout_() -> None:
    """Watch and steer the change from one version to the next."""


nodectl.add_command(rollout_)


@_command(rollout_, "status")
@node_argument
@watch_option
@click.pass_context
def rollout_status(ctx: click.Context, session: Session, node: str, watch: bool) -> None:
    """Show the rollout under way, else the last one."""
    from nodectl.commands import rollout

    if watch:
        ctx.exit(rollout.watch(session, node))
    rollout.status(session, node)


@_command(rollout_, "watch")
@node_argument
@click.pass_context
def rollout_watch(ctx: click.Context, session: Session, node: str) -> None:
    """Show the rollout until it ends; exit code 0 promoted, 1 rolled back or aborted."""
    from nodectl.commands import rollout

    ctx.exit(rollout.watch(session, node))


@_command(rollout_)
@node_argument
@click.option("--now", is_flag=True, help="To the end, not only to the next step.")
@wait_option
def promote(session: Session, node: str, now: bool, wait: bool) -> None:
    """Go to the next step without waiting for the verdict."""
    from nodectl.commands import rollout

    rollout.promote(session, node, now, wait)


@_command(rollout_)
@node_argument
@wait_option
def abort(session: Session, node: str, wait: bool) -> None:
    """Take all traffic back to the old version and end the rollout."""
    from nodectl.commands import rollout

    rollout.abort(session, node, wait)


@_command(rollout_)
@node_argument
def history(session: Session, node: str) -> None:
    """Show past rollouts, newest first."""
    from nodectl.commands import rollout

    rollout.history(session, node)


def _node_or_host(node: str, host: bool) -> str:
    if node and host:
        raise click.UsageError("give a node or --host, not both")
    return node


host_option = click.option("--host", is_flag=True, help="The whole host; also when no node is named.")


@_command(nodectl)
@maybe_node
@host_option
@wait_option
def pause(session: Session, node: str, host: bool, wait: bool) -> None:
    """Let noded do nothing but keep processes alive."""
    from nodectl.commands import verbs

    verbs.pause(session, _node_or_host(node, host), wait)


@_command(nodectl)
@maybe_node
@host_option
@wait_option
def resume(session: Session, node: str, host: bool, wait: bool) -> None:
    """End a pause."""
    from nodectl.commands import verbs

    verbs.resume(session, _node_or_host(node, host), wait)


@_command(nodectl, "version")
def version_(session: Session) -> None:
    """Show the versions of nodectl and of noded."""
    from nodectl.commands import version

    version.version(session)
