"""What must hold for every ring, on disk and in memory?"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from noded.adapters.segment_ring import SegmentRing
from noded.ports import Ring, Unavailable
from tests.adapters.looped import looped
from tests.fakes.ring import FakeRing


@dataclass(frozen=True, slots=True)
class World:
    """`texts` is what a reader finds after this process was killed."""

    ring: Ring
    texts: Callable[[], list[str]]


@pytest.fixture(params=["fake", "disk"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., World]:
    def fake(**sizes: Any) -> World:
        ring = FakeRing(**sizes)
        return World(ring, lambda: ring.segments)

    def disk(**sizes: Any) -> World:
        ring = SegmentRing(tmp_path / "ring", **sizes)
        return World(ring, lambda: [path.read_text() for path in ring.segments()])

    return fake if request.param == "fake" else disk


@looped
async def test_what_was_flushed_or_synced_is_there(make: Callable[..., World]) -> None:
    world = make()
    world.ring.rotate("header")
    assert world.texts() == ["header\n"]
    world.ring.append("one")
    assert world.texts() == ["header\n"]
    world.ring.flush()
    assert world.texts() == ["header\none\n"]
    world.ring.append("two")
    world.ring.append("three")
    await world.ring.sync()
    assert world.texts() == ["header\none\ntwo\nthree\n"]
    world.ring.flush()
    await world.ring.sync()
    assert world.texts() == ["header\none\ntwo\nthree\n"]


def test_a_new_segment_begins_with_its_header_and_the_old_one_is_whole(make: Callable[..., World]) -> None:
    world = make()
    world.ring.rotate("first")
    world.ring.append("not flushed")
    world.ring.rotate("second")
    assert world.texts() == ["first\nnot flushed\n", "second\n"]


def test_it_is_full_at_its_size_and_empty_after_rotation(make: Callable[..., World]) -> None:
    world = make(segment=20)
    world.ring.rotate("h")
    assert not world.ring.full()
    world.ring.append("x" * 16)
    assert not world.ring.full()
    world.ring.append("x")
    assert world.ring.full()
    world.ring.rotate("h")
    assert not world.ring.full()


def test_the_oldest_beyond_the_kept_size_are_dropped(make: Callable[..., World]) -> None:
    world = make(kept=25)
    for number in range(10):
        world.ring.rotate(f"header {number}")
    assert world.texts() == ["header 8\n", "header 9\n"]


def test_the_last_two_are_kept_however_large(make: Callable[..., World]) -> None:
    world = make(kept=1)
    world.ring.rotate("a" * 100)
    world.ring.rotate("b" * 100)
    world.ring.rotate("c" * 100)
    assert [text[0] for text in world.texts()] == ["b", "c"]


def test_nothing_can_be_written_before_the_first_segment(make: Callable[..., World]) -> None:
    world = make()
    world.ring.flush()
    world.ring.append("lost")
    with pytest.raises(Unavailable, match="no segment"):
        world.ring.flush()
    assert world.texts() == []


@looped
async def test_a_sync_of_nothing_is_fine(make: Callable[..., World]) -> None:
    await make().ring.sync()
