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

from noded.model.inputs import Reading
from noded.model.instance import Vitals
from noded.model.route import Traffic

T = TypeVar("T")
ROWS = (Reading, Vitals, Traffic)
"""What comes many times a second is written without the names of its fields, in their order; a field that an
older build did not know is missing at the end."""


def dump(value: object) -> str:
    """One line of JSON."""
    return _encoded(value)


def load(shape: type[T], text: str) -> T:
    """Raises ValueError, KeyError or TypeError when the text does not fit the shape."""
    return cast(T, _built(shape, json.loads(text)))


def dump_tagged(value: object) -> str:
    return _encoded((type(value).__name__, value))


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


def _table(value: Any) -> Any:
    """What the encoder does not know by itself. It takes a list for a tuple, so a list is looked for here."""
    if is_dataclass(value):
        shape = cast(type, type(value))
        held = tuple(getattr(value, name) for name in _names(shape))
        if list in map(type, held):
            raise TypeError(f"cannot write a {shape.__name__} with a list: not a value of the model")
        return held if shape in ROWS else dict(zip(_names(shape), held, strict=True))
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"cannot write a {type(value).__name__}: not a value of the model")


_encoded = json.JSONEncoder(separators=(",", ":"), default=_table, check_circular=False).encode


def _built(shape: Any, value: Any) -> Any:
    origin, inner = get_origin(shape), get_args(shape)
    if origin in (Union, types.UnionType):
        some = next(member for member in inner if member is not type(None))
        return None if value is None else _built(some, value)
    if origin is tuple:
        return tuple(_items(inner, _held(list, value)))
    if origin is not None and issubclass(origin, Mapping):
        return {key: _built(inner[1], item) for key, item in _held(dict, value).items()}
    if shape in ROWS and type(value) is list:
        return shape(*_row(tuple(_hints(shape).values()), value))
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


def _row(hints: tuple[Any, ...], value: list[Any]) -> Iterable[Any]:
    if len(value) > len(hints):
        raise TypeError(f"expected at most {len(hints)} values, found {len(value)}")
    return (_built(hint, item) for hint, item in zip(hints, value, strict=False))
