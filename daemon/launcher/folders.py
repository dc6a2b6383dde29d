"""Which folders and files does an instance get, whose are they, and how are they taken away again?

Everything is reached through open folders and without following symbolic links: nodes own these folders.
"""

import contextlib
import errno
import itertools
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

_MOST_REMOVED = 10_000
_AT_ONCE = 256
SOCKET = "http.sock"
PUBLISHED = ".listen"
"""Beside the run folders of the instances; no instance can be named so."""


@contextmanager
def folder(path: str, within: int | None = None) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=within)
    try:
        yield fd
    finally:
        os.close(fd)


def make_run(run: str, instance: str, uid: int, group: int) -> None:
    """The folder of the instance's sockets: its user's, and `group` may reach what is made in it."""
    with folder(run) as top:
        _make(top, instance)
        with folder(instance, top) as own:
            os.fchown(own, uid, group)
            os.fchmod(own, 0o2770)


def publish(run: str, instance: str, uid: int) -> str | None:
    """Gives the instance's socket a second name in a folder that only the launcher may change.

    A path through the instance's own folder is the node's to redirect: a symbolic link there would lead
    whoever connects, the proxy with its rights, to any other socket. A hard link leads to this socket for
    good. Answers why it must not be done, None when it is. Raises FileNotFoundError while there is none.
    """
    name = f"{instance}.sock"
    try:
        with folder(run) as top:
            _make(top, PUBLISHED)
            with folder(instance, top) as own, folder(PUBLISHED, top) as listed:
                os.fchmod(listed, 0o755)
                new = f"{name}.new"
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(new, dir_fd=listed)
                os.link(SOCKET, new, src_dir_fd=own, dst_dir_fd=listed, follow_symlinks=False)
                try:
                    found = os.stat(new, dir_fd=listed, follow_symlinks=False)
                    if not stat.S_ISSOCK(found.st_mode) or found.st_uid != uid:
                        return f"{run}/{instance}/{SOCKET} is not a socket that its user {uid} made"
                    os.rename(new, name, src_dir_fd=listed, dst_dir_fd=listed)
                    return None
                finally:
                    # A rename onto another name of the same file does nothing and leaves both names.
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(new, dir_fd=listed)
    except FileNotFoundError:
        raise
    except OSError as error:
        return f"{run}/{instance}/{SOCKET}: {error.strerror}"


def entrust(path: str, uid: int, owners: frozenset[int], root: bool) -> bool:
    """Gives a socket of one of `owners` to `uid`; its mode stays. False when it cannot be given away.

    Raises PermissionError when it is no such socket. What is held cannot be swapped for something else.
    """
    held = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(held)
        if not stat.S_ISSOCK(found.st_mode) or found.st_uid not in owners:
            who = ", ".join(map(str, sorted(owners)))
            raise PermissionError(errno.EPERM, f"expected a socket of uid {who}")
        if root and found.st_uid != uid:
            os.chown(f"/proc/self/fd/{held}", uid, -1)
        return root or found.st_uid == uid
    finally:
        os.close(held)


def open_log(logs: str, node: str, instance: str, group: int) -> int:
    """The output file, for appending. It stays the launcher's: a node cannot open it a second time."""
    with folder(logs) as top:
        _make(top, node)
        with folder(node, top) as own:
            os.fchown(own, -1, group)
            os.fchmod(own, 0o2750)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            log = os.open(f"{instance}.log", flags, 0o640, dir_fd=own)
            os.fchown(log, -1, group)
            os.fchmod(log, 0o640)
            return log


def open_log_or_nothing(logs: str, node: str, instance: str, group: int) -> int:
    """On a full disk what it prints is lost: that it runs is more."""
    try:
        return open_log(logs, node, instance, group)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)


def make_data(data: str, node: str, uid: int, gid: int) -> None:
    """The node's own folder. Its content follows when the node's uid has changed.

    The folder itself comes last, so that a change which was cut short is done again.
    """
    with folder(data) as top:
        _make(top, node)
        with folder(node, top) as own:
            before = os.fstat(own).st_uid
            if before != uid:
                _hand_over(own, before, uid, gid)
            os.fchown(own, uid, gid)
            os.fchmod(own, 0o700)


def _hand_over(top: int, before: int, uid: int, gid: int) -> None:
    """Only what belonged to `before` is given on: a hard link to somebody else's file stays theirs."""
    for _, folders, files, fd in os.fwalk(".", dir_fd=top):
        for name in (*folders, *files):
            if os.stat(name, dir_fd=fd, follow_symlinks=False).st_uid == before:
                os.chown(name, uid, gid, dir_fd=fd, follow_symlinks=False)


def make_written(path: str, roots: tuple[str, ...], uid: int, gid: int) -> None:
    """A folder the node writes to besides its own. What is there already and is somebody else's stays so.

    Raises PermissionError when it lies below none of the roots, or belongs to another user.
    """
    root = next((root for root in roots if path.startswith(f"{root}/")), None)
    if root is None:
        raise PermissionError(
            errno.EPERM, f"not below one of `write` of the launcher's settings: {', '.join(roots)}"
        )
    with contextlib.ExitStack() as way:
        own = way.enter_context(folder(root))
        for name in path.removeprefix(f"{root}/").split("/"):
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o755, dir_fd=own)
            own = way.enter_context(folder(name, own))
        owner = os.fstat(own).st_uid
        if owner == uid:
            return
        if owner != os.geteuid() or os.listdir(own):
            raise PermissionError(errno.EPERM, f"it belongs to uid {owner}, not to the node's user {uid}")
        os.fchown(own, uid, gid)
        os.fchmod(own, 0o700)


def _make(top: int, name: str) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=top)
    except FileExistsError:
        return


def remove_run(run: str, instance: str) -> str | None:
    """Removes the instance's run folder. Answers why it is still there, None when it is gone.

    At most so many entries in one call: a node may have filled it.
    """
    try:
        with folder(run) as top:
            with contextlib.suppress(FileNotFoundError), folder(PUBLISHED, top) as listed:
                os.unlink(f"{instance}.sock", dir_fd=listed)
            with folder(instance, top) as own:
                left = _clear(own, _MOST_REMOVED)
            if left <= 0:
                return f"{run}/{instance} holds more than {_MOST_REMOVED} entries; ask again to go on"
            os.rmdir(instance, dir_fd=top)
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"{run}/{instance}: {error.strerror}"
    return None


def _clear(top: int, budget: int) -> int:
    """Removes what lies in the folder, at most about `budget` entries; answers how much of it is left.

    However deep a node has nested its folders, each is moved up here before it is emptied in its turn.
    """
    while budget > 0 and (names := _first(top)):
        for name in names:
            budget -= 1 if _gone(name, top) else _raise_content(name, top)
    return max(0, budget)


def _first(folder: int) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in itertools.islice(entries, _AT_ONCE)]


def _gone(name: str, within: int) -> bool:
    """False for a folder that is not empty."""
    if not stat.S_ISDIR(os.stat(name, dir_fd=within, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=within)
        return True
    try:
        os.rmdir(name, dir_fd=within)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


def _raise_content(name: str, top: int) -> int:
    """Moves some of the folders in it up to `top`, and removes some of the rest. Answers how many."""
    with folder(name, top) as own:
        names = _first(own)
        for inner in names:
            if not _gone(inner, own):
                # A name that the node could not have taken.
                os.rename(inner, os.urandom(16).hex(), src_dir_fd=own, dst_dir_fd=top)
    return max(1, len(names))
