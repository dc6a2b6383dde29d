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
    dotted,
    keys_of,
    read,
    read_shape,
    shown,
)
from nodespec.units import size

__all__ = ["LONGEST_TEXT", "ManifestError", "Mistake", "Refused", "decode", "read", "read_node", "schema"]

HEAD = (
    "name",
    "version",
    "run",
    "before",
    "requirements",
    "user",
    "env",
    "env_file",
    "secrets",
    "write",
    "start_timeout",
    "stop",
    "reload",
    "instances",
    "spares",
)
"""The fields of NodeSpec that stand in [node]; the others are tables of their own."""

MOST_TYPES = 100
"""Event types that one node publishes, and as many that it consumes."""

MOST_CALLS = 100

LOCAL = {"readiness": "sdk, notify, exec or none", "liveness": "sdk, exec or none"}
"""What can be told without a connection."""


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
    yield from _served(raw) if "serves" in raw else _unserved(raw)
    yield from _watched(raw)
    yield from _run(_table(raw, "node"))
    yield from _events(raw)
    yield from _calls(raw)
    resources = _table(raw, "resources")
    high, most = (_size(resources.get(key)) for key in ("memory_high", "memory"))
    if high and most and high > most:
        yield Mistake("resources.memory_high", "at most resources.memory", shown(resources["memory_high"]))


def _run(node: Mapping[str, Any]) -> Iterable[Mistake]:
    """How the program and what goes before it are started."""
    env, secrets = _table(node, "env"), _table(node, "secrets")
    for name in sorted(env.keys() & secrets.keys()):
        yield Mistake(dotted(("node", "secrets", name)), hint="also stands in node.env: keep one of the two")
    before = node.get("before")
    for place, words in enumerate(before if isinstance(before, list) else []):
        if _names_listen(words):
            hint = "it is run before anything listens"
            yield Mistake(f"node.before[{place}]", 'no "{listen}"', shown(words), hint)
    reload = node.get("reload")
    if reload and reload == _table(node, "stop").get("signal", "TERM"):
        yield Mistake(
            "node.reload", "another signal than that of node.stop", shown(reload), "it would end it"
        )


def _names_listen(words: Any) -> bool:
    return isinstance(words, list) and any(isinstance(word, str) and "{listen}" in word for word in words)


def _unserved(raw: Mapping[str, Any]) -> Iterable[Mistake]:
    node, health = _table(raw, "node"), _table(raw, "health")
    spares = node.get("spares")
    if isinstance(spares, int) and spares > 0:
        yield Mistake(
            "node.spares",
            "0 for a node without [serves]",
            shown(spares),
            "nothing could turn to a spare",
        )
    for key in ("readiness", "liveness"):
        if health.get(key) in ("http", "tcp"):
            expected = f"{LOCAL[key]} for a node without [serves]"
            yield Mistake(f"health.{key}", expected, shown(health[key]))
    if _names_listen(node.get("run")):
        yield Mistake("node.run", 'no "{listen}" in a node without [serves]', shown(node["run"]))


def _served(raw: Mapping[str, Any]) -> Iterable[Mistake]:
    serves, health, node = _table(raw, "serves"), _table(raw, "health"), _table(raw, "node")
    tcp, held = serves.get("protocol") == "tcp", serves.get("listen") == "fd"
    if held and not tcp:
        expected = 'unix or port for protocol = "http" and "grpc"'
        yield Mistake("serves.listen", expected, shown(serves["listen"]))
    for key in ("idempotent", "hosts"):
        if tcp and key in serves:
            hint = 'only for protocol = "http" and "grpc": nobody reads what goes through here'
            yield Mistake(f"serves.{key}", hint=hint)
    if held:
        yield from _held(node, health)


def _held(node: Mapping[str, Any], health: Mapping[str, Any]) -> Iterable[Mistake]:
    for key in ("readiness", "liveness"):
        if health.get(key) in ("http", "tcp"):
            hint = "a connection waits in the held socket whether the node lives or not"
            yield Mistake(f"health.{key}", f'{LOCAL[key]} for listen = "fd"', shown(health[key]), hint)
    spares = node.get("spares")
    if isinstance(spares, int) and spares > 0 and health.get("readiness", "sdk") != "sdk":
        hint = "without the SDK a spare cannot be told to leave connections alone"
        yield Mistake("node.spares", '0 for listen = "fd" without readiness = "sdk"', shown(spares), hint)


def _watched(raw: Mapping[str, Any]) -> Iterable[Mistake]:
    health = _table(raw, "health")
    used = [key for key in ("readiness", "liveness") if health.get(key) == "exec"]
    command = health.get("command")
    if used and not command:
        yield Mistake("health.command", f'a command, as {used[0]} = "exec"', "nothing")
    if command and not used:
        yield Mistake("health.command", hint='used by nobody: readiness or liveness = "exec" is missing')
    if health.get("liveness") == "notify":
        yield Mistake("health.liveness", "sdk, http, tcp, exec or none", '"notify"')


def _events(raw: Mapping[str, Any]) -> Iterable[Mistake]:
    for name in ("publishes", "consumes"):
        tables = raw.get(name)
        if not isinstance(tables, list):
            continue
        if len(tables) > MOST_TYPES:
            yield Mistake(name, f"at most {MOST_TYPES} event types", str(len(tables)))
            continue
        seen: set[str] = set()
        for place, table in enumerate(tables):
            kind = table.get("type") if isinstance(table, dict) else None
            if isinstance(kind, str) and kind in seen:
                yield Mistake(f"{name}[{place}].type", hint=f"{shown(kind)} stands there twice")
            elif isinstance(kind, str):
                seen.add(kind)


def _calls(raw: Mapping[str, Any]) -> Iterable[Mistake]:
    calls = raw.get("calls")
    if not isinstance(calls, list):
        return
    if len(calls) > MOST_CALLS:
        yield Mistake("calls", f"at most {MOST_CALLS} nodes", str(len(calls)))
        return
    names = [call.get("node") for call in calls if isinstance(call, dict)]
    for place, name in enumerate(names):
        if isinstance(name, str) and name in names[:place]:
            yield Mistake(f"calls[{place}].node", hint=f"{shown(name)} stands there twice")


def _size(value: Any) -> int:
    try:
        return size(value)
    except ValueError:
        return 0


def _table(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = raw.get(name)
    return found if isinstance(found, dict) else {}
