"""How does an answer of noded look as JSON and YAML?

Keys are the names of the proto fields and are always there, units are the contract's: bytes, seconds, moments
as unix seconds. Whole numbers stay numbers; what is absent or has not happened is null.
"""

import json
import math
import re
import sys
from typing import Any

from google.protobuf.message import Message

# JSON allows these inside strings; a terminal obeys them.
_UNSAFE = re.compile("[\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def document(message: Message) -> dict[str, Any]:
    return {field.name: _field(message, field) for field in message.DESCRIPTOR.fields}


def _field(message: Message, field: Any) -> Any:
    value = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return dict(sorted(value.items()))
    if field.is_repeated:
        return [_value(field, one) for one in value]
    if field.message_type is not None and not message.HasField(field.name):
        return None
    return _value(field, value)


def _value(field: Any, value: Any) -> Any:
    if field.message_type is not None:
        return document(value)
    if field.enum_type is not None:
        return _enum(field, value)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, float):
        moment = field.name == "at" or field.name.endswith("_at")
        return None if moment and not value else _number(value)
    return value


def _enum(field: Any, value: int) -> str | int:
    """EFFECT_ROLLOUT is "rollout"; a value this nodectl does not know stays a number."""
    known = field.enum_type.values_by_number.get(value)
    if known is None:
        return value
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", field.enum_type.name).upper() + "_"
    return str(known.name).removeprefix(prefix).lower()


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def write(content: Any, output: str, one_line: bool = False) -> None:
    """Prints one document; `one_line` is for streams: a JSON object per line, YAML documents in a row."""
    text = json.dumps(content, ensure_ascii=False, indent=None if one_line else 2) + "\n"
    if output == "yaml":
        import yaml  # 30 ms, seldom asked for

        safe = _UNSAFE.search(text) is None
        # As JSON has it: lists for tuples, and each value where it stands instead of a reference to another.
        content = json.loads(text)
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=safe, explicit_start=one_line)
    else:
        text = _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    sys.stdout.write(text)
    sys.stdout.flush()
