"""Which control groups hold an instance, and how are they made, limited, counted, killed and removed?

"v2": one tree for everything. "hybrid": limits on v1, the v2 tree for killing. "v1", "none": what is left.
"""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from launcher.orders import INSTANCE_NAME, Limits

CONTROLLERS: Final = ("memory", "cpu", "pids")
_PERIOD = 100_000  # microseconds, the kernel's default for cpu quotas
_V1_FILES: Final = {"memory": "memory.limit_in_bytes", "cpu": "cpu.cfs_quota_us", "pids": "pids.max"}
_V2_FILES: Final = {"memory": "memory.max", "cpu": "cpu.max", "pids": "pids.max"}
_V1_NO_LIMIT: Final = {"memory": "-1", "cpu": "-1", "pids": "max"}
# In this order: the first root that exists says which processes belong to an instance.
_ROOT_NAMES: Final = ("unified", "pids", "memory", "cpu", "cpuacct")


@dataclass(frozen=True, slots=True)
class Cgroups:
    """The subtrees of this launcher: `roots` maps "unified" and controllers to folders."""

    kind: str
    roots: Mapping[str, str]
    degraded: tuple[str, ...] = ()

    def folders(self, instance: str) -> dict[str, str]:
        """Where the instance's groups are, "" where there is none."""
        return {name: f"{self.roots[name]}/{instance}" if name in self.roots else "" for name in _ROOT_NAMES}

    def make(self, instance: str, limits: Limits) -> list[str]:
        """Makes the groups and writes the limits. Answers which limits could not be applied and why.

        Raises OSError if a group cannot be made.
        """
        for root in self._distinct():
            try:
                os.mkdir(f"{root}/{instance}", 0o755)
            except FileExistsError:
                continue
        wanted = {"memory": limits.memory, "cpu": limits.cpu, "pids": limits.pids}
        return [f for name, value in wanted.items() if (f := self._limit(instance, name, value)) is not None]

    def _limit(self, instance: str, name: str, value: float) -> str | None:
        if name not in self.roots:
            return f"{name} limit not applied: no {name} controller ({self.kind})" if value else None
        file = (_V2_FILES if self.kind == "v2" else _V1_FILES)[name]
        try:
            write(f"{self.roots[name]}/{instance}/{file}", self._limit_text(name, value))
            if name == "memory" and self.kind == "v2" and value:
                write(f"{self.roots[name]}/{instance}/memory.oom.group", "1")
        except OSError as error:
            return f"{name} limit not applied: {error.strerror}: {error.filename}" if value else None
        return None

    def _limit_text(self, name: str, value: float) -> str:
        if name == "cpu" and self.kind == "v2":
            return f"{int(value * _PERIOD)} {_PERIOD}" if value else f"max {_PERIOD}"
        if not value:
            return "max" if self.kind == "v2" else _V1_NO_LIMIT[name]
        return str(int(value * _PERIOD) if name == "cpu" else int(value))

    def joins(self, instance: str) -> tuple[str, ...]:
        """The files a process writes "0" to, to become a member."""
        return tuple(f"{root}/{instance}/cgroup.procs" for root in self._distinct())

    def pids(self, instance: str) -> set[int]:
        return _pids_in(f"{self._first()}/{instance}")

    def kill(self, instance: str) -> bool:
        """Kills the whole tree at once if the kernel can (v2, Linux 5.14), else keeps it from growing."""
        try:
            write(f"{self.roots['unified']}/{instance}/cgroup.kill", "1")
        except (KeyError, OSError):
            self._stop_growth(instance)
            return False
        return True

    def _stop_growth(self, instance: str) -> None:
        if "pids" in self.roots:
            try:
                write(f"{self.roots['pids']}/{instance}/pids.max", "0")
            except OSError:
                return

    def oom_kills(self, instance: str) -> int:
        if "memory" not in self.roots:
            return 0
        file = "memory.events" if self.kind == "v2" else "memory.oom_control"
        for line in _read(f"{self.roots['memory']}/{instance}/{file}").splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
        return 0

    def remove(self, instance: str) -> str | None:
        """The reason if a group is still there: dying groups linger for some milliseconds."""
        for root in self._distinct():
            folder = f"{root}/{instance}"
            try:
                for inner, _, _ in os.walk(folder, topdown=False):
                    os.rmdir(inner)
            except OSError as error:
                return f"{error.strerror}: {error.filename}"
        return None

    def instances(self) -> set[str]:
        """Every instance that has a group, from whichever life of the launcher."""
        found: set[str] = set()
        for root in self._distinct():
            found.update(entry.name for entry in os.scandir(root) if INSTANCE_NAME.fullmatch(entry.name))
        return found

    def leave(self) -> None:
        """Removes the subtrees if no instance is left in them."""
        for root in self._distinct():
            with suppress(OSError):
                os.rmdir(root)

    def _distinct(self) -> list[str]:
        return list(dict.fromkeys(self.roots[name] for name in _ROOT_NAMES if name in self.roots))

    def _first(self) -> str:
        return self._distinct()[0]


