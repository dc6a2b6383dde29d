"""Who reads from the files of the log? One thread; few of them are open at a time."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from nodemesh.adapters.log_file import LogFile
from nodemesh.adapters.sqlite_errors import TROUBLE, Damaged, is_damage, unavailable

Result = TypeVar("Result")

OPEN = 8
"""Files that stay open for reading."""


class Reading:
    def __init__(self, files: Callable[[], Sequence[LogFile]]) -> None:
        self._files = files
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
                    return ask()
                except TROUBLE as error:
                    file.let_go()
                    if is_last and is_damage(error):
                        raise Damaged(str(error)) from error
                    if is_last:
                        raise unavailable("read", file.path, error) from error
        return None

    def _let_others_go(self, file: LogFile) -> None:
        if file.is_open:
            return
        others = [other for other in self._files() if other.is_open]
        for other in others[: max(0, len(others) + 1 - OPEN)]:
            with other.lock:
                other.let_go()
