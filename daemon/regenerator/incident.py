"""What does noded know about the fault?

`read_incident` is the only way in: the whole file is refused, with every mistake located, or it is right.
"""

import hashlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config

MAX_BYTES = 1 << 20
VERSION = r"^[0-9A-Za-z][0-9A-Za-z.+-]{0,63}$"

Text = Annotated[str, Field(max_length=4096)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
Label = Annotated[str, Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z._:-]{0,127}$")]
Version = Annotated[str, Field(pattern=VERSION)]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, le=1 << 50)]
Rate = Annotated[float, Field(ge=0, le=1e15, allow_inf_nan=False)]
Change = Annotated[float, Field(ge=-1e15, le=1e15, allow_inf_nan=False)]
Absolute = Annotated[str, Field(pattern=r"^/[^\x00]*$", max_length=4096)]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]

STRICT = ConfigDict(extra="forbid", strict=True)


class BadInput(Exception):
    """The command line, the incident or the parent release cannot be used; the text says why."""


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class Parent:
    version: Version
    digest: Digest


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class Site:
    """A line whose live allocations grew, as the node's own profile saw it."""

    file: Annotated[str, Field(min_length=1, max_length=4096)]
    line: Annotated[int, Field(ge=1, le=10_000_000)]
    function: Text = ""
    bytes: Count = 0
    count: Count = 0


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class Cache:
    name: Text
    entries: Count = 0
    limit: Count = 0


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class Rung:
    rung: Text
    freed: Change = 0
    verdict: Text = ""


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class Incident:
    """`slope` is bytes per second, `limit` the node's memory limit in bytes (0: none)."""

    node: Name
    incident: Label
    signature: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,63}$")]
    parent: Parent
    next_version: Version
    slope: Rate = 0.0
    limit: Count = 0
    sites: Annotated[tuple[Site, ...], Field(max_length=200)] = ()
    caches: Annotated[tuple[Cache, ...], Field(max_length=1000)] = ()
    rungs: Annotated[tuple[Rung, ...], Field(max_length=100)] = ()
    env: Annotated[dict[Variable, Text], Field(max_length=200)] = field(default_factory=dict)
    python: Absolute = "/usr/bin/python3"


@dataclass(frozen=True, slots=True)
class Evidence:
    incident: Incident
    digest: str


SHAPE = TypeAdapter(Incident)


def read_incident(path: Path) -> Evidence:
    """Raises BadInput naming every wrong key."""
    try:
        with path.open("rb") as source:
            raw = source.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise BadInput(f"{path}: expected at most {MAX_BYTES:,} bytes")
    try:
        incident = SHAPE.validate_json(raw)
    except ValidationError as error:
        raise BadInput("\n".join(_located(path, error))) from None
    mistakes = _inconsistent(incident)
    if mistakes:
        raise BadInput("\n".join(f"{path.name}: {mistake}" for mistake in mistakes))
    return Evidence(incident, "sha256:" + hashlib.sha256(raw).hexdigest())


def _located(path: Path, error: ValidationError) -> list[str]:
    return [
        f"{path.name}: {'.'.join(str(part) for part in mistake['loc']) or 'file'}: {mistake['msg']}"
        for mistake in error.errors(include_url=False, include_input=False)
    ]


def _inconsistent(incident: Incident) -> list[str]:
    mistakes = []
    if incident.next_version == incident.parent.version:
        mistakes.append("next_version: expected another version than parent.version")
    if not os.access(incident.python, os.X_OK):
        mistakes.append(f"python: expected the node's interpreter, {incident.python} cannot be executed")
    for name in incident.env:
        if name.startswith("NODED_") or name == "NOTIFY_SOCKET":
            mistakes.append(f"env.{name}: names beginning with NODED_ and NOTIFY_SOCKET are noded's own")
    for part in filter(None, incident.env.get("PYTHONPATH", "").split(":")):
        if not re.match(r"^/[^\x00]*$", part):
            mistakes.append(f"env.PYTHONPATH: expected absolute folders, got {part!r}")
    return mistakes
