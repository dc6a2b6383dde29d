"""What do the outputs of instances hold of the disk? It is given back by the launcher, whose they are."""

import os
import re
import stat
import time
from collections.abc import Iterator, Sequence
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
            names = [self._folder / node / name for node, name in self._names()]
        except OSError as error:
            raise Unavailable(f"cannot look at the logs in {self._folder}: {error.strerror}") from error
        return tuple(_seen(names))

    def look_at(self, instances: Sequence[str]) -> tuple[LogFile, ...]:
        return tuple(_seen([self._folder / name.rpartition(".")[0] / f"{name}.log" for name in instances]))

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

    def _names(self) -> Iterator[tuple[str, str]]:
        for node in os.scandir(self._folder):
            if node.is_dir(follow_symlinks=False):
                for name in os.listdir(node.path):
                    if (named := _LOG.fullmatch(name)) is not None and named[1] == node.name:
                        yield node.name, name


def _seen(paths: Sequence[Path]) -> Iterator[LogFile]:
    now = time.time()
    for path in paths:
        try:
            found = os.lstat(path)
        except OSError:
            continue  # it has just gone, or nothing was printed yet
        if stat.S_ISREG(found.st_mode):
            yield LogFile(path.parent.name, path.stem, found.st_blocks * 512, now - found.st_mtime)
