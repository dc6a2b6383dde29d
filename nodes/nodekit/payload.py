"""What does an event's data look like in Python, and as bytes?"""

import dataclasses
import json
import json.encoder
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, TypeAlias

JSON = "application/json"
Kind: TypeAlias = type
"""The class of a handler's events."""


class Unreadable(ValueError):
    """The data is not what the handler asked for."""


def plain(value: object) -> object:
    """What JSON can say: dataclasses become objects, enumerations their values."""
    if isinstance(value, str | int | float | bool | None) and not isinstance(value, Enum):
        return value
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if hasattr(value, "to_dict"):
        return plain(value.to_dict())
    if isinstance(value, Enum):
        return plain(value.value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    kind = type(value).__name__
    raise TypeError(f"an event's data: expected a dataclass, dict, list, text, number or bytes, found {kind}")


def _encoder() -> Callable[[object], str]:
    make = getattr(json.encoder, "c_make_encoder", None)
    text = getattr(json.encoder, "encode_basestring", None)
    slow = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=plain).encode
    if make is None or text is None:
        return slow
    # JSONEncoder.encode makes a new one of these for every call, which costs more than the encoding.
    fast = make(None, plain, text, None, ":", ",", False, False, False)

    def encode(value: object) -> str:
        return "".join(fast(value, 0))

    return encode


def pack(value: object) -> bytes:
    """As compact JSON. Raises TypeError and ValueError."""
    try:
        return _encode(value).encode()
    except RecursionError:
        raise ValueError("an event's data: nested too deep, or it holds itself") from None


_encode = _encoder()
# What JSONDecoder.decode calls between two searches for white space.
_scan: Callable[[str, int], tuple[Any, int]] = vars(json.JSONDecoder())["scan_once"]


def unpack(data: bytes) -> Any:
    """Raises Unreadable."""
    try:
        text = data.decode()
        value, end = _scan(text, 0)
        if end == len(text):
            return value
    except StopIteration:
        pass
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"data: expected JSON: {error}") from None
    # White space around it, or not JSON: the slow way knows what to say.
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"data: expected JSON: {error}") from None


def is_json(content: str) -> bool:
    kind = content.partition(";")[0].strip().lower()
    return not kind or kind == JSON or kind.endswith("+json")


def reader(kind: Kind | None) -> Callable[[bytes], Any]:
    """How a handler's events are made from JSON: instances of its class, else what JSON said."""
    if kind is None:
        return unpack
    if hasattr(kind, "from_dict"):
        make = kind.from_dict
    elif dataclasses.is_dataclass(kind):
        names = frozenset(each.name for each in dataclasses.fields(kind) if each.init)

        def make(value: dict[str, Any]) -> Any:
            # A field that a later version of the publisher added is no reason to stop.
            return kind(**{name: value[name] for name in value.keys() & names})
    else:
        make = kind

    def read(data: bytes) -> Any:
        value = unpack(data)
        try:
            return make(value)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise Unreadable(f"data: expected {kind.__name__}: {type(error).__name__}: {error}") from error

    return read
