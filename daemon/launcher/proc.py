"""What does /proc say about a process? Every answer may be None: the process can end at any moment."""

import os
from dataclasses import dataclass

MARK = "NODED_INSTANCE"
PLACE = "NODED_ORDERS"
RUN = "NODED_RUN"
"""Set for what was run to its end: nobody waits for that after a restart of the launcher."""
_MOST_THREADS = 512
_LARGEST = 512 * 1024


@dataclass(frozen=True, slots=True)
class Stat:
    parent: int
    session: int
    threads: int
    start_time: int  # clock ticks after boot, field 22
    state: str

    @property
    def zombie(self) -> bool:
        return self.state in ("Z", "X")


def read(path: str) -> bytes | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(fd, _LARGEST)
    except OSError:
        return None
    finally:
        os.close(fd)


def home(pid: int, start_time: int) -> str:
    """The folder the process works in; empty when it cannot be told."""
    try:
        folder = os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""
    found = stat(pid)
    return folder if found and found.start_time == start_time else ""


def stat(pid: int) -> Stat | None:
    raw = read(f"/proc/{pid}/stat")
    if not raw:
        return None
    # The name in brackets may itself hold brackets and blanks; everything of use follows the last one.
    rest = raw[raw.rindex(b")") + 2 :].split()
    return Stat(int(rest[1]), int(rest[3]), int(rest[17]), int(rest[19]), rest[0].decode())


def uid(pid: int) -> int | None:
    for line in (read(f"/proc/{pid}/status") or b"").splitlines():
        if line.startswith(b"Uid:"):
            return int(line.split()[1])
    return None


def groups(pid: int) -> tuple[int, tuple[int, ...]]:
    """Gid and supplementary groups; gid 0 when it is gone."""
    fields = {}
    for line in (read(f"/proc/{pid}/status") or b"").splitlines():
        name, _, value = line.partition(b":")
        fields[name] = value.split()
    gid = int(fields[b"Gid"][0]) if b"Gid" in fields else 0
    return gid, tuple(int(word) for word in fields.get(b"Groups", ()))


def threads(pid: int) -> list[int]:
    try:
        return sorted(int(name) for name in os.listdir(f"/proc/{pid}/task"))[:_MOST_THREADS]
    except OSError:
        return []


def waited(pid: int) -> float | None:
    """Seconds its threads that live waited for a processor; None where the kernel does not count it."""
    found = [read(f"/proc/{pid}/task/{thread}/schedstat") for thread in threads(pid)]
    counted = [int(raw.split()[1]) for raw in found if raw]
    return sum(counted) / 1e9 if counted else None


def wchans(pid: int, most: int) -> list[dict[str, object]]:
    """Where in the kernel each thread waits: "0" for one that runs."""
    found: list[dict[str, object]] = []
    for thread in threads(pid)[:most]:
        place = read(f"/proc/{pid}/task/{thread}/wchan")
        raw = read(f"/proc/{pid}/task/{thread}/stat")
        if place is not None and raw:
            state = raw[raw.rindex(b")") + 2 :][:1].decode()
            found.append({"pid": pid, "tid": thread, "state": state, "wchan": place.decode(errors="replace")})
    return found


def environ(pid: int) -> dict[str, str]:
    """Empty for a kernel thread, a zombie or a process that may not be read."""
    raw = read(f"/proc/{pid}/environ") or b""
    pairs = (entry.decode(errors="replace").partition("=") for entry in raw.split(b"\0") if b"=" in entry)
    return {name: value for name, _, value in pairs}


def pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def memory(pid: int, exact: bool) -> tuple[int, int]:
    """Resident and proportional bytes; the proportional ones are the resident ones unless `exact`."""
    rollup = read(f"/proc/{pid}/smaps_rollup") if exact else None
    sizes = {
        line.split()[0]: int(line.split()[1]) * 1024
        for line in (rollup or b"").splitlines()
        if line.startswith((b"Rss:", b"Pss:"))
    }
    if len(sizes) == 2:
        return sizes[b"Rss:"], sizes[b"Pss:"]
    pages = (read(f"/proc/{pid}/statm") or b"0 0").split()
    resident = int(pages[1]) * os.sysconf("SC_PAGE_SIZE")
    return resident, resident


def descriptors(pid: int, most: int) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    try:
        names = sorted(int(name) for name in os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return found
    for number in names[:most]:
        try:
            target = os.readlink(f"/proc/{pid}/fd/{number}")
        except OSError:
            continue
        found.append({"pid": pid, "fd": number, "target": os.fsencode(target).decode(errors="replace")})
    return found


def hold(pid: int, start_time: int | None = None) -> int:
    """A pidfd, -1 if the process is gone or is not the one that started at `start_time`."""
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return -1
    found = stat(pid)
    if start_time is None or (found is not None and found.start_time == start_time):
        return fd
    os.close(fd)
    return -1


def boot_id() -> str:
    return (read("/proc/sys/kernel/random/boot_id") or b"").decode().strip()
