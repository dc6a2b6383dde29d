"""How large may the output of nodes become? So large that a node which talks without end fills no disk."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Protocol

from noded.model.log_file import LogFile
from noded.ports import Clock, Conflict, NotFound, PortError
from noded.runtime.monitors import TICK, View
from nodespec.host import LogsPart

log = logging.getLogger("noded")
FAST = 0.1
"""Seconds until the next look while an output grows fast."""
TIDY = 60.0
"""Seconds between two looks at the outputs of ended instances."""
SCARCE = 0.1
"""Share of its disk that is to stay free: below it outputs are kept shorter."""
SHORTEST = 64 * 1024
MIB = 2**20


class Logs(Protocol):
    """Output of instances, also of those that have ended."""

    def look(self) -> Sequence[LogFile]:
        """All there are."""
        ...

    def look_at(self, instances: Sequence[str]) -> Sequence[LogFile]: ...

    def room(self) -> tuple[int, int]:
        """Bytes free on their disk, and all of it."""
        ...

    async def trim(self, instance: str, keep: int) -> bool:
        """Give back all but the newest bytes; false when only the whole could be given back."""
        ...

    async def discard(self, instance: str) -> None:
        """Remove what an ended instance printed. `Conflict` when it still runs."""
        ...


class LogSizes:
    """`told` is what a person must know now."""

    def __init__(self, view: View, clock: Clock, logs: Logs, limits: LogsPart) -> None:
        self._view = view
        self._clock = clock
        self._logs = logs
        self._limits = limits
        self._tidied = 0.0
        self._cut = False
        self._trouble = ""
        self._scarce = ""

    @property
    def told(self) -> tuple[str, ...]:
        cut = "logs: this file system can free no beginning of a file: what is too long is cut to nothing"
        return tuple(text for text in (cut if self._cut else "", self._scarce, self._trouble) if text)

    async def watch(self) -> None:
        held: dict[str, int] = {}
        while True:
            files: Sequence[LogFile] = ()
            try:
                files = await self._look()
                self._told("")
            except PortError as error:
                self._told(f"logs cannot be kept small: {error}")
            grew = max((f.held - held.get(f.instance, 0) for f in files), default=0)
            held = {f.instance: f.held for f in files}
            await asyncio.sleep(FAST if grew > self._limits.size // 8 else TICK)

    async def _look(self) -> Sequence[LogFile]:
        """At those of running instances; at all now and then, and while room is scarce."""
        if not self._scarce and self._clock.now() - self._tidied < TIDY:
            alive = [name for node in self._view().nodes.values() for name in node.instances]
            files = await asyncio.to_thread(self._logs.look_at, alive)
            await self._keep_small(files)
            return files
        files = await asyncio.to_thread(self._logs.look)
        await self._keep_small(files)
        self._tidied = self._clock.now()
        for instance in self._superfluous(files):
            with suppress(NotFound, Conflict):
                await self._logs.discard(instance)
        return files

    async def _keep_small(self, files: Sequence[LogFile]) -> None:
        keep = self._keep(files)
        for file in files:
            # A good part at a time: to free a page at every look would be dear.
            if file.held > keep and not await self._logs.trim(file.instance, keep * 3 // 4):
                self._cut = True

    def _keep(self, files: Sequence[LogFile]) -> int:
        """Bytes each output may hold: all outputs together leave the disk room."""
        free, total = self._logs.room()
        wanted = min(int(total * SCARCE), 16 * self._limits.size)
        if free >= wanted:
            self._scarce = ""
            return self._limits.size
        self._scarce = (
            f"logs: their disk has {free // MIB} MiB free, {wanted // MIB} are wanted: kept shorter"
        )
        spare = max(0, sum(file.held for file in files) - (wanted - free))
        return max(SHORTEST, min(self._limits.size, spare // max(1, len(files))))

    def _superfluous(self, files: Sequence[LogFile]) -> Iterator[str]:
        alive = {name for node in self._view().nodes.values() for name in node.instances}
        ended: defaultdict[str, list[LogFile]] = defaultdict(list)
        for file in sorted(files, key=lambda f: int(f.instance.rpartition(".")[2]), reverse=True):
            # One that was written to a moment ago may run unknown to us: the worker, a start under way.
            if file.instance not in alive and file.age > TIDY:
                ended[file.node].append(file)
        kept = 1 if self._scarce else self._limits.kept
        for newest_first in ended.values():
            for number, file in enumerate(newest_first):
                if number >= kept or file.age > self._limits.age:
                    yield file.instance

    def _told(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            log.error("%s", trouble)
        self._trouble = trouble
