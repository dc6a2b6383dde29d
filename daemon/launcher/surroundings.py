"""What do nodes inherit from the launcher that it cannot take off them?"""

import os

from launcher import proc


def inherited() -> list[str]:
    """One note for each. A filter of system calls and a view of the files cannot be left again."""
    return notes_of(proc.read("/proc/self/status") or b"", _namespace("self"), _hosts_namespace())


def notes_of(status: bytes, own: str, hosts: str) -> list[str]:
    """`own` and `hosts` name mount namespaces, "" where one cannot be told."""
    notes = []
    for line in status.splitlines():
        name, _, value = line.partition(b":")
        if name == b"Seccomp" and value.strip() != b"0":
            notes.append(
                "system calls: the launcher runs under a filter, and every node with it; "
                "take SystemCallFilter= and what implies it out of the launcher's unit"
            )
    if own and hosts and own != hosts:
        notes.append(
            "files: the launcher has a mount namespace of its own, and every node with it; "
            "take Private*=, Protect*= and *Paths= out of the launcher's unit"
        )
    return notes


def _hosts_namespace() -> str:
    """That of pid 1; where it hides, that of the kernel's first thread. Only root may look."""
    found = _namespace("1")
    return found or (_namespace("2") if proc.read("/proc/2/comm") == b"kthreadd\n" else "")


def _namespace(pid: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt")
    except OSError:
        return ""
