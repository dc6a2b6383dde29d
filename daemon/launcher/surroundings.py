"""What do nodes inherit from the launcher that it cannot take off them?"""

import os

from launcher import proc


def inherited(
    status: bytes | None = None, own: str = "/proc/self/ns/mnt", first: str = "/proc/1/ns/mnt"
) -> list[str]:
    """One note for each. A filter of system calls and a view of the files cannot be left again."""
    notes = []
    for line in (status if status is not None else proc.read("/proc/self/status") or b"").splitlines():
        name, _, value = line.partition(b":")
        if name == b"Seccomp" and value.strip() != b"0":
            notes.append(
                "system calls: the launcher runs under a filter, and every node with it; "
                "take SystemCallFilter= and what implies it out of the launcher's unit"
            )
    try:
        if os.readlink(own) != os.readlink(first):
            notes.append(
                "files: the launcher has a mount namespace of its own, and every node with it; "
                "take Private*=, Protect*= and *Paths= out of the launcher's unit"
            )
    except OSError:  # Only root may compare, and who is not root has said so.
        return notes
    return notes
