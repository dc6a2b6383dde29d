"""How is a packed release written to disk without trusting who sent it?

Links are made last, when no more file is written: nothing is ever written through one.
"""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from nodespec.archive import Member, members
from nodespec.tables import Mistake
from nodespec.tree import (
    MOST_BYTES,
    MOST_FILES,
    MOST_FOLDERS,
    Kind,
    Tree,
    file,
    link,
    link_mistakes,
    path_mistakes,
    refuse_if,
    too_many_bytes,
    too_many_files,
)

NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Unpacking:
    """One release on its way into an empty folder that nobody else can enter."""

    def __init__(self, folder: Path, where: str) -> None:
        self._folder = folder
        self._where = where
        self._tree: Tree = {}
        self._folders = {""}
        self._size = 0
        self._last = b""

    def fill(self, source: BinaryIO) -> Tree:
        """What was written and synced; raises ReleaseError at the first thing that is not as it should be."""
        for member, content in members(source, self._where):
            refuse_if(self._where, self._mistakes(member))
            self._last = member.path.encode()
            self._size += member.size
            self._make_way(member.path)
            if member.kind is Kind.FILE:
                self._write(member, content)
            else:
                self._tree[member.path] = link(member.target)
        refuse_if(self._where, link_mistakes(self._tree))
        for path, entry in self._tree.items():
            if entry.kind is Kind.LINK:
                (self._folder / path).symlink_to(entry.target)
        self._sync()
        return self._tree

    def _mistakes(self, member: Member) -> Iterable[Mistake]:
        yield from path_mistakes(member.path)
        if member.path in self._tree:
            yield Mistake(member.path, hint="is there twice")
        elif member.path.encode() < self._last:
            yield Mistake(member.path, hint="is not in the order of paths")
        for above in above_of(member.path):
            if above in self._tree:
                yield Mistake(member.path, hint=f"stands below {above}, which is no folder")
        if len(self._tree) >= MOST_FILES or len(self._folders) > MOST_FOLDERS:
            yield too_many_files()
        if self._size + member.size > MOST_BYTES:
            yield too_many_bytes()

    def _make_way(self, path: str) -> None:
        for folder in above_of(path):
            if folder not in self._folders:
                self._folders.add(folder)
                (self._folder / folder).mkdir()

    def _write(self, member: Member, content: Iterable[bytes]) -> None:
        whole = hashlib.sha256()
        descriptor = os.open(self._folder / member.path, NEW_FILE, 0o600)
        # buffered: a raw write may take only a part without any error
        with os.fdopen(descriptor, "wb") as out:
            # the umask of the caller must not decide what the node's user may read
            os.fchmod(out.fileno(), member.mode)
            for chunk in content:
                whole.update(chunk)
                out.write(chunk)
        self._tree[member.path] = file(member.mode == 0o755, member.size, whole.hexdigest())

    def _sync(self) -> None:
        """After everything is written: the first sync then carries most of the rest with it."""
        for path in (path for path, entry in self._tree.items() if entry.kind is Kind.FILE):
            sync(self._folder / path)
        for folder in sorted(self._folders, reverse=True):
            (self._folder / folder).chmod(0o755)
            sync(self._folder / folder)


def above_of(path: str) -> list[str]:
    """The folders on the way to it, from the outermost."""
    steps = path.split("/")[:-1]
    return ["/".join(steps[: count + 1]) for count in range(len(steps))]


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
