"""Is resident memory read rightly, and does a collection give back what nobody holds?"""

import gc
import subprocess
import sys
import time
from pathlib import Path

from nodekit import memory
from tests.nodekit.noded_side import environ

MIB = 1 << 20

CYCLES = """
import gc
from nodekit import memory
gc.disable()
class Knot:
    def __init__(self): self.self, self.load = self, bytearray(1000)
empty = memory.rss()
for _ in range(40_000): Knot()
full = memory.rss()
found = memory.collect()
print(empty, full, found["before"], found["after"], int(found["objects"]))
"""


def test_rss_agrees_with_the_kernel() -> None:
    lines = Path("/proc/self/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines if ":" in line)
    told = int(status["VmRSS"].split()[0]) * 1024
    assert abs(memory.rss() - told) < 8 * MIB


def test_rss_sees_growth() -> None:
    before = memory.rss()
    block = b"x" * (32 * MIB)
    assert memory.rss() - before > 24 * MIB
    del block


def test_collect_gives_back_cycles() -> None:
    command = [sys.executable, "-c", CYCLES]
    found = subprocess.run(command, env=environ(), capture_output=True, text=True, check=True, timeout=60)
    empty, full, before, after, objects = map(int, found.stdout.split())
    assert objects >= 40_000
    assert before >= full - MIB
    assert full - empty > 30 * MIB
    assert after - empty < (full - empty) / 4


def test_collect_says_how_long_it_took() -> None:
    started = time.monotonic()
    found = memory.collect()
    assert 0 < found["seconds"] <= time.monotonic() - started + 0.001
    assert gc.isenabled()


def test_reading_rss_is_cheap() -> None:
    started = time.perf_counter()
    for _ in range(200):
        memory.rss()
    assert (time.perf_counter() - started) / 200 < 0.0005