def write(path: str, content: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, content.encode())
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), path) from error
    finally:
        os.close(fd)


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def _pids_in(folder: str) -> set[int]:
    return {int(line) for line in _read(f"{folder}/cgroup.procs").split()}


def detect(mountinfo: str, wanted: str, subtree: str) -> Cgroups:
    """Looks what this host has and this user may use, and makes the subtree's folders there.

    Whatever is missing against `wanted` or against full limits is named in `degraded`.
    """
    mounts = _mounts(mountinfo)
    unified = mounts.get("unified", "")
    absolute = subtree.startswith("/")
    if absolute and not (unified and f"{subtree}/".startswith(f"{unified}/")):
        return Cgroups("none", {}, (f"no limits, no whole-tree kill: {subtree} is in no cgroup2 mount",))
    relative = subtree.removeprefix(unified) if absolute else f"/{subtree}"
    v1 = [name for name in (*CONTROLLERS, "cpuacct") if name in mounts]
    kind = _kind(unified, bool(v1)) if wanted == "auto" else wanted
    if kind == "none":
        reason = "configured" if wanted == "none" else "no cgroup mount found"
        return Cgroups("none", {}, (f"no limits, no whole-tree kill: cgroups = none ({reason})",))
    if kind == "v2" and unified:
        return _usable("v2", {"unified": f"{unified}{relative}"}, unified, absolute)
    names = [] if kind == "v2" else v1 if kind == "v1" or not unified else ["unified", *v1]
    return _usable(kind, {name: f"{mounts[name]}{relative}" for name in names}, unified, False)


def _kind(unified: str, v1: bool) -> str:
    offered = set(_read(f"{unified}/cgroup.controllers").split()) if unified else set[str]()
    if unified and (set(CONTROLLERS) <= offered or not v1):
        return "v2"
    return "none" if not v1 else "hybrid" if unified else "v1"


def _mounts(mountinfo: str) -> dict[str, str]:
    """Where each hierarchy is mounted: "unified" and the names of v1 controllers."""
    found: dict[str, str] = {}
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        if not right.startswith("cgroup"):
            continue
        filesystem, _, options = right.split(" ")[:3]
        place = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), left.split(" ")[4])
        names = ["unified"] if filesystem == "cgroup2" else options.split(",")
        for name in names:
            found.setdefault(name, place)
    return found


def _usable(kind: str, roots: Mapping[str, str], unified: str, delegated: bool) -> Cgroups:
    good: dict[str, str] = {}
    degraded: list[str] = []
    for name, root in roots.items():
        problem = _try(root)
        if problem is None:
            good[name] = root
        else:
            what = "whole-tree kill" if name == "unified" else f"{name} limits"
            degraded.append(f"{what}: {problem}")
    if kind == "v2" and "unified" in good:
        missing = _enable(good["unified"], unified, delegated)
        good |= {name: good["unified"] for name in CONTROLLERS if name not in missing}
        degraded += [f"{name} limits: {reason}" for name, reason in missing.items()]
    elif kind != "v2":
        degraded += [f"{n} limits: no v1 controller mounted" for n in CONTROLLERS if n not in roots]
    if kind == "hybrid" and "unified" not in good:
        kind = "v1"
    if not good:
        return Cgroups("none", {}, (*degraded, "no limits, no whole-tree kill: no cgroup can be used"))
    return Cgroups(kind, good, tuple(degraded))


def _try(root: str) -> str | None:
    """Why the folder cannot hold groups that processes can join, None if it can."""
    probe = f"{root}/launcher-probe"
    try:
        os.makedirs(probe, 0o755, exist_ok=True)
    except OSError as error:
        return f"{error.strerror}: {error.filename}"
    child = os.fork()
    if child == 0:
        status = 1
        try:
            write(f"{probe}/cgroup.procs", "0")
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    with suppress(OSError):  # A dying group may linger; the next start finds and uses it.
        os.rmdir(probe)
    return f"processes cannot join a group in {root}" if status else None


def _enable(root: str, mount: str, delegated: bool) -> dict[str, str]:
    """Hands the controllers down to the instances' groups. Answers what could not be, and why."""
    levels = [root]
    while not delegated and levels[0] != mount:
        levels.insert(0, os.path.dirname(levels[0]))
    missing: dict[str, str] = {}
    for level in levels:
        offered = _read(f"{level}/cgroup.controllers").split()
        for name in (name for name in CONTROLLERS if name not in missing):
            if name not in offered:
                missing[name] = f"controller not available in {level}"
                continue
            problem = _hand_down(level, name)
            if problem is not None:
                missing[name] = problem
    return missing


def _hand_down(level: str, name: str) -> str | None:
    if name in _read(f"{level}/cgroup.subtree_control").split():
        return None
    if os.getpid() in _pids_in(level):
        _move_self(f"{level}/launcher")
    try:
        write(f"{level}/cgroup.subtree_control", f"+{name}")
    except OSError as error:
        return f"{error.strerror}: {error.filename}"
    return None


def _move_self(leaf: str) -> None:
    """A v2 group with processes of its own cannot hand controllers down."""
    try:
        os.makedirs(leaf, exist_ok=True)
        write(f"{leaf}/cgroup.procs", "0")
    except OSError:
        return
