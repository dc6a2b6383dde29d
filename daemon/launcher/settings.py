"""What may this launcher do, for whom and where? launcher.toml, read strictly: all mistakes at once."""

import grp
import os
import pwd
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from launcher import fields
from launcher.fields import Fields

LARGEST_FILE = 256 * 1024
KINDS = ("auto", "v2", "hybrid", "v1", "none")
LARGEST_UID = 2**32 - 2
LONGEST_SOCKET_PATH = 107
_ROOTS = 'a list of absolute paths without "." and "..", / not among them'


class BadSettings(Exception):
    """launcher.toml cannot be used. The text has one line per mistake."""


@dataclass(frozen=True, slots=True)
class Settings:
    socket: str
    run: str
    logs: str
    data: str
    peers: frozenset[int]
    group: int
    users: tuple[str, ...]
    dynamic: tuple[int, int] | None
    cgroup: str
    cgroups: str
    secrets: tuple[str, ...]
    """Below these lie the files whose content nodes may get through the launcher."""
    write: tuple[str, ...]
    """Below these nodes may ask for folders to write to."""


def read_settings(path: Path) -> Settings:
    """Raises BadSettings."""
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise BadSettings(f"{path}: cannot be read: {error.strerror}") from error
    if len(raw) > LARGEST_FILE:
        raise BadSettings(f"{path}: larger than {LARGEST_FILE} bytes")
    try:
        table = tomllib.loads(raw.decode())
    except (ValueError, RecursionError) as error:
        raise BadSettings(f"{path}: not TOML: {error}") from error
    settings, mistakes = _settings_of(table)
    if mistakes:
        raise BadSettings("\n".join(f"{path}: {mistake}" for mistake in mistakes))
    return settings


def _settings_of(table: dict[str, object]) -> tuple[Settings, list[str]]:
    own = os.geteuid()
    given = Fields(table)
    peers = given.take("peers", _peers, "a list of uids or names of users of this host", frozenset[int]())
    settings = Settings(
        socket=given.need("socket", _socket, f"an absolute path of at most {LONGEST_SOCKET_PATH} bytes", ""),
        run=given.need("run", fields.path, "an absolute path", ""),
        logs=given.need("logs", fields.path, "an absolute path", ""),
        data=given.need("data", fields.path, "an absolute path", ""),
        peers=peers | {own},
        group=given.take("group", _group, "a gid or the name of a group of this host", os.getegid()),
        users=given.take("users", _users, "a list of user names or uids, root not among them", ()),
        dynamic=given.take("dynamic", _uid_range, "[lowest uid, highest uid], without 0", None),
        cgroup=given.take("cgroup", _subtree, 'a name like "noded" or a folder in a cgroup mount', "noded"),
        cgroups=given.take("cgroups", _kind, f"one of {', '.join(KINDS)}", "auto"),
        secrets=given.take("secrets", _roots, _ROOTS, ("/etc",)),
        write=given.take("write", _roots, _ROOTS, ("/srv",)),
    )
    mistakes = given.finish()
    if settings.dynamic is not None:
        low, high = settings.dynamic
        mistakes += [
            f"dynamic: [{low}, {high}] contains uid {uid} of peers; its nodes could command the launcher"
            for uid in sorted(settings.peers)
            if low <= uid <= high
        ]
    return settings, mistakes


def _socket(value: object) -> str | None:
    found = fields.path(value)
    return found if found is not None and len(os.fsencode(found)) <= LONGEST_SOCKET_PATH else None


def _uid(value: object) -> int | None:
    found = fields.whole(value)
    return found if found is not None and found <= LARGEST_UID else None


def _peers(value: object) -> frozenset[int] | None:
    if not isinstance(value, list):
        return None
    uids = [_user_id(entry) if isinstance(entry, str) else _uid(entry) for entry in value]
    return frozenset(uid for uid in uids if uid is not None) if None not in uids else None


def _user_id(name: str) -> int | None:
    try:
        return pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError):
        return None


def _group(value: object) -> int | None:
    if not isinstance(value, str):
        return _uid(value)
    try:
        return grp.getgrnam(value).gr_gid
    except (KeyError, ValueError):
        return None


def _users(value: object) -> tuple[str, ...] | None:
    if not isinstance(value, list):
        return None
    found = [str(entry) if _uid(entry) else fields.filled(entry) for entry in value]
    bad = any(entry is None or entry in ("0", "root", "dynamic") for entry in found)
    return None if bad else tuple(entry for entry in found if entry is not None)


def _uid_range(value: object) -> tuple[int, int] | None:
    if not isinstance(value, list) or len(value) != 2:
        return None
    low, high = _uid(value[0]), _uid(value[1])
    return (low, high) if low and high and low <= high else None


def _roots(value: object) -> tuple[str, ...] | None:
    if not isinstance(value, list):
        return None
    found = tuple(place for entry in value if (place := fields.place(entry)) is not None)
    return found if len(found) == len(value) else None


def _subtree(value: object) -> str | None:
    found = fields.filled(value)
    if found is None or not re.fullmatch(r"/?[\w@:-][\w.@:-]*(/[\w@:-][\w.@:-]*)*", found, re.ASCII):
        return None
    return found


def _kind(value: object) -> str | None:
    return value if isinstance(value, str) and value in KINDS else None
