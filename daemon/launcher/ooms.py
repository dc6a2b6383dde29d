"""When has the kernel met an instance's memory limit? It tells, in each kind of cgroup its own way."""

import ctypes
import os
import struct
from collections.abc import Callable

from launcher.cgroups import Cgroups
from launcher.loop import Loop

_LIBC = ctypes.CDLL(None, use_errno=True)
_IN_MODIFY = 0x2
_EVENT = struct.Struct("iIII")
# v1 speaks before the victim is chosen and counted, so one look at once is not enough.
_LOOKS = (0.2, 1.0, 3.0)
_PERIOD = 1.0
"""Seconds between looks where the kernel tells nothing."""


class Ooms:
    """Calls `look(instance)` soon after the kernel's word, also when nothing has changed."""

    def __init__(self, loop: Loop, cgroups: Cgroups, look: Callable[[str], None]) -> None:
        self._loop = loop
        self._cgroups = cgroups
        self._look = look
        self._names: dict[int, str] = {}  # by inotify's number
        self._waiting: dict[str, bool] = {}
        self._eventfds: dict[str, int] = {}
        self._asked: set[str] = set()
        self._inotify = -1

    def watch(self, instance: str) -> None:
        if "memory" not in self._cgroups.roots:
            return
        folder = self._cgroups.folders(instance)["memory"]
        told = (
            self._by_file(instance, folder)
            if self._cgroups.kind == "v2"
            else self._by_eventfd(instance, folder)
        )
        if not told:
            if not self._asked:
                self._loop.after(_PERIOD, self._ask)
            self._asked.add(instance)

    def forget(self, instance: str) -> None:
        self._asked.discard(instance)
        eventfd = self._eventfds.pop(instance, -1)
        if eventfd >= 0:
            self._loop.forget(eventfd)
            os.close(eventfd)
        for number in [number for number, name in self._names.items() if name == instance]:
            del self._names[number]
            _LIBC.inotify_rm_watch(self._inotify, number)

    def _by_file(self, instance: str, folder: str) -> bool:
        """v2 tells each change of memory.events."""
        if self._inotify < 0:
            self._inotify = _LIBC.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
            if self._inotify < 0:
                return False
            self._loop.watch(self._inotify, self._changed)
        number = _LIBC.inotify_add_watch(self._inotify, os.fsencode(f"{folder}/memory.events"), _IN_MODIFY)
        if number >= 0:
            self._names[number] = instance
        return bool(number >= 0)

    def _changed(self, _events: int) -> None:
        raw = os.read(self._inotify, 65536)
        place = 0
        while place < len(raw):
            number, _, _, length = _EVENT.unpack_from(raw, place)
            place += _EVENT.size + length
            if number in self._names:
                self._soon(self._names[number])

    def _by_eventfd(self, instance: str, folder: str) -> bool:
        """v1 has its own way: one descriptor for an instance."""
        eventfd = -1
        try:
            eventfd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            counter = os.open(f"{folder}/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
            try:
                control = os.open(f"{folder}/cgroup.event_control", os.O_WRONLY | os.O_CLOEXEC)
                try:
                    os.write(control, f"{eventfd} {counter}".encode())
                finally:
                    os.close(control)
            finally:
                os.close(counter)
        except OSError:
            if eventfd >= 0:
                os.close(eventfd)
            return False
        self._eventfds[instance] = eventfd
        self._loop.watch(eventfd, lambda _: self._rung(instance, eventfd))
        return True

    def _rung(self, instance: str, eventfd: int) -> None:
        os.eventfd_read(eventfd)
        self._soon(instance)

    def _soon(self, instance: str) -> None:
        """One series of looks at a time; what is told during the last one begins the next."""
        if instance in self._waiting:
            self._waiting[instance] = True
            return
        self._waiting[instance] = False
        for seconds in _LOOKS[:-1]:
            self._loop.after(seconds, lambda: self._look(instance))
        self._loop.after(_LOOKS[-1], lambda: self._last(instance))

    def _last(self, instance: str) -> None:
        self._look(instance)
        if self._waiting.pop(instance):
            self._soon(instance)

    def _ask(self) -> None:
        for instance in list(self._asked):
            self._look(instance)
        if self._asked:
            self._loop.after(_PERIOD, self._ask)
