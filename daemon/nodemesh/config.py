"""What does noded.toml say of the mesh?"""

from pathlib import Path

from nodespec.host import LATER, MeshPart, Settings
from nodespec.tables import ManifestError, Mistake, decode, read

__all__ = ["MeshPart", "Settings", "read_settings"]


def read_settings(path: Path) -> Settings:
    """Raises ManifestError with every mistake, also when the file cannot be read."""
    where = str(path)
    try:
        with path.open("rb") as file:
            content = file.read(1024 * 1024)
    except OSError as error:
        raise ManifestError(where, [Mistake("", hint=f"cannot be read: {error.strerror}")]) from error
    return read(decode(content, where), where, Settings, LATER)
