"""What does noded.toml say, and what is wrong with it?"""

from collections.abc import Mapping
from pathlib import Path

from nodespec.host import LATER, Settings
from nodespec.tables import ManifestError, Mistake, decode, read

__all__ = ["LATER", "Settings", "folders", "read_settings"]


def read_settings(path: Path) -> Settings:
    """Raises ManifestError with every mistake, also when the file cannot be read."""
    where = str(path)
    try:
        with path.open("rb") as file:
            content = file.read(1024 * 1024)
    except OSError as error:
        raise ManifestError(where, [Mistake("", hint=f"cannot be read: {error.strerror}")]) from error
    return read(decode(content, where), where, Settings, LATER)


def folders(settings: Settings) -> Mapping[str, Path]:
    """Where each thing is kept."""
    state, run = Path(settings.paths.state), Path(settings.paths.run)
    return {
        "ring": state / "ring",
        "chronicle": state / "journal.db",
        "registry": state / "registry.db",
        "releases": state / "releases",
        "evidence": state / "evidence",
        "audit": state / "audit",
        "lock": state / "lock",
        "ballast": state / "ballast",
        "control": run / "control.sock",
        "notify": run / "notify",
        "instances": run / "i",
    }
