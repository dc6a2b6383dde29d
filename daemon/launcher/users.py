"""As which user may a node run?"""

import hashlib
import os
import pwd

from launcher.orders import Refusal
from launcher.settings import LARGEST_UID, Settings
from launcher.table import Table


def user_of(node: str, user: str, settings: Settings, table: Table) -> tuple[int, int]:
    """Uid and gid. Raises Refusal: never root, only users of the settings, only the own one if not root."""
    own = os.geteuid()
    if user == "dynamic":
        if own != 0:
            return own, os.getegid()
        uid = dynamic_uid(node, settings, table)
        return uid, uid
    uid, gid = _ids(user)
    if uid == 0 or gid == 0:
        raise Refusal("refused", f"user {user} has uid {uid} and gid {gid}; nodes never run as root")
    if own != 0:
        if uid != own:
            raise Refusal("refused", f"user {user}: the launcher is not root, only uid {own} is possible")
        return own, os.getegid()
    if user not in settings.users and str(uid) not in settings.users:
        raise Refusal("refused", f"user {user} is not among `users` of the launcher's settings")
    return uid, gid


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


def _ids(user: str) -> tuple[int, int]:
    """A uid that no entry of the host names has the group of the same number."""
    numeric = user.isascii() and user.isdecimal()
    if numeric and (len(user) > 10 or int(user) > LARGEST_UID):
        raise Refusal("refused", f"user {user}: expected a uid of at most {LARGEST_UID}")
    try:
        found = pwd.getpwuid(int(user)) if numeric else pwd.getpwnam(user)
    except KeyError:
        if numeric:
            return int(user), int(user)
        raise Refusal("refused", f"user {user} does not exist on this host") from None
    return found.pw_uid, found.pw_gid
