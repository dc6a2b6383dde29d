"""Where do the wheels of a node come from when its folder is packed: built once, else from the cache?

What was built lies in the caller's cache under the digest of everything that went into it, and is compared
with the digest of what came out before it is used again.
"""

import hashlib
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from nodectl.failures import Exit, Failure
from nodectl.screen import note
from nodectl.text import amount
from nodectl.wheels import Python, find_python, unpacked
from nodespec.environment import RECORD, SITE, Environment, Files, digest_of_requirements
from nodespec.manifest import NodeSpec
from nodespec.requirements import LONGEST, RequirementsError, Wheel, read_requirements
from nodespec.scan import Scan
from nodespec.tree import digest_of

DIGEST = "digest"
TREE = "tree"
KEPT = 16
"""Environments in the cache."""


def requirements_of(directory: Path, spec: NodeSpec) -> tuple[bytes, tuple[Wheel, ...]]:
    """Raises Failure with every line that pins nothing; nothing for a node without requirements."""
    if not spec.requirements:
        return b"", ()
    try:
        with (directory / spec.requirements).open("rb") as source:
            content = source.read(LONGEST + 1)
        return content, read_requirements(content, spec.requirements)
    except RequirementsError as error:
        raise Failure(str(error), Exit.USAGE, "pip-compile --generate-hashes, or uv pip compile") from None
    except OSError as error:
        raise Failure(f"{spec.requirements}: cannot be read: {error.strerror}", Exit.USAGE) from None


def made(directory: Path, spec: NodeSpec, python: str = "") -> Files:
    """What belongs into the release beside the node's own folder. Raises Failure."""
    content, wheels = requirements_of(directory, spec)
    if not wheels:
        return {}
    chosen = find_python(python)
    record = Environment(digest_of_requirements(content), chosen.version, chosen.platform, chosen.pip)
    place = _cache() / hashlib.sha256(record.text()).hexdigest()
    files = _kept(place)
    if files is None:
        files = _build(content, len(wheels), chosen, record)
        _keep(place, files)
    return files


def _build(content: bytes, wheels: int, python: Python, record: Environment) -> Files:
    note(f"unpacking {amount(wheels, 'wheel')} for Python {python.version}")
    site = {f"{SITE}/{path}": part for path, part in unpacked(content, python).items()}
    return {**site, RECORD: (record.text(), False)}


def _cache() -> Path:
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    folder = Path(chosen) if os.path.isabs(chosen) else Path("~/.cache").expanduser()
    return folder / "noded/environments"


def _kept(place: Path) -> Files | None:
    """None when there is none, or when anybody but us could have written it, or when it is damaged."""
    try:
        if not _ours(place.parent) or not _ours(place):
            return None
        wanted = (place / DIGEST).read_text("ascii")
    except (OSError, UnicodeDecodeError):
        return None
    scan = Scan(source=True)
    scan.walk(place / TREE)
    if scan.mistakes or digest_of(scan.tree) != wanted:
        return None
    return {path: (content, scan.tree[path].mode == 0o755) for path, content in scan.contents.items()}


def _ours(folder: Path) -> bool:
    status = folder.lstat()
    return status.st_uid == os.geteuid() and status.st_mode & 0o170022 == 0o040000


def _keep(place: Path, files: Files) -> None:
    """A cache that cannot be written costs the time to build again, no more."""
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _ours(place.parent):
            note(f"{place.parent} is not yours alone: what was unpacked is not kept")
            return
        work = Path(tempfile.mkdtemp(prefix=".", suffix=".part", dir=place.parent))
    except OSError as error:
        note(f"{place.parent}: {error.strerror}: what was unpacked is not kept")
        return
    try:
        _write(work, files)
        _clear(place.parent, place)
        work.rename(place)
    except OSError as error:
        note(f"{place}: {error.strerror}: what was unpacked is not kept")
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _write(work: Path, files: Files) -> None:
    for path, (content, executable) in files.items():
        target = work / TREE / path
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        target.write_bytes(content)
        target.chmod(0o700 if executable else 0o600)
    scan = Scan(source=True)
    scan.walk(work / TREE)
    (work / DIGEST).write_text(digest_of(scan.tree), "ascii")


def _clear(folder: Path, place: Path) -> None:
    """Room for one more: a damaged one of the same name goes, and the oldest."""
    shutil.rmtree(place, ignore_errors=True)
    with suppress(OSError):
        newest = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for old in newest[KEPT:]:
            shutil.rmtree(old, ignore_errors=True)
