"""Releases that are only manifests."""

from dataclasses import dataclass, field
from pathlib import Path

from noded.model.release import Release
from noded.ports import NotFound
from nodespec.manifest import NodeSpec


@dataclass
class FakeReleases:
    specs: dict[str, NodeSpec] = field(default_factory=dict)

    def path(self, digest: str) -> Path:
        return Path("/var/lib/noded/releases") / digest.removeprefix("sha256:")

    def spec(self, digest: str) -> NodeSpec:
        if digest not in self.specs:
            raise NotFound(f"cannot find release {digest}: it is not on this host")
        return self.specs[digest]

    async def remove(self, digest: str) -> None:
        self.specs.pop(digest, None)

    async def all(self) -> tuple[Release, ...]:
        return tuple(
            Release(spec.name, spec.version, digest, "what is on disk") for digest, spec in self.specs.items()
        )
