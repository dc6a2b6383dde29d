"""Who may ask noded for what?

One table for every call. Who belongs to a role stands in policy.toml; root and noded's own user are
always administrators.
"""

import asyncio
import grp
import os
import pwd
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from nodeapi.v1 import control_pb2 as pb
from noded.adapters.peercred import Caller

KNOWN_FOR = 5.0
"""Seconds for which what the user and group databases said is believed."""
LOOKUP = 2.0
"""Longest wait for the databases: they may ask a server on the network."""
MOST_KNOWN = 1000
FREE = ("/grpc.health.", "/grpc.reflection.")
"""Whether noded is up and which calls it has is no secret on this host."""


class Role(IntEnum):
    NOBODY = 0
    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3

    def __str__(self) -> str:
        return self.name.lower()


NEEDED = {
    "GetVersion": Role.NOBODY,
    "GetStatus": Role.VIEWER,
    "WatchStatus": Role.VIEWER,
    "Explain": Role.VIEWER,
    "ListReleases": Role.VIEWER,
    "CheckHost": Role.VIEWER,
    "GetMap": Role.VIEWER,
    "GetTrace": Role.VIEWER,
    "ListDead": Role.VIEWER,
    "Command": Role.OPERATOR,
    "ReadLogs": Role.OPERATOR,
    "RunTests": Role.OPERATOR,
    "Tail": Role.OPERATOR,
    "Show": Role.OPERATOR,
    "Send": Role.OPERATOR,
    "Replay": Role.OPERATOR,
    "RequeueDead": Role.OPERATOR,
    "DropDead": Role.OPERATOR,
    "Apply": Role.ADMIN,
    "ReadRelease": Role.ADMIN,
    "Exec": Role.ADMIN,
    "Bundle": Role.ADMIN,
    "Backup": Role.ADMIN,
    "Restore": Role.ADMIN,
    "ReadAudit": Role.ADMIN,
}
ADMINS_VERBS = (pb.VERB_REMOVE,)
WHOLE = Role.OPERATOR
"""Who sees settings of nodes: manifests, and the bodies of what explains a decision."""


def needed(method: str, request: Any) -> Role:
    """`method` is gRPC's whole name, `request` the first message. What is not in the table is an admin's."""
    if method.startswith(FREE):
        return Role.NOBODY
    name = method.rpartition("/")[2]
    if name == "Command" and (request.verb in ADMINS_VERBS or request.force):
        return Role.ADMIN
    if name == "Apply" and request is not None and request.header.plan_only:
        return Role.VIEWER
    return NEEDED.get(name, Role.ADMIN)


@dataclass(frozen=True, slots=True)
class Members:
    """Entries as policy.toml has them: `*`, `user:NAME`, `group:NAME`, `uid:N`, `gid:N`."""

    viewer: tuple[str, ...] = ("*",)
    operator: tuple[str, ...] = ("group:noded-operator",)
    admin: tuple[str, ...] = ("group:noded-admin",)


@dataclass(frozen=True, slots=True)
class Known:
    """One user as the databases of this host have it."""

    name: str
    groups: frozenset[int]
    names: frozenset[str]
    """Of its groups."""


@dataclass(slots=True)
class Roles:
    """`admins` are uids that are always administrators, besides root and this process's own user."""

    members: Callable[[], Members]
    admins: frozenset[int] = frozenset()
    clock: Callable[[], float] = time.monotonic
    lookup: Callable[[int], Known] = field(default_factory=lambda: known)
    _known: dict[int, tuple[float, Known]] = field(default_factory=dict)
    # Threads of its own: a database that hangs takes none from those who need the disk.
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2, "users"))

    async def of(self, who: Caller) -> Role:
        if who.uid in (0, os.geteuid(), *self.admins):
            return Role.ADMIN
        user, members = await self.user(who.uid), self.members()
        for role, entries in (
            (Role.ADMIN, members.admin),
            (Role.OPERATOR, members.operator),
            (Role.VIEWER, members.viewer),
        ):
            if any(_is_meant(entry, who, user) for entry in entries):
                return role
        return Role.NOBODY

    async def user(self, uid: int) -> Known:
        """Without a name and groups when the databases do not answer in time."""
        until, user = self._known.get(uid, (0.0, Known("", frozenset(), frozenset())))
        if self.clock() < until:
            return user
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(LOOKUP):
                user = await loop.run_in_executor(self._threads, self.lookup, uid)
        except (TimeoutError, OSError):
            user = Known("", frozenset(), frozenset())
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[uid] = (self.clock() + KNOWN_FOR, user)
        return user


def known(uid: int) -> Known:
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return Known("", frozenset(), frozenset())
    groups = frozenset(os.getgrouplist(user.pw_name, user.pw_gid))
    return Known(user.pw_name, groups, frozenset(_names(groups)))


def _names(groups: Iterable[int]) -> Iterable[str]:
    for gid in groups:
        try:
            yield grp.getgrgid(gid).gr_name
        except KeyError:
            continue


def _is_meant(entry: str, who: Caller, user: Known) -> bool:
    kind, _, name = entry.partition(":")
    match kind:
        case "*":
            return True
        case "user":
            return name == user.name
        case "uid":
            return int(name) == who.uid
        case "group":
            return name in user.names
        case _:
            return int(name) in (who.gid, *user.groups)
