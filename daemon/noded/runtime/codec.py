"""How does a value of the model become JSON text, and come back equal?

Known are frozen dataclasses, enums, tuples, string-keyed mappings, optional and plain values. An
input or action is written with its type's name; what is inside is read back by its type hints.
The text is ASCII: half a surrogate pair, which programs do print, can be kept in no other encoding.
"""

import json
import types
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")


def dump(value: object) -> str:
    """One line of JSON."""
    return json.dumps(_plain(value), separators=(",", ":"))


def load(shape: type[T], text: str) -> T:
    """Raises ValueError, KeyError or TypeError when the text does not fit the shape."""
    return cast(T, _built(shape, json.loads(text)))


def dump_tagged(value: object) -> str:
    return json.dumps([type(value).__name__, _plain(value)], separators=(",", ":"))


def load_tagged(union: Any, text: str) -> Any:
    """The member of a union that `dump_tagged` named."""
    tag, body = json.loads(text)
    return _built(members(union)[_held(str, tag)], body)


@cache
def members(union: Any) -> dict[str, type]:
    return {member.__name__: member for member in get_args(union)}


@cache
def _names(shape: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(shape))


@cache
def _hints(shape: type) -> Mapping[str, Any]:
    return get_type_hints(shape)


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, str | int | float):
        return value
    if is_dataclass(value):
        return {name: _plain(getattr(value, name)) for name in _names(cast(type, type(value)))}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    raise TypeError(f"cannot write a {type(value).__name__}: not a value of the model")


def _built(shape: Any, value: Any) -> Any:
    origin, inner = get_origin(shape), get_args(shape)
    if origin in (Union, types.UnionType):
        some = next(member for member in inner if member is not type(None))
        return None if value is None else _built(some, value)
    if origin is tuple:
        return tuple(_items(inner, _held(list, value)))
    if origin is not None and issubclass(origin, Mapping):
        return {key: _built(inner[1], item) for key, item in _held(dict, value).items()}
    if is_dataclass(shape):
        hints = _hints(cast(type, shape))
        return cast(type, shape)(
            **{name: _built(hints[name], item) for name, item in _held(dict, value).items()}
        )
    if issubclass(shape, Enum):
        return shape(value)
    # A whole number is a fine float; but Python would also take true for 1.
    return float(value) if shape is float and type(value) is int else _held(shape, value)


def _held(shape: type[T], value: Any) -> T:
    if type(value) is not shape:
        raise TypeError(f"expected {shape.__name__}, found {type(value).__name__}")
    return value


def _items(inner: tuple[Any, ...], value: Iterable[Any]) -> Iterable[Any]:
    if len(inner) == 2 and inner[1] is Ellipsis:
        return (_built(inner[0], item) for item in value)
    return (_built(shape, item) for shape, item in zip(inner, value, strict=True))
