"""Which control groups does this host offer the launcher, and which of them can be used?"""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from launcher.cgroupfs import hand_down, read, write
from launcher.cgroups import Cgroups

CONTROLLERS: Final = ("memory", "cpu", "pids")
"""Without one of these the host is degraded. A host without `io` or v1's `freezer` is not."""
_V1_NAMES: Final = {
    "memory": "memory",
    "cpu": "cpu",
    "pids": "pids",
    "cpuacct": "cpuacct",
    "blkio": "io",
    "freezer": "freezer",
}


def detect(mountinfo: str, wanted: str, subtree: str) -> Cgroups:
    """The best of `mountinfo` (a text like /proc/self/mountinfo), or what is `wanted` instead of "auto".

    `subtree` is a name below every mount, or, beginning with "/", a folder that a unit delegates.
    """
    mounts = _mounts(mountinfo)
    unified = mounts.get("unified", "")
    v1 = {ours: mounts[name] for name, ours in _V1_NAMES.items() if name in mounts}
    kind = _kind(unified, any(name in v1 for name in CONTROLLERS)) if wanted == "auto" else wanted
    if kind == "none":
        reason = "configured" if wanted == "none" else "no cgroup mount found"
        return Cgroups("none", {}, (f"no limits, no whole-tree kill: cgroups = none ({reason})",))
    delegated = subtree.startswith("/")
    relative = _relative(subtree, unified, v1) if delegated else f"/{subtree}"
    if relative is None:
        return Cgroups("none", {}, (f"no limits, no whole-tree kill: {subtree} is in no cgroup mount",))
    if kind == "v2":
        roots = {"unified": f"{unified}{relative}"} if unified else {}
        return _usable("v2", roots, unified, delegated)
    roots = {"unified": f"{unified}{relative}"} if unified and kind == "hybrid" else {}
    roots |= {name: f"{place}{relative}" for name, place in v1.items()}
    # systemd knows by this tree which processes end with the unit that delegates.
    tracked = f"{mounts.get('name=systemd', '')}{relative}"
    if delegated and "name=systemd" in mounts and os.path.isdir(tracked):
        roots["systemd"] = tracked
    return _usable(kind, roots, unified, delegated)


def _relative(folder: str, unified: str, v1: Mapping[str, str]) -> str | None:
    """The folder's path inside its hierarchy. The same words fit a host with v2 alone and one with v1 too."""
    places = sorted({unified, *v1.values()} - {""}, key=len, reverse=True)
    places += [os.path.dirname(place) for place in v1.values()]
    return next((folder.removeprefix(place) for place in places if folder.startswith(f"{place}/")), None)


def _kind(unified: str, v1: bool) -> str:
    offered = set(read(f"{unified}/cgroup.controllers").split()) if unified else set[str]()
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
        if name == "freezer" and "unified" in good:
            continue  # The v2 tree freezes better: what is killed there dies at once.
        problem = _try(root, must_exist=delegated and name == "unified")
        if problem is None:
            good[name] = root
        elif name != "io":
            degraded.append(f"{_served_by(name)}: {problem}")
    if kind == "v2" and "unified" in good:
        names = (*CONTROLLERS, "io")
        missing = hand_down(good["unified"], unified, delegated, names)
        good |= {name: good["unified"] for name in names if name not in missing}
        degraded += [f"{name} limits: {missing[name]}" for name in CONTROLLERS if name in missing]
    elif kind != "v2":
        degraded += [f"{n} limits: no v1 controller mounted" for n in CONTROLLERS if n not in roots]
    if kind == "hybrid" and "unified" not in good:
        kind = "v1"
    if not good:
        return Cgroups("none", {}, (*degraded, "no limits, no whole-tree kill: no cgroup can be used"))
    if not {"unified", "freezer"} & set(good):
        degraded.append("freeze, kill of what forks without end: no v1 freezer can be used")
    return Cgroups(kind, good, tuple(degraded), unified, delegated)


def _served_by(name: str) -> str:
    special = {
        "unified": "whole-tree kill",
        "freezer": "freeze",
        "systemd": "end of all nodes with their unit",
    }
    return special.get(name, f"{name} limits")


def _try(root: str, must_exist: bool) -> str | None:
    """Why the folder cannot hold groups that processes can join, None if it can."""
    if must_exist and not os.path.isdir(root):
        return f"{root} does not exist: is the unit that delegates it running?"
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
