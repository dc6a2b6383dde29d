"""Which control groups hold an instance, and how are they made, limited, frozen, killed and removed?

"v2": one tree for everything. "hybrid": limits on v1, the v2 tree for killing and freezing. "v1", "none":
what is left. An instance may be the name of a group inside an instance's group too: "catalog.7/x1".
"""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from launcher.cgroupfs import counts, hand_down, number, pids_below, pids_in, read, write
from launcher.orders import INSTANCE_NAME, Limits, Refusal

_INNER: Final = re.compile("x[0-9]+")
_PERIOD = 100_000  # microseconds, the kernel's default for cpu quotas
_FILES: Final = {
    "v1": {
        "memory": ("memory.limit_in_bytes",),
        "cpu": ("cpu.cfs_quota_us",),
        "pids": ("pids.max",),
        "io": ("blkio.bfq.weight", "blkio.weight"),
    },
    "v2": {
        "memory": ("memory.max",),
        "memory_high": ("memory.high",),
        "cpu": ("cpu.max",),
        "pids": ("pids.max",),
        # The first comes with the cost model, the second with the BFQ scheduler.
        "io": ("io.weight", "io.bfq.weight"),
    },
}
# In this order: the first root that exists says which processes belong to an instance.
_ROOT_NAMES: Final = ("unified", "pids", "memory", "cpu", "cpuacct", "freezer", "io", "systemd")


