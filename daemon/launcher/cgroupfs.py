"""How are files of a cgroup mount read and written, and how is a controller handed down in it?"""

import os
from collections.abc import Iterable

_LARGEST = 1024 * 1024


def write(path: str, content: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, content.encode())
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), path) from error
    finally:
        os.close(fd)


def read(path: str) -> str:
    """Empty when it cannot be read."""
    try:
        with open(path) as file:
            return file.read(_LARGEST)
    except OSError:
        return ""


def counts(path: str) -> dict[str, int]:
    """A file of lines "name number"."""
    pairs = (line.partition(" ") for line in read(path).splitlines())
    return {name: int(count) for name, _, count in pairs if count.isdecimal()}


def number(path: str) -> int:
    text = read(path).strip()
    return int(text) if text.isdecimal() else 0


def pids_in(folder: str) -> set[int]:
    return {int(line) for line in read(f"{folder}/cgroup.procs").split()}


def pids_below(folder: str) -> set[int]:
    """Those of the groups inside it too."""
    try:
        if os.stat(folder).st_nlink == 2:  # Itself and its name above: there is no folder inside.
            return pids_in(folder)
    except OSError:
        return set()
    return set[int]().union(*(pids_in(inner) for inner, _, _ in os.walk(folder)))


def hand_down(root: str, mount: str, delegated: bool, controllers: Iterable[str]) -> dict[str, str]:
    """Hands the controllers to the groups inside `root`. Answers what could not be, and why.

    What lies above a delegated folder is somebody else's and stays as it is.
    """
    levels = [root]
    while mount and not delegated and levels[0] != mount:
        levels.insert(0, os.path.dirname(levels[0]))
    missing: dict[str, str] = {}
    for level in levels:
        offered = read(f"{level}/cgroup.controllers").split()
        for name in (name for name in controllers if name not in missing):
            if name not in offered:
                missing[name] = f"controller not available in {level}"
                continue
            problem = _hand_on(level, name)
            if problem is not None:
                missing[name] = problem
    return missing


def _hand_on(level: str, name: str) -> str | None:
    if name in read(f"{level}/cgroup.subtree_control").split():
        return None
    if os.getpid() in pids_in(level):
        _move_self(f"{level}/launcher")
    try:
        write(f"{level}/cgroup.subtree_control", f"+{name}")
    except OSError as error:
        return f"{error.strerror}: {error.filename}"
    return None


def _move_self(leaf: str) -> None:
    """A v2 group with processes of its own cannot hand controllers down. Nobody else is ever moved."""
    try:
        os.makedirs(leaf, exist_ok=True)
        write(f"{leaf}/cgroup.procs", "0")
    except OSError:
        return
