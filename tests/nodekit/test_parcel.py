"""Is a parcel's frame read as what was put into it, whatever its events have in common?"""

import asyncio
from collections.abc import Sequence

import pytest

from nodekit.frames import Extra, Frame, decode_frame
from nodekit.parcel import CLOCK, Parcel


def sealed(data: Sequence[bytes], extras: dict[int, Extra] | None = None) -> Parcel:
    async def made() -> Parcel:
        parcel = Parcel("s-1", 7, "a.b", "text/plain", (1 << 20, 500))
        for place, each in enumerate(data):
            extra = (extras or {}).get(place)
            parcel.add(each, "a.b", "", extra.encode() if extra else b"", False)
        parcel.seal("/n", "1.0")
        return parcel

    return asyncio.run(made())


def read(parcel: Parcel) -> Frame:
    return decode_frame(parcel.frame)


@pytest.mark.parametrize(
    "data",
    [
        [b"one"],
        [b""],
        [b"", b""],
        [b"abc", b"def", b"ghi"],
        [b"a", b"bc", b"", b"d" * 200, b"e" * 20_000],
        [b"x" * 300] * 100,
    ],
)
def test_events_of_one_length_and_of_several_are_read_alike(data: list[bytes]) -> None:
    frame = read(sealed(data))
    assert frame.data == data
    assert (frame.head.stream, frame.head.first, frame.head.count) == ("s-1", 7, len(data))
    assert (frame.head.source, frame.head.version, frame.head.types) == ("/n", "1.0", ("a.b",))
    assert frame.extra == {}


@pytest.mark.parametrize("data", [[b"aa", b"bb", b"cc"], [b"a", b"bbb", b"cc"]])
def test_what_else_is_said_of_an_event_stays_with_it(data: list[bytes]) -> None:
    frame = read(sealed(data, {1: Extra(trace=b"t" * 16, cause="x.1")}))
    assert frame.data == data
    assert {place: (extra.trace, extra.cause) for place, extra in frame.extra.items()} == {
        1: (b"t" * 16, "x.1")
    }


def test_the_time_is_read_once_for_many_and_never_goes_back() -> None:
    count = 3 * (CLOCK + 1) + 5
    parcel = sealed([b"x"] * count)
    after = read(parcel).after or [0] * count
    assert len(after) == count
    assert after == sorted(after)
    assert len(set(after)) <= 4


def test_a_parcel_that_moves_to_another_stream_takes_its_events_along() -> None:
    parcel = sealed([b"abc", b"de"], {0: Extra(trace=b"t" * 16)})
    parcel.move("another-stream-with-a-longer-name", 1)
    frame = read(parcel)
    assert (frame.head.stream, frame.head.first) == ("another-stream-with-a-longer-name", 1)
    assert (frame.head.count, frame.head.source, frame.data) == (2, "/n", [b"abc", b"de"])
    assert frame.extra[0].trace == b"t" * 16
    parcel.move("s", 1000)
    assert (read(parcel).head.stream, read(parcel).data) == ("s", [b"abc", b"de"])
