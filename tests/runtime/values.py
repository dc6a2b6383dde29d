"""Any value of the model, made from type hints alone: a new field is tested without a new test."""

import types
from collections.abc import Mapping
from dataclasses import is_dataclass
from enum import Enum
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    # Half surrogate pairs too: a program may print them, in JSON or not.
    str: st.text(st.characters(), max_size=8),
    int: st.integers(-(2**70), 2**70),
    float: st.floats(allow_nan=False),
    bool: st.booleans(),
}


@cache
def values(shape: Any) -> st.SearchStrategy[Any]:
    """Raises TypeError for a hint the codec does not know either."""
    origin, inner = get_origin(shape), get_args(shape)
    if shape in PLAIN:
        return PLAIN[shape]
    if origin in (Union, types.UnionType):
        (some,) = (member for member in inner if member is not type(None))
        return st.none() | values(some)
    if origin is tuple and inner[1:] == (...,):
        return st.lists(values(inner[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values, inner))
    if origin is not None and issubclass(origin, Mapping):
        return st.dictionaries(values(inner[0]), values(inner[1]), max_size=2)
    if isinstance(shape, type) and issubclass(shape, Enum):
        return st.sampled_from(list(shape))
    if is_dataclass(shape) and isinstance(shape, type):
        return st.builds(shape, **{name: values(hint) for name, hint in get_type_hints(shape).items()})
    raise TypeError(f"no values of {shape!r}: not a type of the model")
