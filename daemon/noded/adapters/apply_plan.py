"""What would applying a manifest change, in words an administrator reads?"""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum

from nodeapi.v1 import control_pb2 as pb
from noded.model.conflict import Conflict
from nodespec.manifest import NodeSpec

Change = tuple[str, str, str]


def changes(before: NodeSpec | None, after: NodeSpec) -> tuple[Change, ...]:
    """Keys whose values differ, as key, old and new text; nothing for a node that is new."""
    if before is None:
        return ()
    old, new = dict(_flat("", before)), dict(_flat("", after))
    return tuple(
        (key, old.get(key, ""), new.get(key, ""))
        for key in sorted({*old, *new})
        if old.get(key, "") != new.get(key, "")
    )


def conflict_status(conflict: Conflict) -> pb.Conflict:
    return pb.Conflict(
        kind=conflict.kind,
        node=conflict.node,
        release=conflict.release,
        field=conflict.field,
        text=conflict.text,
        advice=conflict.advice,
    )


def _flat(prefix: str, value: object) -> Iterator[tuple[str, str]]:
    if is_dataclass(value):
        for field in fields(value):
            yield from _flat(f"{prefix}.{field.name}" if prefix else field.name, getattr(value, field.name))
    else:
        yield prefix, _text(value)


def _text(value: object) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    if is_dataclass(value):
        return " ".join(filter(None, (_text(getattr(value, field.name)) for field in fields(value))))
    if isinstance(value, tuple):
        return "[" + ", ".join(_text(item) for item in value) + "]"
    return "" if value is None else str(value)
