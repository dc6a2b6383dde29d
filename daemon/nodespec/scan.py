"""What does a folder on disk hold, as a release sees it, and what in it cannot be part of one?

Folders are walked by descriptor and never through a symbolic link, so somebody who swaps things meanwhile
cannot lead the walk to files outside.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nodespec.environment import Files
from nodespec.tables import Mistake
from nodespec.tree import (
    MOST_BYTES,
    MOST_FILES,
    MOST_FOLDERS,
    Tree,
    file,
    link,
    path_mistakes,
    shown_path,
    skipped,
    too_many_bytes,
    too_many_files,
)

CHUNK = 1024 * 1024
# a fifo put in a file's place must not make us wait
OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
OPEN_FOLDER = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
SPECIAL = {
    stat.S_IFIFO: "a fifo",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class _TooMuchError(Exception):
    """A limit is reached; looking further would only take time."""


@dataclass(slots=True)
class Scan:
    """With `source`, a working folder is read: leftovers of tools are passed over and contents are kept."""

    source: bool
    left: frozenset[str] = frozenset()
    """Names at the top that are passed over too."""
    tree: Tree = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    size: int = 0
    met: int = 0
    folders: int = 0
    stopped: bool = False
    """It could not be read, or a limit was reached: the tree is not whole."""

    def walk(self, directory: Path) -> None:
        try:
            top = os.open(os.path.realpath(directory), OPEN_FOLDER)
        except OSError as error:
            self.mistakes.append(Mistake("", "a folder that can be read", str(error.strerror)))
            self.stopped = True
            return
        try:
            self._folder(top, "")
        except _TooMuchError:
            self.stopped = True
        finally:
            os.close(top)

    def put(self, files: Files) -> None:
        """Takes in files that lie elsewhere, within the same limits."""
        try:
            for path, (content, executable) in files.items():
                self.mistakes += path_mistakes(path)
                self._count(stat.S_IFREG)
                self._grow(len(content))
                self.tree[path] = file(executable, len(content), hashlib.sha256(content).hexdigest())
                self.contents[path] = content
        except _TooMuchError:
            self.stopped = True

    def _folder(self, folder: int, prefix: str) -> None:
        for name in sorted(os.listdir(folder)):
            path = prefix + name
            if path in self.left or (self.source and skipped(name)):
                continue
            found = list(path_mistakes(path))
            self.mistakes += found
            try:
                self._thing(folder, name, path, usable=not found)
            except OSError as error:
                self.mistakes.append(Mistake(shown_path(path), hint=f"cannot be read: {error.strerror}"))

    def _thing(self, folder: int, name: str, path: str, usable: bool) -> None:
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        self._count(mode)
        if stat.S_ISDIR(mode) and usable:
            self._below(folder, name, path)
        elif stat.S_ISLNK(mode) and usable:
            self.tree[path] = link(os.readlink(name, dir_fd=folder))
        elif stat.S_ISREG(mode) and usable:
            self._file(folder, name, path)
        elif stat.S_IFMT(mode) in SPECIAL:
            got = SPECIAL[stat.S_IFMT(mode)]
            self.mistakes.append(Mistake(shown_path(path), "a file, a folder or a symbolic link", got))

    def _count(self, mode: int) -> None:
        self.folders += stat.S_ISDIR(mode)
        self.met += not stat.S_ISDIR(mode)
        if self.met > MOST_FILES or self.folders > MOST_FOLDERS:
            self.mistakes.append(too_many_files())
            raise _TooMuchError

    def _below(self, folder: int, name: str, path: str) -> None:
        inner = os.open(name, OPEN_FOLDER, dir_fd=folder)
        try:
            self._folder(inner, f"{path}/")
        finally:
            os.close(inner)

    def _file(self, folder: int, name: str, path: str) -> None:
        descriptor = os.open(name, OPEN_FILE, dir_fd=folder)
        try:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise OSError(0, "it was replaced while it was read")
            whole, kept, size = hashlib.sha256(), [], 0
            for chunk in self._chunks(descriptor):
                whole.update(chunk)
                size += len(chunk)
                kept += [chunk] if self.source else []
        finally:
            os.close(descriptor)
        self.tree[path] = file(bool(mode & stat.S_IXUSR), size, whole.hexdigest())
        if self.source:
            self.contents[path] = b"".join(kept)

    def _chunks(self, descriptor: int) -> Iterator[bytes]:
        while chunk := os.read(descriptor, CHUNK):
            self._grow(len(chunk))
            yield chunk

    def _grow(self, count: int) -> None:
        self.size += count
        if self.size > MOST_BYTES:
            self.mistakes.append(too_many_bytes())
            raise _TooMuchError
