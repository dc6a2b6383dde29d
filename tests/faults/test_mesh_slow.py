"""A disk that is slow, and a mesh that stands still: all waits, nothing is lost, and nobody is blamed."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.ground import wait_for
from tests.faults.mesh_world import MeshWorld, Part, all_come, made

pytestmark = pytest.mark.e2e
SHOP = Part("shop", ("shop.placed", "shop.paid"))
SHELF = Part("shelf", consumes={"shop.placed": False})
LEDGER = Part("ledger", consumes={"shop.placed": True, "shop.paid": True})
STOOD = 17.0
"""Seconds: longer than either side of a connection waits for a word."""
SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
// Seconds that the disk takes for a sync stand in the file SLOW.
static void wait_for_disk(void) {
    double seconds = 0;
    FILE *file = fopen(getenv("SLOW"), "r");
    if (file) { if (fscanf(file, "%lf", &seconds) == 1) usleep((useconds_t) (seconds * 1e6)); fclose(file); }
}
#define SHIM(name) int name(int fd) { \\
    wait_for_disk(); return ((int (*)(int)) dlsym(RTLD_NEXT, #name))(fd); }
SHIM(fsync)
SHIM(fdatasync)
"""


@pytest.fixture
def world() -> Iterator[MeshWorld]:
    with made() as world:
        yield world


def begin(world: MeshWorld, rate: int) -> None:
    world.declare(SHOP, SHELF, LEDGER)
    world.start("shelf.1", "handle")
    world.start("ledger.1", "keep_order")
    world.start("shop.1", "publish", RATE=str(rate))


def more(world: MeshWorld, count: int, timeout: float) -> None:
    acked = world.notes("shop.acked")
    before = len(acked.read())
    wait_for(lambda: len(acked.read()) > before + count, f"{count} more events on disk", timeout)


def longest_pause(world: MeshWorld, within: float) -> float:
    """Seconds without a new acknowledgement."""
    acked, until = world.notes("shop.acked"), time.monotonic() + within
    count, since, longest = -1, time.monotonic(), 0.0
    while (now := time.monotonic()) < until:
        if len(acked.read()) > count:
            count, since = len(acked.lines), now
        longest = max(longest, now - since)
        time.sleep(0.02)
    return longest


def check(world: MeshWorld) -> None:
    acked, shelf, ledger = (world.notes(name) for name in ("shop.acked", "shelf", "ledger"))
    assert world.stop("shop.1") == 0
    all_come(shelf, lambda: acked.of("shop.placed"))
    all_come(ledger, lambda: set(acked.ids))
    assert not world.notes("shop.refused").of("refused"), "nothing is refused"
    assert not any(flow.dead for flow in world.map().flows)
    # `keep_order` fails some at their first try; nobody failed more.
    assert world.flow("shelf").retried == 0
    assert {attempt for _, _, attempt, *_ in ledger.read()} <= {"1", "2"}
    assert world.stop("mesh") == 0
    assert "Traceback" not in world.log("mesh")


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_with_a_slow_disk_all_waits_for_it_and_comes(world: MeshWorld, tmp_path: Path) -> None:
    (tmp_path / "shim.c").write_text(SHIM)
    library, slow = tmp_path / "shim.so", tmp_path / "slow"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-o", library, tmp_path / "shim.c", "-ldl"], check=True, timeout=60
    )
    world.start_mesh(wrap=["env", f"LD_PRELOAD={library}", f"SLOW={slow}"])
    begin(world, rate=2000)
    more(world, 500, 20.0)
    for seconds in (0.05, 0.5, 2.0):
        slow.with_suffix(".new").write_text(str(seconds))
        slow.with_suffix(".new").replace(slow)
        more(world, 500, 40.0)
        assert world.is_up(), "it answers while it waits for the disk"
    assert longest_pause(world, 6.0) >= 1.5, "nothing is acknowledged before it is on disk"
    slow.unlink()
    more(world, 2000, 20.0)
    check(world)


def test_a_mesh_that_stood_still_goes_on_and_blames_nobody(world: MeshWorld) -> None:
    world.start_mesh()
    begin(world, rate=500)
    more(world, 500, 20.0)
    with world.frozen("mesh"):
        time.sleep(STOOD)
    more(world, 2000, 40.0)
    check(world)
