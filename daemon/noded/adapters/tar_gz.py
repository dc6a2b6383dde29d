"""How is a .tar.gz made that stays within its size?"""

import io
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO


class TarGz:
    """Files of mode 0600 that belong to nobody, in the order they were put in."""

    def __init__(self, file: IO[bytes], at: float, most: int) -> None:
        """`at` is the time of every file, `most` the bytes of all together before they are packed."""
        # Loaded by those who ask for an archive: the daemon stays smaller without.
        import tarfile

        self._info = tarfile.TarInfo
        self._tar = tarfile.open(fileobj=file, mode="w:gz", compresslevel=6)  # noqa: SIM115 - closed below
        self._at = at
        self.left = most

    def put(self, name: str, content: bytes) -> bool:
        """False, and nothing is put in, when there is no room for it."""
        return self._add(name, io.BytesIO(content), len(content))

    def put_lines(self, name: str, lines: Iterable[str], most: int) -> bool:
        """As many lines, each with its end, as `most` bytes hold."""
        with tempfile.TemporaryFile() as file:
            for line in lines:
                text = line.encode("utf-8", "replace")
                if file.tell() + len(text) > min(most, self.left):
                    break
                file.write(text)
            size = file.tell()
            file.seek(0)
            return self._add(name, file, size)

    def close(self) -> None:
        self._tar.close()

    def _add(self, name: str, content: IO[bytes], size: int) -> bool:
        if size > self.left:
            return False
        info = self._info(name)
        info.size, info.mtime, info.mode = size, int(self._at), 0o600
        self._tar.addfile(info, content)
        self.left -= size
        return True


def scratch(folder: Path) -> IO[bytes]:
    """A file without a name: whatever happens, nothing of it stays behind."""
    return tempfile.TemporaryFile(dir=folder)
