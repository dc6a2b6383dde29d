"""What lies in the state folder, and how is it opened and closed?"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from noded.adapters.aside import MARK, kept_aside
from noded.adapters.audit import Audit
from noded.adapters.control_archives import RESTORING
from noded.adapters.leftovers import Leftovers
from noded.adapters.releases import FolderReleases
from noded.adapters.segment_ring import SegmentRing
from noded.adapters.sqlite_chronicle import SqliteChronicle
from noded.adapters.sqlite_registry import SqliteRegistry
from noded.adapters.state_disk import StateDisk
from noded.ports import PortError
from nodespec.host import Settings


@dataclass(frozen=True, slots=True)
class Storage:
    """Everything in the state folder."""

    disk: StateDisk
    ring: SegmentRing
    chronicle: SqliteChronicle
    registry: SqliteRegistry
    releases: FolderReleases
    audit: Audit
    leftovers: Leftovers
    folders: tuple[Path, ...]
    """Where damaged files are put aside."""

    def told(self, full: str) -> Iterator[str]:
        """What a person must know about it."""
        if full:
            yield f"disk full: {full}; until then noded only keeps processes alive"
        for path in kept_aside(self.folders):
            name, _, date = path.name.partition(MARK)
            yield f"{name} was damaged on {date} and is kept as {path}: look at it, then remove it"

    async def close(self) -> None:
        with suppress(PortError):
            await self.registry.close()
            await self.ring.sync()
        self.chronicle.close()
        self.audit.close()


async def opened(settings: Settings, places: Mapping[str, Path]) -> Storage:
    """`places` is where each thing is kept, as `config.folders` says."""
    disk = StateDisk(places["ballast"], settings.journal.ballast)
    # First of all: what follows writes, and on a full disk the ballast makes the room for it.
    disk.lacking()
    # Nodes' users go through the first two to what is theirs, and cannot list what else is there.
    for name, mode in (("notify", 0o711), ("releases", 0o711), ("evidence", 0o700)):
        places[name].mkdir(parents=True, exist_ok=True)
        places[name].chmod(mode)
    for half in places["lock"].parent.glob(f"{RESTORING}*"):
        shutil.rmtree(half, ignore_errors=True)
    releases = FolderReleases(places["releases"])
    await releases.sweep()
    return Storage(
        disk=disk,
        ring=SegmentRing(places["ring"], kept=settings.journal.ring, make_room=disk.give_up),
        chronicle=SqliteChronicle(places["chronicle"], settings.journal.age, settings.journal.entries),
        registry=SqliteRegistry(places["registry"]),
        releases=releases,
        audit=Audit(places["audit"]),
        leftovers=Leftovers(releases, places["evidence"]),
        folders=(places["lock"].parent, places["ring"]),
    )
