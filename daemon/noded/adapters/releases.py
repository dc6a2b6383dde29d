"""How do releases lie on disk, whole or not at all?

One read-only folder per release, named by its digest. Everything is prepared under a name that
begins with a dot and appears by one rename; `sweep` removes what a crash left behind.
"""

import asyncio
import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from noded.adapters.state_disk import free_bytes
from noded.model.release import Release
from noded.ports import NotFound, PortError, Refused, Unavailable
from nodespec.manifest import NodeSpec
from nodespec.reading import ManifestError, read_node
from nodespec.release import ReleaseError, digest_of_tree, pack, unpack
from nodespec.tree import MANIFEST

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_READ_AND_ENTER = 0o555
MIB = 2**20
SPARE = 2 * MIB
"""Bytes that stay free beside a release: for folders, and for the journal that tells of it."""


class FolderReleases:
    """`noded.ports.Releases`, and how they come and go."""

    def __init__(self, folder: Path) -> None:
        """`folder` must exist, and every user that runs a node must be able to enter it."""
        self._folder = folder
        self._specs: dict[str, NodeSpec] = {}

    async def add(self, blob: Path | bytes) -> tuple[str, NodeSpec]:
        """Take a packed release; one that is here already is fine. `Refused` tells all mistakes."""
        return await asyncio.to_thread(self._add, blob, True)

    async def examine(self, blob: Path | bytes) -> tuple[str, NodeSpec]:
        """What `add` would return or refuse; nothing stays on disk."""
        return await asyncio.to_thread(self._add, blob, False)

    async def add_tree(self, directory: Path) -> tuple[str, NodeSpec]:
        """Pack a folder and take it."""
        return await asyncio.to_thread(self._add_tree, directory)

    def path(self, digest: str) -> Path:
        """Where the release lies, or would lie."""
        found = _DIGEST.fullmatch(digest)
        if not found:
            raise Refused(f"cannot find a release: expected sha256: and 64 hex digits, got {digest[:80]!r}")
        return self._folder / found[1]

    def spec(self, digest: str) -> NodeSpec:
        if digest not in self._specs:
            self._specs[digest] = _manifest(self.path(digest), digest)
        return self._specs[digest]

    async def all(self) -> tuple[Release, ...]:
        """Every release whose manifest can be read."""
        return await asyncio.to_thread(lambda: tuple(self._all()))

    def _all(self) -> Iterator[Release]:
        for folder in sorted(self._folder.iterdir()):
            digest = f"sha256:{folder.name}"
            if _DIGEST.fullmatch(digest):
                with contextlib.suppress(PortError):
                    spec = _manifest(folder, digest)
                    yield Release(spec.name, spec.version, digest, "what is on disk")

    async def verify(self, digest: str) -> None:
        """Raises `Refused` when the files are not what the digest says."""
        folder = self.path(digest)
        with _told(f"verify release {digest}"):
            found = await asyncio.to_thread(digest_of_tree, _there(folder, digest))
        if found != digest:
            raise Refused(f"cannot use release {digest}: its files changed, they are {found}; apply it again")

    async def remove(self, digest: str) -> None:
        """Delete a release that no instance runs; one that is not here is fine."""
        folder = self.path(digest)
        self._specs.pop(digest, None)
        gone = self._hidden()
        with _told(f"remove release {digest}"), contextlib.suppress(FileNotFoundError):
            folder.rename(gone)
            await asyncio.to_thread(_delete, gone)

    async def sweep(self) -> None:
        """Remove what an interrupted `add` or `remove` left; for when none runs."""
        with _told(f"sweep {self._folder}"):
            for leftover in self._folder.glob(".*"):
                await asyncio.to_thread(_delete, leftover)

    def _add(self, blob: Path | bytes, keep: bool) -> tuple[str, NodeSpec]:
        new = self._hidden()
        self._room_for(blob)
        with _told("add the release"):
            try:
                digest = unpack(blob, new)
                spec = _manifest(new, digest)
                if keep:
                    _protect(new)
                    self._publish(new, self.path(digest))
            finally:
                _delete(new)
        return digest, spec

    def _room_for(self, blob: Path | bytes) -> None:
        """A release travels unpacked: what came is what it takes on disk, and a little for its folders."""
        with _told("add the release"):
            size = len(blob) if isinstance(blob, bytes) else blob.stat().st_size
            free = free_bytes(self._folder)
        if free < size + SPARE:
            wanted, there = f"{(size + SPARE) / MIB:.1f} MiB", f"{free / MIB:.1f} MiB"
            wanted = f"it needs {wanted} in {self._folder}, and {there} are free"
            raise Unavailable(f"cannot add the release: {wanted}: make room there and apply it again")

    def _add_tree(self, directory: Path) -> tuple[str, NodeSpec]:
        with _told(f"pack {directory}"):
            blob = pack(directory).blob
        return self._add(blob, True)

    def _publish(self, new: Path, target: Path) -> None:
        try:
            new.rename(target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            return  # the same files by their digest
        _sync(self._folder)

    def _hidden(self) -> Path:
        return self._folder / f".{secrets.token_hex(8)}"


def _manifest(folder: Path, digest: str) -> NodeSpec:
    with _told(f"read release {digest}"):
        return read_node((_there(folder, digest) / MANIFEST).read_text("utf-8"), MANIFEST)


def _there(folder: Path, digest: str) -> Path:
    if not folder.is_dir():
        raise NotFound(f"cannot find release {digest}: it is not on this host")
    return folder


def _protect(folder: Path) -> None:
    """Nobody writes into a release, not even by mistake; every user may read and run it."""
    for place, _, files in os.walk(folder, topdown=False):
        for name in files:
            path = os.path.join(place, name)
            mode = os.lstat(path).st_mode
            if stat.S_ISREG(mode):
                os.chmod(path, _READ_AND_ENTER if mode & stat.S_IXUSR else 0o444)
        os.chmod(place, _READ_AND_ENTER)


def _delete(folder: Path) -> None:
    """What is not there is fine. Folders are made writable first: we need not be root."""
    if not folder.is_dir() or folder.is_symlink():
        folder.unlink(missing_ok=True)
        return
    folder.chmod(0o700)
    for place, folders, _ in os.walk(folder):
        for name in folders:
            path = os.path.join(place, name)
            if not os.path.islink(path):
                os.chmod(path, 0o700)
    shutil.rmtree(folder)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except (ReleaseError, ManifestError) as error:
        raise Refused("\n".join((f"cannot {what}:", *map(str, error.mistakes)))) from error
    except UnicodeDecodeError as error:
        raise Refused(f"cannot {what}: {MANIFEST} is not UTF-8") from error
    except FileNotFoundError as error:
        raise NotFound(f"cannot {what}: {error.filename} is not there") from error
    except OSError as error:
        raise Unavailable(f"cannot {what}: {error}") from error