@dataclass(frozen=True, slots=True)
class Cgroups:
    """The subtrees of this launcher: `roots` maps "unified" and controllers to folders."""

    kind: str
    roots: Mapping[str, str]
    degraded: tuple[str, ...] = ()
    mount: str = ""
    delegated: bool = False
    """The subtree is another unit's, which makes and removes it."""

    def folders(self, instance: str) -> dict[str, str]:
        """Where the instance's groups are, "" where there is none."""
        return {name: f"{self.roots[name]}/{instance}" if name in self.roots else "" for name in _ROOT_NAMES}

    def make(self, instance: str, limits: Limits) -> list[str]:
        """Makes the groups and writes the limits. Answers which limits could not be applied and why.

        Raises OSError if a group cannot be made, Refusal if the delegated folder is gone.
        """
        self._revive()
        for root in self._distinct():
            try:
                os.mkdir(f"{root}/{instance}", 0o755)
            except FileExistsError:
                with suppress(OSError):  # Who was killed frozen leaves a frozen group.
                    self.freeze(instance, False)
        wanted = {
            "memory": limits.memory,
            "memory_high": limits.memory_high,
            "cpu": limits.cpu,
            "pids": limits.pids,
            "io": limits.io,
        }
        return [f for name, value in wanted.items() if (f := self._limit(instance, name, value)) is not None]

    def _revive(self) -> None:
        """Whoever owns the subtree may have removed it since, or made it anew without controllers."""
        for root in self._distinct():
            if self.delegated and root == self.roots.get("unified") and not os.path.isdir(root):
                raise Refusal("unavailable", f"{root} is gone: is the unit that delegates it running?")
            os.makedirs(root, 0o755, exist_ok=True)
        if self.kind == "v2":
            names = [name for name in _FILES["v2"] if self.roots.get(name) == self.roots["unified"]]
            if not set(names) <= set(read(f"{self.roots['unified']}/cgroup.subtree_control").split()):
                hand_down(self.roots["unified"], self.mount, self.delegated, names)

    def _limit(self, instance: str, name: str, value: float) -> str | None:
        what = f"{name} weight not applied" if name == "io" else f"{name} limit not applied"
        controller = name.partition("_")[0]
        if controller not in self.roots:
            return f"{what}: no {controller} controller ({self.kind})" if value else None
        folder = f"{self.roots[controller]}/{instance}"
        names = _FILES["v2" if self.kind == "v2" else "v1"].get(name, ())
        # A weight may have one file, the other or none; every other file is there.
        files = [file for file in names if name != "io" or os.path.exists(f"{folder}/{file}")]
        if not files:
            return f"{what}: the kernel has none here ({self.kind})" if value else None
        try:
            if name != "io" or value:
                write(f"{folder}/{files[0]}", self._limit_text(name, files[0], value))
            if name == "memory" and self.kind == "v2" and value:
                write(f"{folder}/memory.oom.group", "1")
        except OSError as error:
            return f"{what}: {error.strerror}: {error.filename}" if value else None
        return None

    def _limit_text(self, name: str, file: str, value: float) -> str:
        v2 = self.kind == "v2"
        if name == "io":
            return str(_weight(file, int(value)))
        if name == "cpu":
            quota = str(int(value * _PERIOD)) if value else "max" if v2 else "-1"
            return f"{quota} {_PERIOD}" if v2 else quota
        if not value:
            return "max" if v2 or name == "pids" else "-1"
        return str(int(value))

    def joins(self, instance: str) -> tuple[str, ...]:
        """The files a process of one thread writes "0" to, to become a member."""
        # For a lone thread v1 need not wait until no process of the host is being born or ends.
        unified = self.roots.get("unified")
        files = {root: "cgroup.procs" if root == unified else "tasks" for root in self._distinct()}
        return tuple(f"{root}/{instance}/{file}" for root, file in files.items())

    def birthplace(self, instance: str) -> str:
        """The group of v2, in which a process can be born; "" when there is none."""
        return f"{self.roots['unified']}/{instance}" if "unified" in self.roots else ""

    def pids(self, instance: str, inner: bool = True) -> set[int]:
        """Its processes, those of groups inside its own too, unless not `inner`."""
        folder = f"{self._distinct()[0]}/{instance}"
        return pids_below(folder) if inner else pids_in(folder)

    def inner(self, instance: str) -> list[str]:
        """The names of the groups inside the instance's."""
        found = {
            entry.name
            for root in self._distinct()
            for entry in _entries(f"{root}/{instance}")
            if _INNER.fullmatch(entry.name)
        }
        return [f"{instance}/{name}" for name in sorted(found)]

    def kill(self, instance: str) -> bool:
        """Kills the whole tree at once, if the kernel can (v2, Linux 5.14)."""
        try:
            write(f"{self.roots['unified']}/{instance}/cgroup.kill", "1")
        except (KeyError, OSError):
            return False
        return True

    def stop_growth(self, instance: str) -> None:
        """The last resort against what forks faster than it is killed."""
        if "pids" in self.roots:
            with suppress(OSError):
                write(f"{self.roots['pids']}/{instance}/pids.max", "0")

    def freeze(self, instance: str, still: bool) -> bool:
        """Begins to freeze the tree, or thaws it. False when there is nothing to do it with.

        On v1, what is killed while it is frozen dies when it is thawed.
        """
        unified, freezer = self.roots.get("unified"), self.roots.get("freezer")
        if unified and os.path.exists(f"{unified}/{instance}/cgroup.freeze"):
            write(f"{unified}/{instance}/cgroup.freeze", "1" if still else "0")
        elif freezer:
            write(f"{freezer}/{instance}/freezer.state", "FROZEN" if still else "THAWED")
        else:
            return False
        return True

    def frozen(self, instance: str) -> bool:
        unified, freezer = self.roots.get("unified"), self.roots.get("freezer")
        if unified and os.path.exists(f"{unified}/{instance}/cgroup.freeze"):
            return counts(f"{unified}/{instance}/cgroup.events").get("frozen") == 1
        return bool(freezer) and read(f"{freezer}/{instance}/freezer.state").strip() == "FROZEN"

    def events(self, instance: str) -> dict[str, int]:
        """How often the memory limits were met. v1 counts less: no high, and for oom the kills alone."""
        told = dict.fromkeys(("high", "max", "oom", "oom_kill"), 0)
        if "memory" not in self.roots:
            return told
        folder = f"{self.roots['memory']}/{instance}"
        if self.kind == "v2":
            found = counts(f"{folder}/memory.events")
            return {name: found.get(name, 0) for name in told}
        kills = counts(f"{folder}/memory.oom_control").get("oom_kill", 0)
        return told | {"max": number(f"{folder}/memory.failcnt"), "oom": kills, "oom_kill": kills}

    def oom_kills(self, instance: str) -> int:
        return self.events(instance)["oom_kill"]

    def pressure(self, instance: str) -> dict[str, float | None]:
        """The share of the last 10 s, 0 to 1, in which some of its processes waited for it."""
        folder = f"{self.roots.get('unified', '')}/{instance}"
        return {name: _some(read(f"{folder}/{name}.pressure")) for name in ("cpu", "memory", "io")}

    def remove(self, instance: str) -> str | None:
        """The reason if a group is still there: dying groups linger for some milliseconds."""
        for root in self._distinct():
            folder = f"{root}/{instance}"
            try:
                for inner, _, _ in os.walk(folder, topdown=False):
                    os.rmdir(inner)
            except FileNotFoundError:
                continue
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


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _weight(file: str, wanted: int) -> int:
    """From v2's 1 to 10000 around 100 to what the file takes; BFQ's part as systemd translates it."""
    if file in ("blkio.bfq.weight", "io.bfq.weight"):
        return wanted if wanted <= 100 else 100 + (wanted - 100) * 900 // 9900
    return max(10, min(1000, wanted * 5)) if file == "blkio.weight" else wanted


def _some(text: str) -> float | None:
    words = text.partition("\n")[0].split()
    if len(words) < 2 or words[0] != "some":
        return None
    return float(words[1].partition("=")[2]) / 100
