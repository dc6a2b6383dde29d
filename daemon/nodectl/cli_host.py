"""The words about the host: is it well, who asked for what, what is kept, what may files hold?"""

from pathlib import Path

import click

from nodectl.cli_tree import Section, command, maybe_node
from nodectl.session import OUTPUTS, Session

SECTION = Section("Host")
SETTINGS = "/etc/noded/noded.toml"


def _no_form(ctx: click.Context, param: click.Parameter, value: str) -> str:
    if value in OUTPUTS:
        raise click.BadParameter(
            f"here -o names a file; ./{value} if that is its name; to have the answer as {value}: "
            f"nodectl -o {value} {ctx.info_name} -o FILE"
        )
    return value


output_file = click.option(
    "-o",
    "--output",
    "target",
    metavar="FILE",
    required=True,
    callback=_no_form,
    help="Written whole or not at all, readable by you alone; - for a pipe.",
)


@command(SECTION, "doctor")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=SETTINGS,
    help=f"noded's settings, to look where its programs meet; {SETTINGS}.",
    show_default=False,
)
@click.pass_context
def doctor_(ctx: click.Context, session: Session, config: Path) -> None:
    """Check the host and say what to do.

    Also when noded is down. Exit code 1 when a check has failed.
    """
    from nodectl.commands import doctor

    ctx.exit(doctor.doctor(session, config))


@command(SECTION, "audit", wide=True)
@click.option("-n", "--lines", type=click.IntRange(1, 1_000_000), default=100, help="Newest entries; 100.")
def audit_(session: Session, lines: int) -> None:
    """Show who asked for what, and what came of it."""
    from nodectl.commands import audit

    audit.audit(session, lines)


@command(SECTION, file=True)
@maybe_node
@output_file
def bundle(session: Session, node: str, target: str) -> None:
    """Keep what helps to find a problem elsewhere.

    States, reasons, logs and manifests of the host or of one node; what looks like a secret is masked.
    """
    from nodectl.commands import backup

    backup.bundle(session, node, target)


@command(SECTION, "backup", file=True)
@output_file
def backup_(session: Session, target: str) -> None:
    """Keep what this host should run, with the releases it needs."""
    from nodectl.commands import backup

    backup.backup(session, target)


@command(SECTION)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--plan", is_flag=True, help="Only say what would be done; exit code 3 when something would.")
@click.pass_context
def restore(ctx: click.Context, session: Session, file: Path, plan: bool) -> None:
    """Bring in the nodes of a backup.

    Those that are on this host already stay as they are. Exit code 1 when one could not be restored.
    """
    from nodectl.commands import backup

    ctx.exit(backup.restore(session, file, plan))


@command(SECTION, "schema")
@click.argument("what", metavar="node|host", type=click.Choice(["node", "host"]))
def schema_(session: Session, what: str) -> None:
    """Print the JSON Schema of node.toml or noded.toml, for editors."""
    from nodectl.commands import schema

    schema.schema(session, what)


@command(SECTION, "completion")
@click.argument("shell", metavar="bash|zsh|fish", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_(ctx: click.Context, session: Session, shell: str) -> None:
    """Print what makes a shell complete nodectl's words.

    \b
    bash  source <(nodectl completion bash)
    zsh   source <(nodectl completion zsh)
    fish  nodectl completion fish | source
    """
    from nodectl.commands import completion

    completion.completion(ctx.find_root().command, shell)


@command(SECTION, "version")
def version_(session: Session) -> None:
    """Show the versions of nodectl and of noded."""
    from nodectl.commands import version

    version.version(session)
