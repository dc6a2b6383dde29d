"""What do policy.toml and the file PAUSE beside it say, and what is wrong with them?

policy.toml says who may do what, so only root and noded's own user may be able to change it.
"""

import asyncio
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any

from noded.adapters.roles import Members
from noded.model.inputs import PolicyRead
from noded.ports import Clock, Inbox
from nodespec.manifest import LIMITLESS, Levels
from nodespec.shapes import Definitions, Kind, Leaf, Shape, Table, Wrong
from nodespec.shapes import Path as Place
from nodespec.tables import LONGEST_TEXT, Forms, ManifestError, Mistake, decode, keys_of, read_shape, shape_of
from nodespec.units import Form, a_string, matching

PERIOD = 1.0
PAUSE = "PAUSE"
NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\$?"
FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def _member(value: Any) -> str:
    text = a_string(value)
    if not re.fullmatch(rf"\*|(user|group):{NAME}|(uid|gid):\d{{1,10}}", text, re.ASCII):
        raise ValueError
    if text[1:4] == "id:" and int(text[4:]) >= 2**32 - 1:
        raise ValueError
    return text


Member = Annotated[
    str,
    Form('"*", or user:, group:, uid: or gid: with a name or number such as "group:adm"', _member),
]


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the administrator's files allow."""

    members: Members = field(default_factory=Members)
    caps: Levels = LIMITLESS
    caps_of: tuple[tuple[str, Levels], ...] = ()
    held: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Caps:
    """[autonomy] caps every node, [autonomy.NODE] one of them more."""

    levels: Shape
    name: Leaf
    expected: str = "a table"

    @property
    def below(self) -> Mapping[str, Shape]:
        return self.levels.below

    def take(self, written: Any, path: Place, wrong: list[Wrong]) -> Any:
        if not isinstance(written, dict):
            wrong.append(Wrong(path, Kind.FORM, written, self.expected))
            return None
        nodes = {k: v for k, v in written.items() if isinstance(v, dict) and k not in self.levels.below}
        host = self.levels.take({k: v for k, v in written.items() if k not in nodes}, path, wrong)
        for name in nodes:
            self.name.take(name, (*path, name), wrong)
        return host, tuple(
            (name, self.levels.take(nodes[name], (*path, name), wrong)) for name in sorted(nodes)
        )

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        return {"type": "object"}


def _document() -> Table:
    forms: Forms = {Members: {part.name: tuple[Member, ...] for part in fields(Members)}}
    levels = Table("Levels", keys_of(Levels, {}), lambda **given: replace(LIMITLESS, **given))
    name = Leaf(matching(r"[a-z][a-z0-9-]{0,31}", "a kind of step, or the name of a node with a table"))
    keys = keys_of(_File, {**forms, _File: {"roles": Members}})
    keys["roles"] = replace(keys["roles"], shape=shape_of(Members, forms))
    keys["autonomy"] = replace(keys["autonomy"], shape=Caps(levels, name))
    return Table("PolicyFile", keys, _allowed)


@dataclass(frozen=True, slots=True)
class _File:
    roles: Members = field(default_factory=Members)
    autonomy: Levels = LIMITLESS


def _allowed(
    roles: Members | None = None, autonomy: tuple[Levels, tuple[tuple[str, Levels], ...]] = (LIMITLESS, ())
) -> Allowed:
    caps, caps_of = autonomy
    return Allowed(roles or Members(), caps, caps_of)


def read_policy(path: Path) -> Allowed:
    """The defaults when there is no such file. Raises ManifestError with every mistake."""
    where = str(path)
    try:
        content = _content(path)
    except FileNotFoundError:
        content = b""
    except OSError as error:
        raise ManifestError(where, [Mistake("", hint=f"cannot be read: {error.strerror}")]) from error
    allowed: Allowed = read_shape(decode(content, where), where, _document(), (), lambda raw: ())
    return replace(allowed, held=os.path.lexists(path.with_name(PAUSE)))


def _content(path: Path) -> bytes:
    with open(os.open(path, FLAGS), "rb") as file:
        for what, found in (("the file", os.fstat(file.fileno())), ("its folder", path.parent.stat())):
            problem = _writable(found)
            if problem:
                hint = f"{what} {problem}; expected root or noded's user alone: it says who may do what"
                raise ManifestError(str(path), [Mistake("", hint=hint)])
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ManifestError(str(path), [Mistake("", hint="not a file")])
        return file.read(LONGEST_TEXT + 1)


def _writable(found: os.stat_result) -> str:
    """By whom else, in words."""
    if found.st_uid not in (0, os.geteuid()):
        return f"belongs to uid {found.st_uid}"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"can be written by others (mode {stat.S_IMODE(found.st_mode):04o})"
    return ""


class PolicyFile:
    def __init__(self, path: Path) -> None:
        """Raises ManifestError: who may do what is never guessed."""
        self.path = path
        self.alarm = ""
        """Why the newest content is not used; empty while it is."""
        self.pause = path.with_name(PAUSE)
        self._read = self._seen = self._signature()
        self.allowed = read_policy(path)

    def look(self) -> bool:
        """Take in what has changed; true when something else is allowed than before."""
        before, seen = self.allowed, self._signature()
        self.allowed = replace(self.allowed, held=os.path.lexists(self.pause))
        # Half a file may say much else: it is read once it rests from one look to the next.
        if seen == self._seen and seen != self._read:
            self._read = seen
            self._take()
        self._seen = seen
        return self.allowed != before

    def _take(self) -> None:
        try:
            self.allowed, self.alarm = read_policy(self.path), ""
        except ManifestError as error:
            self.alarm = f"the last good policy is used: {'; '.join(str(error).splitlines()[:5])}"

    def told(self, at: float) -> PolicyRead:
        return PolicyRead(at, self.allowed.caps, self.allowed.held, self.allowed.caps_of)

    def _signature(self) -> tuple[int, ...]:
        """Differs when the file, its rights or its folder's rights do."""
        return (*_stat(self.path), *_stat(self.path.parent)[-2:])


def _stat(path: Path) -> tuple[int, ...]:
    try:
        found = path.lstat()
    except OSError:
        return ()
    return (found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode, found.st_uid)


async def follow(file: PolicyFile, clock: Clock, inbox: Inbox) -> None:
    """Tell what is allowed now and after each change, and never end."""
    inbox.put(file.told(clock.now()))
    while True:
        await asyncio.sleep(PERIOD)
        if file.look():
            inbox.put(file.told(clock.now()))
