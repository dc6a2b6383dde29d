"""Which variables do files of the host give a node, and may the node have them?

Only the child reads here, as root, before it becomes the node. No text of an error holds content.
"""

import os
import re
import stat
from collections.abc import Mapping

from launcher.requests import owned_by_launcher, variable_name

LARGEST = 64 * 1024
_ESCAPED = re.compile(r'\\(["\\$`])')
# Whoever writes a manifest decides which file is named: these are the host's own whatever the roots are.
_HOSTS_OWN = re.compile(
    r"/etc/(g?shadow-?|sudoers(\.d/.*)?|ssh/.*|ssl/private/.*|krb5\.keytab|security/opasswd)"
)


class Unfit(Exception):
    """A file may not be used, or not be read as what it should be. The text names file and line."""


def read_secret(path: str, roots: tuple[str, ...], uid: int) -> str:
    """The content without a newline at its end."""
    content = _text(path, roots, uid)
    if "\0" in content:
        raise Unfit(f"{path}: holds a NUL, which no variable can hold")
    return content.removesuffix("\n")


def read_env_file(path: str, roots: tuple[str, ...], uid: int) -> Mapping[str, str]:
    """A subset of what systemd reads: KEY=VALUE, # and ; comments, quotes around a whole value."""
    found = {}
    for number, line in enumerate(_text(path, roots, uid).split("\n"), 1):
        line = line.strip()
        if not line or line.startswith(("#", ";")):
            continue
        name, equals, value = line.partition("=")
        name = name.rstrip()
        place = f"{path}: line {number}"
        if not equals or not variable_name(name):
            raise Unfit(f"{place}: expected NAME=VALUE")
        if owned_by_launcher(name):
            raise Unfit(f"{place}: {name} is set by noded")
        found[name] = _value(value.strip(), place)
    return found


def _value(text: str, place: str) -> str:
    if "\0" in text:
        raise Unfit(f"{place}: holds a NUL")
    quote = text[:1]
    if quote not in ("'", '"'):
        if "\\" in text:
            raise Unfit(f"{place}: a value with a backslash needs quotes; lines do not continue on the next")
        return text
    inner = text[1:-1]
    bare = inner.replace("\\\\", "").replace('\\"', "") if quote == '"' else inner
    if len(text) < 2 or text[-1] != quote or quote in bare or (quote == '"' and bare.endswith("\\")):
        raise Unfit(f"{place}: quotes must enclose the whole value, on one line")
    return _ESCAPED.sub(r"\1", inner) if quote == '"' else inner


def _text(path: str, roots: tuple[str, ...], uid: int) -> str:
    """Raises OSError when it is not there, Unfit when the node may not have it."""
    # Opened without reading: a pipe or device in its place does nothing yet, and cannot be swapped later.
    found = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        _permit(path, os.readlink(f"/proc/self/fd/{found}"), os.fstat(found), roots, uid)
        with open(f"/proc/self/fd/{found}", "rb") as file:
            content = file.read(LARGEST + 1)
    finally:
        os.close(found)
    if len(content) > LARGEST:
        raise Unfit(f"{path}: larger than {LARGEST} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise Unfit(f"{path}: not UTF-8 text") from None


def _permit(path: str, real: str, found: os.stat_result, roots: tuple[str, ...], uid: int) -> None:
    """`real` is the path without links, as the kernel says."""
    if not any(real.startswith(f"{os.path.realpath(root)}/") for root in roots):
        raise Unfit(f"{path}: not below one of `secrets` of the launcher's settings: {', '.join(roots)}")
    if _HOSTS_OWN.fullmatch(real):
        raise Unfit(f"{path}: belongs to the host itself, no node gets it")
    if not stat.S_ISREG(found.st_mode):
        raise Unfit(f"{path}: not a plain file")
    trusted = {0, os.geteuid()}
    if found.st_uid not in trusted | {uid}:
        raise Unfit(f"{path}: belongs to uid {found.st_uid}, expected root or the node's user {uid}")
    if found.st_mode & 0o022:
        raise Unfit(f"{path}: others may write to it (mode {stat.S_IMODE(found.st_mode):04o}): chmod go-w")
    if found.st_uid != uid and (chooser := _chooser(path, real, trusted)):
        raise Unfit(f"{path}: root's file, but not only root decides where {chooser} leads")


def _chooser(path: str, real: str, trusted: set[int]) -> str:
    """The first folder or link on the way that somebody else than root could make lead to another file."""
    for way in (path, real):
        parts = way.split("/")
        for count in range(2, len(parts) + 1):
            place = "/".join(parts[:count])
            found = os.lstat(place)
            open_to_others = found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX
            if found.st_uid not in trusted or (stat.S_ISDIR(found.st_mode) and open_to_others):
                return place
    return ""
