"""How does a candidate become a tree of files, whole or not at all?"""

import os
import shutil
from pathlib import Path

from regenerator.proposal import Proposal
from regenerator.sources import PRUNED, with_version

LEFT_OUT = shutil.ignore_patterns(*PRUNED, "*.pyc")


def copy_parent(root: Path, target: Path) -> None:
    """A stored release is read-only, its folders too; the copy is ours to change and to clear away."""
    shutil.copytree(root, target, symlinks=True, ignore=LEFT_OUT)
    for folder, _, names in os.walk(target):
        os.chmod(folder, 0o755)
        for path in (Path(folder, name) for name in names):
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)


def build(root: Path, proposal: Proposal, version: str, target: Path) -> None:
    """The parent's tree, the proposed texts and the new version; nothing else differs."""
    copy_parent(root, target)
    for path, text in proposal.files.items():
        _rewrite(target / path, text)
    manifest = target / "node.toml"
    _rewrite(manifest, with_version(manifest.read_bytes().decode("utf-8"), version))


def publish(work: Path, out: Path, texts: dict[str, str], release: Path | None) -> None:
    """Into `out`, the report last: a reader that finds it finds everything else."""
    for name, text in texts.items():
        _write_synced(work / name, text)
    if release is not None:
        os.rename(release, out / "release")
    for name in texts:
        os.rename(work / name, out / name)
    shutil.rmtree(work)


def _rewrite(path: Path, text: str) -> None:
    """Replaced, not written through: a release's files may be read-only or links."""
    mode = path.stat().st_mode & 0o777
    path.unlink()
    path.write_bytes(text.encode("utf-8"))
    path.chmod(mode)


def _write_synced(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8", newline="") as target:
        target.write(text)
        target.flush()
        os.fsync(target.fileno())
