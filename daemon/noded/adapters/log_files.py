"""What do the outputs of instances hold of the disk? It is given back by the launcher, whose they are."""

import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from noded.adapters.launcher_socket import LauncherSocket
from noded.adapters.state_disk import free_bytes
from noded.model.log_file import LogFile
from noded.ports import Unavailable

_LOG = re.compile(r"([a-z][a-z0-9-]{0,31})\.[0-9]{1,9}\.log")


class LogFiles:
    """`noded.runtime.log_sizes.Logs`."""

    def __init__(self, folder: Path, launcher: LauncherSocket) -> None:
        self._folder = folder
        self._launcher = launcher

    def look(self) -> tuple[LogFile, ...]:
        try:
            return tuple(self._files())
        except OSError as error:
            raise Unavailable(f"cannot look at the logs in {self._folder}: {error.strerror}") from error

    def room(self) -> tuple[int, int]:
        try:
            found = os.statvfs(self._folder)
        except OSError as error:
            raise Unavailable(f"cannot look at the disk of {self._folder}: {error.strerror}") from error
        return free_bytes(self._folder), found.f_blocks * found.f_frsize

    async def trim(self, instance: str, keep: int) -> bool:
        result = await self._launcher.ask("trim", instance=instance, keep=keep)
        return result.get("how") != "cut"

    async def discard(self, instance: str) -> None:
        await self._launcher.ask("discard", instance=instance)

    def _files(self) -> Iterator[LogFile]:
        now = time.time()
        for node in os.scandir(self._folder):
            if not node.is_dir(follow_symlinks=False):
                continue
            for entry in os.scandir(node.path):
                if (named := _LOG.fullmatch(entry.name)) is None or named[1] != node.name:
                    continue
                found = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(found.st_mode):
                    held = found.st_blocks * 512
                    yield LogFile(node.name, entry.name.removesuffix(".log"), held, now - found.st_mtime)
