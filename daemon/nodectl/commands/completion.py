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


def versions(socket: str, node: str, begun: str) -> list[str]:
    """Of the releases of a node that this host has, newest first."""
    from nodeapi.v1.control_pb2 import ListReleasesRequest
    from nodectl.client import Client
    from nodectl.session import Session

    try:
        with Client(Session(socket=socket, timeout=PATIENCE)) as client:
            request = ListReleasesRequest(node=node)
            found = client.ask("complete", client.stub.ListReleases, request).releases
    except Failure:
        return []
    kept = [one.version for one in found if one.state != "removed"]
    return [version for version in kept if version.startswith(begun)]


def rollouts(socket: str, node: str, begun: str) -> list[str]:
    """Ids, newest first."""
    from nodectl.client import Client
    from nodectl.rollouts import all_of
    from nodectl.session import Session

    try:
        with Client(Session(socket=socket, timeout=PATIENCE)) as client:
            ids = [one.id for one in all_of(client.node("complete", node))]
    except Failure:
        return []
    return [identity for identity in ids if identity.startswith(begun)]
