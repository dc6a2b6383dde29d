"""What in a node's folder is allowed and yet hardly meant?

A program or a contract with which the node does not start: told before noded is asked, and not refused.
"""

import difflib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nodectl.screen import note
from nodespec.contracts import read_schema
from nodespec.environment import FOLDER
from nodespec.manifest import Check, NodeSpec

DEEPEST = 60
OF_SCHEMAS = ("properties", "$defs")
"""Hold schemas by names that are no keywords."""
LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
KEYWORDS = frozenset(
    "$comment $defs $id $ref $schema additionalProperties allOf anyOf const contentEncoding "
    "contentMediaType default deprecated description enum examples exclusiveMaximum exclusiveMinimum "
    "format items maxItems maxLength maxProperties maximum minItems minLength minProperties minimum "
    "not oneOf pattern prefixItems properties readOnly required title type uniqueItems writeOnly".split()
)
"""Those that nodekit and the mesh hold events against, and notes."""


def tell(folder: Path, spec: NodeSpec) -> None:
    try:
        for doubt in doubts(folder, spec):
            note(f"warning: {doubt}")
    except (OSError, ValueError):
        # The folder has changed since it was read: what counts is what was read.
        return


def doubts(folder: Path, spec: NodeSpec) -> Iterator[str]:
    program = spec.run[0]
    if "/" in program and not program.startswith(("/", f"{FOLDER}/", f"./{FOLDER}/")):
        if not (folder / program).is_file():
            yield f"node.run: there is no {program} in {folder}: the node will not start"
        elif not os.access(folder / program, os.X_OK):
            yield f"node.run: {program} may not be executed: chmod +x {folder / program}"
    for number, table in enumerate(spec.publishes):
        if table.schema and table.check is not Check.OFF:
            for place, word in unknown(json.loads(read_schema(folder, table.schema))):
                near = difflib.get_close_matches(word, KEYWORDS, 1)
                meant = f"; did you mean {near[0]}?" if near else ""
                where = f"publishes[{number}].schema: {table.schema}: {place}"
                yield f"{where}: no event can be held against {word!r}, nodekit does not start{meant}"


def unknown(schema: Any, place: str = "#", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Each keyword that nobody knows, with the place of its schema."""
    if not isinstance(schema, dict) or depth > DEEPEST:
        return
    for word, value in schema.items():
        inner: dict[str, Any] = {}
        if word not in KEYWORDS:
            yield place, word
        elif word in OF_SCHEMAS and isinstance(value, dict):
            inner = value
        elif word in LISTS and isinstance(value, list):
            inner = {str(number): each for number, each in enumerate(value)}
        elif word in ("items", "additionalProperties", "not"):
            yield from unknown(value, f"{place}/{word}", depth + 1)
        for name, each in inner.items():
            yield from unknown(each, f"{place}/{word}/{name}", depth + 1)
