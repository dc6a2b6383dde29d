"""How does a file come to be written whole or not at all, and for its owner's eyes only?"""

import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from nodectl.failures import Exit, Failure


def keep(chunks: Iterable[bytes], target: str) -> int:
    """The bytes written. The file is there under its name once the last chunk is on disk, mode 0600."""
    return _pour(chunks) if target == "-" else _write(chunks, Path(target))


def _pour(chunks: Iterable[bytes]) -> int:
    if sys.stdout.isatty():
        raise Failure("-o - writes an archive: send it to a pipe or a file", Exit.USAGE)
    size = 0
    for chunk in chunks:
        size += sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()
    return size


def _write(chunks: Iterable[bytes], path: Path) -> int:
    if path.exists() and not path.is_file():
        raise Failure(f"{path}: expected a file to write, got something else", Exit.USAGE)
    try:
        # mkstemp's mode is 0600.
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise _cannot(path, error) from None
    try:
        with os.fdopen(handle, "wb") as out:
            for chunk in chunks:
                out.write(chunk)
            size = out.tell()
            out.flush()
            os.fsync(out.fileno())
        os.replace(name, path)
        _sync(path.parent)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _cannot(path, error) from None
        raise
    return size


def _sync(folder: Path) -> None:
    """The name is on disk, too."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _cannot(path: Path, error: OSError) -> Failure:
    return Failure(f"cannot write {path}: {error.strerror}", hint="another -o FILE, or room on the disk")
