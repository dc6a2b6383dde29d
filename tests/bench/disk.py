"""How long does this disk take to keep one event?"""

import os
import tempfile
import time
from pathlib import Path

from tests.bench.load.events import SIZE


def fdatasyncs(folder: Path, times: int = 100, most: float = 2.0) -> list[float]:
    """Milliseconds of each, after one event was appended; ends early when it takes `most` seconds."""
    took: list[float] = []
    began = time.monotonic()
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        while len(took) < times and time.monotonic() - began < most:
            file.write(bytes(SIZE))
            at = time.monotonic()
            os.fdatasync(file.fileno())
            took.append((time.monotonic() - at) * 1000)
    return took
