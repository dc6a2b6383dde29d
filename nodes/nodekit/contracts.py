"""Which events does the manifest say this node publishes and consumes, and does an event fit its contract?"""

import json
import logging
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .payload import plain

LARGEST_MANIFEST = 256 * 1024
LARGEST_SCHEMA = 256 * 1024
logger = logging.getLogger("nodekit")
Judge = Callable[[object], str]


class ContractBroken(ValueError):
    """The event is not what its contract says; the text names the place. Nothing was published."""


@dataclass(frozen=True, slots=True)
class Contracts:
    """`known`: there was a manifest. Without one nothing is judged."""

    known: bool = False
    judges: Mapping[str, Judge] = field(default_factory=dict)
    lenient: frozenset[str] = frozenset()
    """Types whose broken events are only told of: check = "warn"."""
    consumed: Mapping[str, bool] = field(default_factory=dict)
    """By type: whether in order of the subject."""

    @property
    def ordered(self) -> bool:
        """When nobody says that order does not matter, it is kept."""
        return any(self.consumed.values()) if self.consumed else True

    def check(self, type: str, data: object) -> None:
        """Raises ContractBroken."""
        judge = self.judges.get(type)
        # Nearly all data is plain already, and to make sure costs more than to judge.
        wrong = judge and judge(data) and judge(plain(data))
        if wrong:
            self._weigh(type, wrong)

    def _weigh(self, type: str, wrong: str) -> None:
        if type in self.lenient:
            logger.warning("event %s breaks its contract: %s", type, wrong)
        else:
            raise ContractBroken(f"event {type} breaks its contract: {wrong}")

    def check_bytes(self, type: str, data: bytes, content: str) -> None:
        """Raises ContractBroken."""
        from .schema import NotJson, json_of

        try:
            value = json_of(data, content)
        except NotJson as error:
            self._weigh(type, f"data: {error}")
        else:
            self.check(type, value)


def read_contracts(release: Path) -> Contracts:
    """From node.toml and the schema files it names. Raises ValueError, OSError."""
    file = release / "node.toml"
    if not file.is_file():
        return Contracts()
    with file.open("rb") as manifest:
        try:
            content = tomllib.loads(manifest.read(LARGEST_MANIFEST).decode())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{file}: {error}") from None
    published, consumed = tables(file, content, "publishes"), tables(file, content, "consumes")
    judges = {
        each["type"]: compiled(release / each["schema"])
        for each in published
        if each.get("schema") and each.get("check") != "off"
    }
    lenient = frozenset(each["type"] for each in published if each.get("check") == "warn")
    return Contracts(True, judges, lenient, {each["type"]: bool(each.get("order_by")) for each in consumed})


def tables(file: Path, content: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """Reads only what is needed here; `nodectl validate` reads the rest."""
    found = content.get(key, [])
    if not isinstance(found, list) or not all(
        isinstance(each, dict) and isinstance(each.get("type"), str) for each in found
    ):
        raise ValueError(f'{file}: {key}: expected [[{key}]] tables with type = "..."')
    return found


def compiled(file: Path) -> Judge:
    from .schema import judge

    with file.open("rb") as schema:
        content = schema.read(LARGEST_SCHEMA + 1)
    if len(content) > LARGEST_SCHEMA:
        raise ValueError(f"{file}: expected at most {LARGEST_SCHEMA} bytes")
    try:
        return judge(json.loads(content))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: {error}") from None
