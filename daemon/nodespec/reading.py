"""What does a `node.toml` say, or what is wrong with it?

`read_node` gives a NodeSpec or raises ManifestError with every mistake at once. How each key is written
stands in `forms.py`; `read` does the same for any other dataclasses (see `tables.py`).
"""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from nodespec.forms import FORMS, LATER
from nodespec.manifest import NodeSpec
from nodespec.shapes import Key, Table
from nodespec.tables import (
    LONGEST_TEXT,
    ManifestError,
    Mistake,
    Refused,
    decode,
    keys_of,
    read,
    read_shape,
    shown,
)

__all__ = ["LONGEST_TEXT", "ManifestError", "Mistake", "Refused", "decode", "read", "read_node", "schema"]

HEAD = ("name", "version", "run", "user", "env", "start_timeout", "stop", "instances", "spares")
"""The fields of NodeSpec that stand in [node]; the others are tables of their own."""


def read_node(text: str, where: str) -> NodeSpec:
    """Raises ManifestError. `where` names the file in its lines, usually "node.toml"."""
    spec = read_shape(text, where, _document(), LATER, together)
    assert isinstance(spec, NodeSpec)
    return spec


def schema() -> dict[str, Any]:
    """The JSON Schema of `node.toml`, for editors; rules between keys are not in it."""
    definitions: dict[str, Any] = {}
    _document().schema(definitions)
    whole = definitions.pop(_document().name)
    return {**whole, "title": "node.toml", "$defs": definitions}


@cache
def _document() -> Table:
    keys = keys_of(NodeSpec, FORMS)
    head = Table("Node", {name: keys[name] for name in HEAD}, dict)
    rest = {name: key for name, key in keys.items() if name not in HEAD}
    return Table("NodeFile", {"node": Key(head), **rest}, lambda node, **tables: NodeSpec(**node, **tables))


def together(raw: Mapping[str, Any]) -> Iterable[Mistake]:
    """Keys that are right alone and wrong together."""
    if "serves" in raw:
        return
    node, health = _table(raw, "node"), _table(raw, "health")
    spares, run = node.get("spares"), node.get("run")
    if isinstance(spares, int) and spares > 0:
        yield Mistake(
            "node.spares",
            "0 for a node without [serves]",
            shown(spares),
            "only the proxy can turn to a spare",
        )
    if health.get("readiness") == "http":
        yield Mistake("health.readiness", "sdk, notify or none for a node without [serves]", '"http"')
    if isinstance(run, list) and any(isinstance(part, str) and "{listen}" in part for part in run):
        yield Mistake("node.run", 'no "{listen}" in a node without [serves]', shown(run))


def _table(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = raw.get(name)
    return found if isinstance(found, dict) else {}
