"""What would applying a manifest change, in words an administrator reads?"""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum

from noded.model.instance import Role
from noded.model.state import NodeState
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


def peak_memory(node: NodeState | None, spec: NodeSpec) -> int:
    """The most memory all instances may hold together while the change is made; 0 when some have no limit."""
    limit = spec.resources.memory
    before = node.spec.resources.memory if node else limit
    if not limit or not before:
        return 0
    running = len(node.of(Role.STABLE)) + len(node.of(Role.SPARE)) if node else 0
    wanted = spec.instances + spec.spares
    return max(running * before + spec.instances * limit, wanted * limit)


def _flat(prefix: str, value: object) -> Iterator[tuple[str, str]]:
    if is_dataclass(value):
        for field in fields(value):
            yield from _flat(f"{prefix}.{field.name}" if prefix else field.name, getattr(value, field.name))
    else:
        yield prefix, _text(value)


def _text(value: object) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, tuple):
        return "[" + ", ".join(_text(item) for item in value) + "]"
    return "" if value is None else str(value)
