"""`completion`: the words that a shell may fill in."""

import click
from click.shell_completion import get_completion_class

from nodectl.failures import Failure

PATIENCE = 1.0
"""Seconds; nobody waits longer after pressing the key."""


def completion(tree: click.Command, shell: str) -> None:
    found = get_completion_class(shell)
    if found is None:
        raise Failure(f"this click knows no completion for {shell}")
    click.echo(found(tree, {}, "nodectl", "_NODECTL_COMPLETE").source())


def types(socket: str, begun: str) -> list[str]:
    """Event types that somebody publishes or consumes."""
    from nodeapi.v1.mesh_pb2 import MapRequest
    from nodectl.client import Client
    from nodectl.session import Session

    try:
        with Client(Session(socket=socket, timeout=PATIENCE)) as client:
            flows = client.ask("complete", client.mesh.GetMap, MapRequest()).flows
    except Failure:
        return []
    return sorted({flow.type for flow in flows if flow.type.startswith(begun)})


def nodes(socket: str, begun: str) -> list[str]:
    """None when noded cannot be asked: a completion is no place for errors."""
    from nodectl.client import Client
    from nodectl.session import Session

    try:
        with Client(Session(socket=socket, timeout=PATIENCE)) as client:
            names = [one.name for one in client.status("complete").nodes]
    except Failure:
        return []
    return [name for name in names if name.startswith(begun)]
