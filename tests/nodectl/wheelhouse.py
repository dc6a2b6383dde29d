"""Small wheels made on the spot, in a folder that pip finds and the user nobody can read."""

import base64
import hashlib
import io
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SYSTEM_PYTHON = "/usr/bin/python3"


def _has_pip(python: str) -> bool:
    return (
        subprocess.run([python, "-I", "-c", "import pip"], capture_output=True, check=False).returncode == 0
    )


PYTHON = SYSTEM_PYTHON if _has_pip(SYSTEM_PYTHON) else sys.executable
"""One with pip: Debian's has it only with python3-pip."""


def wheel(name: str, version: str, files: dict[str, str], scripts: dict[str, str] | None = None) -> bytes:
    """A pure wheel; `scripts` are console scripts by name."""
    info = f"{name}-{version}.dist-info"
    content = dict(files)
    content[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    content[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    if scripts:
        lines = "".join(f"{script} = {target}\n" for script, target in scripts.items())
        content[f"{info}/entry_points.txt"] = f"[console_scripts]\n{lines}"
    rows = [f"{path},sha256={_hash(text)},{len(text.encode())}" for path, text in content.items()]
    content[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,"]) + "\n"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, text in content.items():
            archive.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), text)
    return packed.getvalue()


def _hash(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


class House:
    """Wheels in a folder, and the environment in which pip asks nobody else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder)}

    def add(
        self, name: str, version: str, files: dict[str, str], scripts: dict[str, str] | None = None
    ) -> str:
        """The line that requires it."""
        content = wheel(name, version, files, scripts)
        path = self.folder / f"{name}-{version}-py3-none-any.whl"
        path.write_bytes(content)
        path.chmod(0o644)
        return f"{name}=={version} --hash=sha256:{hashlib.sha256(content).hexdigest()}\n"


@contextmanager
def house() -> Iterator[House]:
    folder = Path(tempfile.mkdtemp(prefix="nd-wheels-"))
    folder.chmod(0o755)
    try:
        yield House(folder)
    finally:
        shutil.rmtree(folder)
