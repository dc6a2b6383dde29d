"""`contracts generate`: Python classes for the events of a node."""

import json
from pathlib import Path

import click

from nodectl.classes import Contract, source
from nodectl.commands.release import read_folder
from nodectl.keep import keep
from nodectl.session import Session
from nodespec.contracts import read_schema
from nodespec.manifest import NodeSpec


def generate(session: Session, folder: Path, out: str) -> None:
    """Offline. What a node both publishes and consumes has the contract that it publishes by."""
    spec = read_folder(folder, "generate classes for").spec
    text = source(contracts(folder, spec), f"The events of {spec.name}.")
    if out in ("", "-"):
        click.echo(text, nl=False)
        return
    keep([text.encode()], out)
    # Sources are for everybody who reads the checkout.
    Path(out).chmod(0o644)


def contracts(folder: Path, spec: NodeSpec) -> list[Contract]:
    files: dict[str, str] = {}
    named = [(table.type, table.schema) for table in spec.publishes]
    named += [(table.type, table.schema) for table in spec.consumes]
    for type, schema in named:
        files[type] = files.get(type) or schema
    return [
        Contract(type, json.loads(read_schema(folder, file)) if file else None)
        for type, file in files.items()
    ]
