"""Does noded know after a restart what it knew, however it stopped?"""

import asyncio
from pathlib import Path

import pytest

from noded.adapters.aside import MARK, put_aside
from noded.adapters.segment_ring import SegmentRing
from noded.model.inputs import Input
from noded.model.state import HostState
from noded.runtime.inbox import Inbox
from noded.runtime.journal import Journal
from noded.runtime.memory import Memory, remembered
from noded.runtime.reactor import Reactor
from tests.fakes.chronicle import FakeChronicle
from tests.runtime.nouns import applied, booted, ordered

FACTS: tuple[Input, ...] = (booted(100.0), applied(101.0), ordered("pause", 102.0), ordered("resume", 103.0))


def lived(folder: Path, facts: tuple[Input, ...] = FACTS, segment: int = 2**20) -> HostState:
    """A life of noded that ends without notice."""
    ring = SegmentRing(folder, segment)
    state = remembered(ring.segments(), "b", put_aside).state

    async def life() -> HostState:
        reactor = Reactor(state, Inbox(), Journal(ring, FakeChronicle(), "b"), lambda action: None)
        for fact in facts:
            await reactor.turn((fact,))
        return reactor.state

    return asyncio.run(life())


def names(folder: Path) -> list[str]:
    """Without the date of what was put aside."""
    return sorted(path.name.partition("-")[0] for path in folder.iterdir())


def aside(folder: Path, name: str) -> bytes:
    (found,) = folder.glob(f"{name}{MARK}*")
    return found.read_bytes()


def test_the_first_time_nothing_is_known(tmp_path: Path) -> None:
    assert remembered((), "b", put_aside) == Memory(HostState(), 0.0, True)


def test_what_was_known_is_known_again(tmp_path: Path) -> None:
    state = lived(tmp_path)
    assert "catalog" in state.nodes
    assert remembered(SegmentRing(tmp_path).segments(), "b", put_aside) == Memory(state, 103.0, True)


def test_lives_go_on_from_each_other(tmp_path: Path) -> None:
    lived(tmp_path, FACTS[:2])
    paused = lived(tmp_path, (ordered("pause", 110.0),))
    assert paused.nodes["catalog"].paused
    assert remembered(SegmentRing(tmp_path).segments(), "another build", put_aside).state == paused


def test_a_last_line_that_was_cut_off_was_never_said(tmp_path: Path) -> None:
    lived(tmp_path)
    (segment,) = SegmentRing(tmp_path).segments()
    whole = segment.read_bytes()
    last = whole.rstrip(b"\n").rindex(b'\nI ["CommandRequested"')
    before = lived_until(tmp_path, 3)
    segment.write_bytes(whole[: last + 40])
    assert remembered((segment,), "b", put_aside) == Memory(before, 102.0, True)
    assert names(tmp_path) == ["00000001.jsonl"]


def lived_until(tmp_path: Path, count: int) -> HostState:
    folder = tmp_path.with_name(f"{tmp_path.name}-{count}")
    return lived(folder, FACTS[:count])


DAMAGE = {
    "empty": b"",
    "zeros": bytes(9000),
    "not UTF-8": b"\xff\xfe\xfd",
    "no header": b'I ["Woken",{"at":1.0,"node":"a"}]\n',
    "nested too deep": b"[" * 200_000,
}


@pytest.mark.parametrize("content", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_segment_is_put_aside_and_the_one_before_is_used(tmp_path: Path, content: bytes) -> None:
    state = lived(tmp_path)
    (tmp_path / "00000002.jsonl").write_bytes(content)
    assert remembered(SegmentRing(tmp_path).segments(), "b", put_aside) == Memory(state, 103.0, False)
    assert names(tmp_path) == ["00000001.jsonl", "00000002.jsonl.corrupt"]
    assert aside(tmp_path, "00000002.jsonl") == content


def test_a_line_damaged_at_the_start_leaves_the_snapshot(tmp_path: Path) -> None:
    first = lived(tmp_path)
    lived(tmp_path, (ordered("pause", 110.0), ordered("resume", 111.0)))
    newest = SegmentRing(tmp_path).segments()[-1]
    text = newest.read_bytes()
    place = text.index(b"\nI ") + 2
    newest.write_bytes(text[:place] + bytes(30) + text[place + 30 :])
    assert remembered(SegmentRing(tmp_path).segments(), "b", put_aside) == Memory(first, 110.0, False)
    assert names(tmp_path) == ["00000001.jsonl", "00000002.jsonl", "00000002.jsonl.corrupt"]


def test_a_damaged_segment_is_used_up_to_the_damage(tmp_path: Path) -> None:
    before = lived_until(tmp_path, 3)
    lived(tmp_path)
    (segment,) = SegmentRing(tmp_path).segments()
    text = segment.read_bytes()
    place = text.rindex(b'\nI ["CommandRequested"') + 10
    segment.write_bytes(text[:place] + b"\x00" + text[place + 1 :])
    assert remembered((segment,), "b", put_aside) == Memory(before, 102.0, False)
    assert aside(tmp_path, "00000001.jsonl") == segment.read_bytes()


def test_with_none_left_the_memory_is_empty(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        (tmp_path / f"0000000{number}.jsonl").write_text("broken")
    assert remembered(SegmentRing(tmp_path).segments(), "b", put_aside) == Memory(HostState(), 0.0, False)
    assert names(tmp_path) == [f"0000000{number}.jsonl.corrupt" for number in (1, 2, 3)]


def test_what_cannot_be_kept_is_no_reason_not_to_begin(tmp_path: Path) -> None:
    def full(path: Path, copy: bool) -> Path:
        raise OSError(28, "No space left on device")

    state = lived(tmp_path)
    (tmp_path / "00000002.jsonl").write_bytes(b"broken")
    assert remembered(SegmentRing(tmp_path).segments(), "b", full) == Memory(state, 103.0, False)


def test_a_life_after_damage_takes_a_new_number(tmp_path: Path) -> None:
    lived(tmp_path)
    (tmp_path / "00000002.jsonl").write_text("broken")
    lived(tmp_path, (ordered("pause", 110.0),))
    assert names(tmp_path) == ["00000001.jsonl", "00000002.jsonl.corrupt", "00000003.jsonl"]


def test_many_small_segments_remember_as_one(tmp_path: Path) -> None:
    assert lived(tmp_path / "small", segment=1) == lived(tmp_path / "large")
    small = SegmentRing(tmp_path / "small").segments()
    assert len(small) == len(FACTS)
    assert remembered(small, "b", put_aside).state == lived(tmp_path / "again")


def test_another_decision_than_then_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lived(tmp_path)
    (segment,) = SegmentRing(tmp_path).segments()
    segment.write_text(segment.read_text().replace("catalog.1", "catalog.8"))
    remembered((segment,), "another", put_aside)
    assert "00000001.jsonl by build b replays with 2 differences" in caplog.text
