"""The words about versions: bring them in, compare, test, roll out."""

from pathlib import Path

import click

from nodectl.cli_tree import (
    Section,
    command,
    group,
    maybe_node,
    node_argument,
    wait_option,
)
from nodectl.session import Session

SECTION = Section("Versions")
folder = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
python_option = click.option(
    "--python",
    metavar="PATH",
    default="",
    help="The Python that nodes run; its pip unpacks the requirements. Else python3.",
)


@command(SECTION)
@folder
@wait_option
@python_option
@click.option("--force", is_flag=True, help="Go on although it conflicts with what is here; recorded.")
@click.option("--supersede", is_flag=True, help="Give up the machine-written change that it lacks; recorded.")
def apply(session: Session, folder: Path, wait: bool, python: str, force: bool, supersede: bool) -> None:
    """Bring in the node in DIR, or roll out its new version.

    Exit code 3 when it would break another node or lose a machine-written change: all that stands against it
    is told, with what would help.
    """
    from nodectl.commands import release

    release.apply(session, folder, wait, python, force, supersede)


@command(SECTION)
@folder
@python_option
@click.pass_context
def plan(ctx: click.Context, session: Session, folder: Path, python: str) -> None:
    """Say what `apply DIR` would change, and what it would break.

    Exit code 3 when it would change anything or be refused.
    """
    from nodectl.commands import release

    ctx.exit(release.plan(session, folder, python))


@command(SECTION)
@folder
def validate(session: Session, folder: Path) -> None:
    """Check the node in DIR, without noded: all mistakes at once."""
    from nodectl.commands import release

    release.validate(session, folder)


@command(SECTION, "diff")
@node_argument
@click.argument("one", metavar="[DIR | VERSION", default="", required=False)
@click.argument("other", metavar="[VERSION]]", default="", required=False)
@click.pass_context
def diff_(ctx: click.Context, session: Session, node: str, one: str, other: str) -> None:
    """Show what differs: keys of node.toml first, then files.

    \b
    nodectl diff NODE            what runs against what ran before, or the
                                 rollout under way against what runs
    nodectl diff NODE DIR        the folder against what runs
    nodectl diff NODE 1.4.0      the version against what runs
    nodectl diff NODE 1.3.0 1.4.0

    Exit codes as diff(1): 0 the same, 1 different, more for trouble.
    """
    from nodectl.commands import diff

    ctx.exit(diff.diff(session, node, one, other))


@command(SECTION, "releases", lists=True)
@maybe_node
def releases_(session: Session, node: str) -> None:
    """Show the versions this host has, newest first."""
    from nodectl.commands import releases

    releases.releases(session, node)


@command(SECTION, "test")
@node_argument
@click.argument("version", metavar="[VERSION]", default="", required=False)
@click.pass_context
def test_(ctx: click.Context, session: Session, node: str, version: str) -> None:
    """Run a node's own tests in a sandbox.

    On the version that runs, or on another that this host has. Exit code 1 when they failed.
    """
    from nodectl.commands import tests

    ctx.exit(tests.test(session, node, version))


@group(SECTION, "candidate")
def candidate_() -> None:
    """Work with releases that noded wrote."""


@command(candidate_, file=True)
@node_argument
@click.argument("version", metavar="[VERSION]", default="", required=False)
@click.option("--git-am", "mail", is_flag=True, help="As a mail that `git am` takes; else the diff alone.")
@click.option("--prefix", metavar="DIR", default="", help="Where the node's folder lies in the checkout.")
@click.option("--out", metavar="FILE", default="", help="Written whole or not at all; else standard output.")
def export(session: Session, node: str, version: str, mail: bool, prefix: str, out: str) -> None:
    """Write the change of a machine-written release as a patch.

    \b
    nodectl candidate export --git-am catalog | git am -3

    The version in node.toml stays out of it: a release made from the patched folder gets one of its own.
    """
    from nodectl.commands import candidate

    candidate.export(session, node, version, mail, prefix, out)


@group(SECTION, "contracts")
def contracts_() -> None:
    """Work with the contracts of a node's events."""


@command(contracts_, file=True)
@folder
@click.option("--out", metavar="FILE", default="", help="Written whole or not at all; else standard output.")
def generate(session: Session, folder: Path, out: str) -> None:
    """Write Python classes for the events of the node in DIR.

    For those that it publishes and consumes; without noded.
    """
    from nodectl.commands import contracts

    contracts.generate(session, folder, out)
