"""Who reads from the files of the log? One thread; few of them are open at a time."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from nodemesh.adapters.log_file import LogFile
from nodemesh.adapters.sqlite_errors import TROUBLE, Damaged, is_damage, is_unread, unavailable
from nodemesh.ports import Clock

Result = TypeVar("Result")

OPEN = 8
"""Files that stay open for reading."""
STUBBORN = 60.0
"""Seconds after which a file that the disk does not give is damaged."""


class Reading:
    def __init__(self, files: Callable[[], Sequence[LogFile]], clock: Clock) -> None:
        self._files, self._clock = files, clock
        self._unread: dict[int, float] = {}
        """Since when the disk does not give files, by their first position."""
        self._thread = ThreadPoolExecutor(1, "log-read")

    async def ask(self, file: LogFile, ask: Callable[[], Result]) -> Result | None:
        """None when the file is gone. Raises Damaged, Unavailable."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._asked, file, ask)

    def close(self) -> None:
        self._thread.shutdown()

    # In the thread.

    def _asked(self, file: LogFile, ask: Callable[[], Result]) -> Result | None:
        with file.lock:
            for is_last in (False, True):
                if file.is_gone:
                    return None
                try:
                    self._let_others_go(file)
                    answer = ask()
                    self._unread.pop(file.first, None)
                    return answer
                except TROUBLE as error:
                    file.let_go()
                    if is_last and (is_damage(error) or self._is_stubborn(file, error)):
                        raise Damaged(str(error)) from error
                    if is_last:
                        raise unavailable("read", file.path, error) from error
        return None

    def _is_stubborn(self, file: LogFile, error: Exception) -> bool:
        """Whether the disk does not give it for so long that it never will."""
        now = self._clock.now()
        return is_unread(error) and now - self._unread.setdefault(file.first, now) > STUBBORN

    def _let_others_go(self, file: LogFile) -> None:
        if file.is_open:
            return
        others = [other for other in self._files() if other.is_open]
        for other in others[: max(0, len(others) + 1 - OPEN)]:
            with other.lock:
                other.let_go()
