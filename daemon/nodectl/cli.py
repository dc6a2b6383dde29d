"""Which commands are there? The work is in `commands/`, imported when needed."""

import click

from nodectl import VERSION, cli_events, cli_host, cli_look, cli_orders, cli_rollout
from nodectl.cli_tree import Tree, shared


@click.group(
    cls=Tree,
    sections=(
        cli_rollout.SECTION,
        cli_look.SECTION,
        cli_events.SECTION,
        cli_orders.SECTION,
        cli_host.SECTION,
    ),
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(VERSION, message="nodectl %(version)s", help="Show nodectl's version and exit.")
def nodectl() -> None:
    """Looks at the nodes of this host and gives noded orders.

    \b
    Exit codes: 0 ok, 1 failed, 2 usage or an invalid folder, 3 differences,
    4 not reachable, 5 not permitted, 130 interrupted.
    diff: 0 the same, 1 different, more for trouble, as diff(1).
    exec: the program's own; 124 out of time, 125 not run.
    """


nodectl.params += shared(root=True)
