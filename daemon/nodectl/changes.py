"""How is a changed key told as its author writes it, and not as noded holds it?

noded tells fields of the manifest and plain values: seconds, bytes, shares. In `node.toml` they stand in
tables, as "30s", "256M" and percents.
"""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any, get_args, get_type_hints

from nodeapi.v1 import control_pb2 as pb
from nodespec.forms import FORMS
from nodespec.manifest import NodeSpec, RolloutPlan
from nodespec.reading import HEAD
from nodespec.units import Seconds, Size, Timeout

UNITS = (("G", 2**30), ("M", 2**20), ("K", 2**10))
TIMES = (("h", 3600), ("m", 60))


def rows(changes: Iterable[pb.KeyChange]) -> list[Sequence[str]]:
    return [(_key(one.key), _value(one.key, one.before), _value(one.key, one.after)) for one in changes]


def _key(key: str) -> str:
    return f"node.{key}" if key.partition(".")[0] in HEAD else key


def _value(key: str, told: str) -> str:
    """As it came when it cannot be read: who sees nothing of it is told so in its place."""
    try:
        return _written(key, told) or "-"
    except ValueError:
        return told


def _written(key: str, told: str) -> str:
    table, form = _form(key)
    if form in (Seconds, Timeout) and told:
        return _duration(float(told))
    if form == Size and told:
        count = int(told)
        fits = ((unit, count // each) for unit, each in UNITS if count and count % each == 0)
        return next((f"{many}{unit}" for unit, many in fits), told)
    if (table, key) == (RolloutPlan, "rollout.steps") and told:
        return f"[{', '.join(f'{float(one) * 100:g}' for one in told.strip('[]').split(','))}]"
    return told


def _duration(seconds: float) -> str:
    if 0 < seconds < 1:
        return f"{seconds * 1000:g}ms"
    fits = ((unit, seconds / each) for unit, each in TIMES if seconds and seconds % each == 0)
    return next((f"{many:g}{unit}" for unit, many in fits), f"{seconds:g}s")


def _form(key: str) -> tuple[type, Any]:
    """The table that holds the key, and how the key is written; None when this nodectl does not know it."""
    table: type = NodeSpec
    *tables, last = key.split(".")
    for name in tables:
        if name not in {field.name for field in fields(table)}:
            return table, None
        # A table that may be left out: `Serves | None`.
        found = get_type_hints(table)[name]
        table = next((each for each in (found, *get_args(found)) if isinstance(each, type)), NodeSpec)
    return table, FORMS.get(table, {}).get(last)
