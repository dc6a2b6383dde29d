"""What if the mesh's disk is full, its log is at its limit, or its files are damaged?"""

import os
import random
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.ground import wait_for
from tests.faults.mesh_guest import Guest
from tests.faults.mesh_world import MeshWorld, Notes, Part, all_come, made
from tests.faults.narrow import fill
from tests.mounts import needs_mounts

pytestmark = pytest.mark.e2e
SHOP = Part("shop", ("shop.placed", "shop.paid"))
SHELF = Part("shelf", consumes={"shop.placed": False})
LATE = Part("late", consumes={"shop.placed": False})
NARROW = """
mount -t tmpfs -o size=48m,mode=700 noded-t "$1" && echo there && exec sleep 1000
"""
REFUSED = 25.0
"""Seconds until a publisher that waits for room is refused, on a machine that does more than this."""


PLACED = "shop.placed"


@contextmanager
def narrow() -> Iterator[tuple[MeshWorld, Path]]:
    """A mesh whose state lies on a small disk that only it sees; and where we see it."""
    with made() as world:
        world.state.mkdir()
        holder = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", NARROW, "sh", str(world.state)], stdout=subprocess.PIPE
        )
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"there\n"
            world.inside = ["nsenter", "--mount", f"--target={holder.pid}", f"--wd={world.folder}"]
            yield world, Path(f"/proc/{holder.pid}/root{world.state}")
        finally:
            holder.kill()
            holder.wait(10)


@needs_mounts
def test_on_a_full_disk_publishers_wait_are_told_why_and_go_on() -> None:
    with narrow() as (world, state):
        world.start_mesh()
        world.declare(SHOP, SHELF)
        world.start("shelf.1", "handle")
        world.start("shop.1", "publish", RATE="400")
        acked, shelf, refused = (world.notes(name) for name in ("shop.acked", "shelf", "shop.refused"))
        wait_for(lambda: len(acked.read()) > 200, "the first events", 30.0)
        filler = fill(state / "filler")
        wait_for(lambda: refused.read(), "a refusal", REFUSED)
        said = " ".join(refused.read()[0])
        assert "refused" in said and ("disk" in said or "space" in said), said
        assert world.is_alive("mesh")

        # A mesh that ends on a full disk may not come up, and says why; nothing is lost by that.
        world.kill("mesh")
        found = len(acked.read())
        filler.unlink()
        world.start_mesh()
        wait_for(lambda: len(acked.read()) > found + 300, "more events on disk", 30.0)
        all_come(shelf, lambda: acked.of(PLACED))

        filler = fill(state / "filler")
        before = len(refused.read())
        wait_for(lambda: len(refused.read()) > before, "another refusal", REFUSED)
        filler.unlink()
        found = len(acked.read())
        wait_for(lambda: len(acked.read()) > found + 300, "more events on disk", 30.0)
        all_come(shelf, lambda: acked.of(PLACED))
        assert "Traceback" not in world.log("mesh")
        assert world.stop("shop.1") in (0, 1) and world.stop("mesh") == 0


@needs_mounts
def test_a_mesh_that_cannot_start_on_a_full_disk_says_what_to_do() -> None:
    with narrow() as (world, state):
        fill(state / "filler")
        with pytest.raises(AssertionError):
            world.start_mesh()
        said = world.log("mesh")
        assert "noded-mesh: " in said and "Traceback" not in said, said
        world.processes["mesh"].wait(20)
        (state / "filler").unlink()
        world.start_mesh()


def test_a_log_at_its_limit_refuses_until_the_one_who_is_behind_has_come() -> None:
    with made(settings='log_limit = "8M"\n') as world:
        world.start_mesh()
        world.declare(SHOP, SHELF, LATE)
        world.start("shelf.1", "handle")
        world.start("shop.1", "publish", RATE="1500", SIZE="4000")
        acked, shelf, late, refused = (
            world.notes(name) for name in ("shop.acked", "shelf", "late", "shop.refused")
        )
        wait_for(lambda: refused.read(), "a refusal", 30.0 + REFUSED)
        said = " ".join(word for line in refused.read() for word in line)
        wait_for(lambda: any("late has not handled" in " ".join(line) for line in refused.read()), said, 20.0)
        world.kill("shop.1")
        all_come(shelf, lambda: acked.of(PLACED))
        world.start("late.1", "handle")
        all_come(late, lambda: acked.of(PLACED))
        found = len(acked.read())
        world.start("shop.1", "publish", RATE="300")
        wait_for(lambda: len(acked.read()) > found + 300, "more events on disk", 30.0)
        all_come(late, lambda: acked.of(PLACED))


