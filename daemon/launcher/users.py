"""As which user may a node run?"""

import hashlib
import os
import pwd
from dataclasses import dataclass

from launcher.orders import Refusal
from launcher.settings import LARGEST_UID, Settings
from launcher.table import Table

WORKER = "noded-regenerate"
"""What noded itself has run as its own user; no manifest may have a name that begins like this."""


@dataclass(frozen=True, slots=True)
class User:
    """`groups` are the supplementary ones."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


def user_of(node: str, user: str, settings: Settings, table: Table) -> User:
    """Raises Refusal: never root, only users of the settings, only the own one if not root."""
    own = os.geteuid()
    if user == "dynamic":
        if own != 0:
            return User(own, os.getegid())
        uid = dynamic_uid(node, settings, table)
        return User(uid, uid)
    found = _find(user)
    if 0 in (found.uid, found.gid, *found.groups):
        ids = f"uid {found.uid}, gid {found.gid} and groups {sorted(found.groups)}"
        raise Refusal("refused", f"user {user} has {ids}; nodes never run as root")
    if own != 0:
        if found.uid != own:
            raise Refusal("refused", f"user {user}: the launcher is not root, only uid {own} is possible")
        return User(own, os.getegid())
    if found.uid in settings.peers and node != WORKER:
        raise Refusal(
            "refused",
            f"user {user} may give the launcher orders (`peers`); its nodes could do all that noded can",
        )
    if user not in settings.users and str(found.uid) not in settings.users:
        raise Refusal("refused", f"user {user} is not among `users` of the launcher's settings")
    return found


def dynamic_uid(node: str, settings: Settings, table: Table) -> int:
    """The same uid for a node each time; the next free one if another node has it.

    What a node has written tells whose it is, also after a restart of the launcher: the owner of its data
    folder is its uid, and the owners of others' folders are never given away.
    """
    if settings.dynamic is None:
        raise Refusal("refused", "user dynamic: `dynamic` is not set in the launcher's settings")
    if node in table.uids:
        return table.uids[node]
    low, high = settings.dynamic
    size = high - low + 1
    if len(table.uids) >= size:
        table.forget_idle_uids()
    owners = data_owners(settings.data, low, high)
    taken = set(table.uids.values())
    if node in owners and owners[node] not in taken:
        table.uids[node] = owners.pop(node)
        return table.uids[node]
    taken |= set(owners.values())
    for root in settings.write:  # What a node wrote there outlives its data folder.
        taken |= set(data_owners(root, low, high).values())
    first = int.from_bytes(hashlib.sha256(node.encode()).digest()[:8], "big") % size
    for step in range(size):
        uid = low + (first + step) % size
        if uid not in taken:
            table.uids[node] = uid
            return uid
    raise Refusal("unavailable", f"user dynamic: all {size} uids from {low} to {high} are in use")


def data_owners(folder: str, low: int, high: int) -> dict[str, int]:
    """Which nodes have a data folder, and which dynamic uid owns it."""
    owners = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                uid = entry.stat(follow_symlinks=False).st_uid
                if low <= uid <= high:
                    owners[entry.name] = uid
    except OSError:
        return owners
    return owners


def _find(user: str) -> User:
    """As the host's databases have it. A uid without an entry has the group of the same number."""
    numeric = user.isascii() and user.isdecimal()
    if numeric and (len(user) > 10 or int(user) > LARGEST_UID):
        raise Refusal("refused", f"user {user}: expected a uid of at most {LARGEST_UID}")
    try:
        found = pwd.getpwuid(int(user)) if numeric else pwd.getpwnam(user)
    except KeyError:
        if numeric:
            return User(int(user), int(user))
        raise Refusal("refused", f"user {user} does not exist on this host") from None
    groups = set(os.getgrouplist(found.pw_name, found.pw_gid)) - {found.pw_gid}
    return User(found.pw_uid, found.pw_gid, tuple(sorted(groups)))
