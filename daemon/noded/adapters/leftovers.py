"""What lies in the state folder that nothing leads to any more, and how does it go?"""

import asyncio
import logging
import re
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from noded.adapters.releases import FolderReleases
from noded.ports import PortError

log = logging.getLogger("noded")
_INCIDENT = re.compile(r"([a-z][a-z0-9-]{0,31})-([0-9]{1,9})")
YOUNG = 3600.0
"""Seconds a release may lie unknown: an apply that is being decided, a candidate that is being checked."""
INCIDENTS = 20
"""Evidence that is kept of a node, the newest."""


class Leftovers:
    """`noded.runtime.leftovers.Leftovers`."""

    def __init__(self, releases: FolderReleases, evidence: Path) -> None:
        self._releases = releases
        self._evidence = evidence

    async def sweep(self, releases: frozenset[str], incidents: frozenset[str]) -> None:
        for release in await self._releases.all():
            if release.digest not in releases and self._age(self._releases.path(release.digest)) > YOUNG:
                log.info("release %s of %s belongs to nothing and goes", release.version, release.node)
                await self._releases.remove(release.digest)
        for folder in await asyncio.to_thread(lambda: list(self._old(incidents))):
            log.info("evidence of %s goes: %d newer incidents are kept", folder.name, INCIDENTS)
            await asyncio.to_thread(shutil.rmtree, folder, True)

    def _age(self, path: Path) -> float:
        try:
            return time.time() - path.stat().st_ctime
        except OSError:
            return 0.0

    def _old(self, needed: frozenset[str]) -> Iterator[Path]:
        found: defaultdict[str, list[tuple[int, Path]]] = defaultdict(list)
        try:
            folders = list(self._evidence.iterdir())
        except OSError as error:
            raise PortError(f"cannot look at {self._evidence}: {error.strerror}") from error
        for folder in folders:
            if (named := _INCIDENT.fullmatch(folder.name)) and folder.is_dir() and not folder.is_symlink():
                found[named[1]].append((int(named[2]), folder))
        for numbered in found.values():
            yield from (folder for _, folder in sorted(numbered)[:-INCIDENTS] if folder.name not in needed)
