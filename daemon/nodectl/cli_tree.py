"""What is a command line made of? Sections of commands, the options that all take, how words are read."""

import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import update_wrapper
from typing import Any

import click
from click.shell_completion import CompletionItem

from nodectl.failures import Exit, Failure
from nodectl.session import FOR_LISTS, OUTPUTS, SOCKET, Session


@dataclass(frozen=True, slots=True)
class Section:
    """Commands that stand together in the help, in the order in which they are written."""

    title: str
    commands: dict[str, click.Command] = field(default_factory=dict)


class Tree(click.Group):
    """Commands stand in the help in the order in which they are written."""

    def __init__(self, *args: Any, sections: Sequence[Section] = (), **given: Any) -> None:
        super().__init__(*args, **given)
        self.sections = sections
        for section in sections:
            self.commands.update(section.commands)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if not self.sections:
            super().format_commands(ctx, formatter)
        width = max(map(len, self.commands), default=0)
        for section in self.sections:
            room = formatter.width - 6 - width
            rows = [
                (f"{name:{width}}", one.get_short_help_str(room)) for name, one in section.commands.items()
            ]
            with formatter.section(section.title):
                formatter.write_dl(rows)

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

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from nodectl.commands import completion

        return [CompletionItem(name) for name in completion.nodes((ctx.obj or Session()).socket, incomplete)]


class EventType(click.ParamType[Any]):
    name = "type"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not value or not value.isprintable() or len(value) > 256:
            self.fail(f"{value!r} is no event type, such as shop.order.placed", param, ctx)
        return value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from nodectl.commands import completion

        return [CompletionItem(name) for name in completion.types((ctx.obj or Session()).socket, incomplete)]


class Moment(click.ParamType[Any]):
    """Seconds since the epoch: so long ago, or a date in local time where it names no other."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(\d{1,7})(s|m|h|d)", value)
        if found:
            return time.time() - int(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]
        try:
            moment = datetime.fromisoformat(value).timestamp()
        except (ValueError, OverflowError, OSError):
            moment = 0.0
        if moment <= 0 or re.fullmatch(r"\d+", value):
            self.fail(f"{value!r} is no moment: expected one such as 10m, 2h or 2026-11-23T01:00", param, ctx)
        if moment > time.time():
            self.fail(f"{value!r} is yet to come", param, ctx)
        return moment


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


def shared(root: bool = False, outputs: Sequence[str] = OUTPUTS) -> list[click.Parameter]:
    """The options that every command takes, before or after its name."""
    choose: dict[str, Any] = {"expose_value": False, "callback": _choose}
    options: list[click.Parameter] = [
        click.Option(
            ["--socket"],
            metavar="PATH",
            envvar="NODED_SOCKET_PATH" if root else None,
            help=f"noded's control socket; else $NODED_SOCKET_PATH, else {SOCKET}.",
            **choose,
        ),
        click.Option(
            ["-o", "--output"],
            type=click.Choice(outputs),
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
    return [option for option in options if outputs or option.name != "output"]


def command(
    home: Section | click.Group,
    name: str = "",
    lists: bool = False,
    wide: bool = False,
    file: bool = False,
    also: Sequence[str] = (),
) -> Callable[[Callable[..., Any]], click.Command]:
    """`lists` have names and a wide form, as `wide` has alone; with `file` -o is where the result is kept.

    `also` are forms that no other command has.
    """

    def add(function: Callable[..., Any]) -> click.Command:
        def run(session: Session, *given: Any, **options: Any) -> Any:
            if session.output == "name" and not lists:
                raise click.UsageError(
                    "-o name is for lists, such as those of status, incidents, releases and events tail"
                )
            return function(session, *given, **options)

        made = click.command(name or function.__name__.rstrip("_"))(
            click.pass_obj(update_wrapper(run, function))
        )
        more = FOR_LISTS if lists else ("wide",) if wide else ()
        outputs = tuple(one for one in OUTPUTS if one not in FOR_LISTS or one in more)
        made.params += shared(outputs=() if file else (*outputs, *also))
        home.commands[str(made.name)] = made
        return made

    return add


def group(
    home: Section | click.Group, name: str, kind: type[Tree] = Tree
) -> Callable[[Callable[..., Any]], Tree]:
    def add(function: Callable[..., Any]) -> Tree:
        made = click.group(name, cls=kind)(function)
        home.commands[name] = made
        return made

    return add


def confirmed(yes: bool, question: str) -> None:
    """Goes on when somebody says so, or has said so before by --yes."""
    try:
        agreed = yes or click.confirm(question, err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        click.echo(err=True)
        raise click.UsageError("nobody was there to answer; give --yes") from None
    if not agreed:
        raise click.Abort


node_argument = click.argument("node", type=NodeName())
maybe_node = click.argument("node", type=NodeName(), default="", required=False)
wait_option = click.option("--wait/--no-wait", default=True, help="Follow until the order has come true.")
watch_option = click.option("-w", "--watch", is_flag=True, help="Go on, and show what changes.")
follow_option = click.option("-f", "--follow", is_flag=True, help="Go on with what comes.")