def test_damaged_files_are_kept_aside_and_the_rest_is_served(told: dict[str, str]) -> None:
    seed = int(os.environ.get("NODED_SEED") or random.SystemRandom().randrange(10**6))
    told["seed of the mesh's damage"] = f"NODED_SEED={seed}"
    dice = random.Random(seed)
    with made() as world:
        world.start_mesh()
        world.declare(SHOP, SHELF)
        acked, shelf = world.notes("shop.acked"), world.notes("shelf")
        lives = [published_in_one_life(world, acked) for _ in range(4)]
        files = sorted((world.state / "log").glob("*.db"))
        assert len(files) >= 4
        damage(files[1], dice)
        world.start_mesh()
        world.start("shelf.1", "handle")
        # Every life has a file of its own, so just what is damaged of one of them may be missing.
        for number, ids in enumerate(lives):
            if number != 1:
                all_come(shelf, lambda these=ids: set(these))  # type: ignore[misc]
        (kept,) = (path for path in (world.state / "aside").glob("*.db"))
        assert kept.stat().st_size > 0
        assert re.search(r"the log lost \d+ frames or more, at positions", world.log("mesh"))
        assert lives[1] - shelf.ids, "nothing was damaged"
        assert lives[1] & shelf.ids, "what is whole of the damaged file comes as well"
        found = len(acked.read())
        world.start("shop.1", "publish")
        wait_for(lambda: len(acked.read()) > found + 300, "more events on disk", 30.0)
        all_come(shelf, lambda: acked.of(PLACED) - lives[1])
        assert world.stop("mesh") == 0 and "Traceback" not in world.log("mesh")


def published_in_one_life(world: MeshWorld, acked: Notes) -> set[str]:
    """Of the mesh, which is killed afterwards; the ids of what is for the shelf."""
    before = acked.of(PLACED)
    if not world.is_alive("mesh"):
        world.start_mesh()
    world.start("shop.1", "publish", MOST="400", RATE="2000")
    assert world.processes["shop.1"].wait(30) == 0
    world.kill("mesh")
    return acked.of(PLACED) - before


def damage(path: Path, dice: random.Random) -> None:
    """Some events in it are other events now."""
    content = bytearray(path.read_bytes())
    places = [found.start() for found in re.finditer(b"x" * 50, content)]
    assert len(places) > 50
    for place in dice.sample(places, 8):
        content[place : place + 50] = dice.randbytes(50)
    path.write_bytes(content)


@pytest.mark.parametrize("what", ["index.db", "table", "newest"])
def test_a_file_that_is_only_nonsense_stops_nothing(what: str) -> None:
    with made() as world:
        world.start_mesh()
        world.declare(SHOP, SHELF)
        acked, shelf = world.notes("shop.acked"), world.notes("shelf")
        published_in_one_life(world, acked)
        newest = sorted((world.state / "log").glob("*.db"))[-1]
        path = newest if what == "newest" else world.state / what
        if what == "index.db":
            # All of it may still stand there.
            path.with_name("index.db-wal").unlink()
        path.write_bytes(os.urandom(max(4096, path.stat().st_size)))
        world.start_mesh()
        # What noded does whenever it finds another mesh.
        world.declare(SHOP, SHELF)
        world.start("shelf.1", "handle")
        world.start("shop.1", "publish")
        found = len(acked.read())
        wait_for(lambda: len(acked.read()) > found + 300, "more events on disk", 30.0)
        all_come(shelf, lambda: acked.of(PLACED, found))
        if what != "table":
            assert list((world.state / "aside").glob("*"))
        assert "Traceback" not in world.log("mesh")


def test_events_wait_for_a_log_folder_that_cannot_be_written() -> None:
    """A disk that is gone for a while, as after an error of its controller: seen by the file limit."""
    with made() as world:
        world.start_mesh(["prlimit", "--fsize=3000000"])
        world.declare(SHOP, SHELF)
        acked, refused = world.notes("shop.acked"), world.notes("shop.refused")
        with Guest(world.socket) as guest:
            guest.greet("shop.1")
            guest.publish(b"{}")
            while guest.published().through < 1:
                pass
        world.start("shop.1", "publish", RATE="3000", SIZE="8000")
        wait_for(lambda: refused.read() or len(acked.read()) > 1000, "a file at its limit", 40.0)
        assert world.is_alive("mesh"), world.log("mesh")
        world.kill("shop.1")
        world.kill("mesh")
        world.start_mesh()
        world.start("shelf.1", "handle")
        all_come(world.notes("shelf"), lambda: acked.of(PLACED))
        assert "Traceback" not in world.log("mesh")
