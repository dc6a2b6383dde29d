"""How does systemd know that noded is up, still turning, and about to end?

sd_notify(3) by hand: one datagram per message to the socket systemd names. Without one nothing is said.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Mapping

LONGEST_REST = 60.0


class ServiceNotify:
    """`watchdog` is the longest silence in seconds that systemd tolerates, 0 when it does not watch us."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self.watchdog = _watchdog(environment) if self._address else 0.0

    def ready(self) -> None:
        self._say("READY=1")

    def stopping(self) -> None:
        self._say("STOPPING=1")

    async def keep_alive(self) -> None:
        """Runs until it is cancelled. It is a task like any other: a loop that hangs stops saying it."""
        while self.watchdog:
            self._say("WATCHDOG=1")
            await asyncio.sleep(min(self.watchdog / 2, LONGEST_REST))

    def _say(self, message: str) -> None:
        if not self._address:
            return
        # A leading @ stands for the abstract namespace. systemd being away is no reason to end.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        flags = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, flags) as speaker:
            speaker.sendto(message.encode(), address)


def _watchdog(environment: Mapping[str, str]) -> float:
    """WATCHDOG_PID names the process that is meant: the variables may have been inherited."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    given = environment.get("WATCHDOG_USEC", "")
    return int(given) / 1e6 if given.isascii() and given.isdecimal() else 0.0
