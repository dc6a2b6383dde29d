"""Do the hand-written messages agree with protobuf's, byte for byte and value for value?"""

import time
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeapi.v1 import mesh_pb2
from nodekit import frames, wire
from nodekit.fields import WireError

TEXT = st.text(max_size=200)
UINT = st.integers(0, 2**64 - 1)
SMALL = st.integers(0, 2**32 - 1)
HEADS = st.builds(
    frames.Head,
    source=TEXT,
    stream=TEXT,
    first=UINT,
    count=SMALL,
    at=UINT,
    types=st.lists(TEXT, max_size=4).map(tuple),
    content=TEXT,
    version=TEXT,
    instance=TEXT,
    checked=st.booleans(),
)
EXTRAS = st.builds(
    frames.Extra,
    event=SMALL,
    trace=st.binary(max_size=20),
    span=st.binary(max_size=20),
    cause=TEXT,
    tracestate=TEXT,
    schema=TEXT,
    # Two of them may stand in any order.
    attributes=st.dictionaries(TEXT, TEXT, max_size=1),
)
DELIVERIES = st.builds(frames.Delivery, number=UINT, position=UINT, attempt=SMALL, epoch=UINT, origin=TEXT)
COLUMNS = st.fixed_dictionaries(
    {
        "type": st.lists(SMALL, max_size=5),
        "after": st.lists(SMALL, max_size=5),
        "subject": st.lists(TEXT, max_size=5),
        "key": st.lists(SMALL, max_size=5),
        "index": st.lists(SMALL, max_size=5),
    }
)
DATA = st.lists(
    st.binary(max_size=300) | st.sampled_from([b"", b"x" * 127, b"y" * 128, b"z" * 20000]), max_size=5
)
WISHES = st.builds(wire.Wish, type=TEXT, attempts=SMALL, timeout=st.floats(0, 1e9))
SUBSCRIBES = st.builds(
    wire.Subscribe,
    instance=TEXT,
    wishes=st.lists(WISHES, max_size=4).map(tuple),
    granted=SMALL,
    keeps_order=st.booleans(),
)
FAILED = st.builds(
    wire.Failed,
    delivery=UINT,
    event=SMALL,
    how=st.sampled_from([wire.RETRY, wire.REJECT, wire.RELEASE]),
    after=st.floats(0, 1e9),
    reason=TEXT,
)
SETTLES = st.builds(
    wire.Settle,
    through=UINT,
    done=st.lists(UINT, max_size=5),
    failed=st.lists(FAILED, max_size=4),
    granted=UINT,
    working=st.lists(UINT, max_size=5),
)
REFUSALS = st.builds(wire.Refusal, first=UINT, count=SMALL, reason=TEXT)
PUBLISHED = st.builds(
    wire.Published, through=UINT, window=UINT, refused=st.lists(REFUSALS, max_size=3).map(tuple), waiting=TEXT
)


def as_message(kind, value):  # type: ignore[no-untyped-def]
    return kind(**asdict(value))


@given(HEADS, COLUMNS, DATA, st.lists(EXTRAS, max_size=3))
def test_a_frame_is_written_byte_for_byte(head, columns, data, extras) -> None:  # type: ignore[no-untyped-def]
    ours = frames.encode_frame(head, frames.encode_columns(**columns), data, extras)
    theirs = mesh_pb2.Frame(
        head=as_message(mesh_pb2.Head, head),
        data=data,
        extra=[as_message(mesh_pb2.Extra, each) for each in extras],
    )
    if any(columns.values()):
        theirs.columns.CopyFrom(mesh_pb2.Columns(**columns))
    assert ours == theirs.SerializeToString()


@given(HEADS, COLUMNS, DATA, st.lists(EXTRAS, max_size=3, unique_by=lambda each: each.event), DELIVERIES)
def test_a_frame_is_read_value_for_value(head, columns, data, extras, delivery) -> None:  # type: ignore[no-untyped-def]
    theirs = mesh_pb2.Frame(
        head=as_message(mesh_pb2.Head, head),
        columns=mesh_pb2.Columns(**columns),
        data=data,
        extra=[as_message(mesh_pb2.Extra, each) for each in extras],
        delivery=as_message(mesh_pb2.Delivery, delivery),
    )
    ours = frames.decode_frame(theirs.SerializeToString())
    assert ours.head == head
    assert {key: list(getattr(ours, key)) for key in columns} == columns
    assert ours.data == data
    assert ours.extra == {each.event: each for each in extras}
    assert ours.delivery == delivery
    again = frames.encode_frame(head, frames.encode_columns(**columns), data, extras)
    read = frames.decode_frame(frames.delivered(again, delivery))
    assert (read.head, read.data, read.delivery) == (head, data, delivery)


@given(PUBLISHED)
def test_published(said: wire.Published) -> None:
    theirs = as_message(mesh_pb2.Published, said)
    assert said.encode() == theirs.SerializeToString()
    assert wire.decode_published(said.encode()) == said


@given(SUBSCRIBES)
def test_subscribe(said: wire.Subscribe) -> None:
    theirs = mesh_pb2.ConsumeRequest(subscribe=as_message(mesh_pb2.Subscribe, said))
    assert said.encode() == theirs.SerializeToString()
    assert wire.decode_request(said.encode()) == said


@given(SETTLES)
def test_settle(said: wire.Settle) -> None:
    theirs = mesh_pb2.ConsumeRequest(settle=as_message(mesh_pb2.Settle, said))
    assert said.encode() == theirs.SerializeToString()
    assert wire.decode_request(said.encode()) == said


RUNS = st.lists(st.tuples(st.integers(0, 70), st.sampled_from([0, 1, 3, 100, 127, 128, 300])), max_size=4)
# The second looks like the tag of the next event.
FILLERS = st.sampled_from([b"x", b"\x1a"])


@given(RUNS, FILLERS, st.lists(EXTRAS, max_size=2), DELIVERIES)
def test_events_of_one_length_are_read_like_others(runs, filler, extras, delivery) -> None:  # type: ignore[no-untyped-def]
    data = [filler * size for count, size in runs for _ in range(count)]
    raw = frames.delivered(frames.encode_frame(frames.Head(stream="s"), b"", data, extras), delivery)
    assert frames.decode_frame(raw).data == list(mesh_pb2.Frame.FromString(raw).data) == data


@pytest.mark.parametrize("missing", [1, 2, 3, 4, 5])
def test_the_last_of_events_of_one_length_is_whole(missing: int) -> None:
    frame = frames.encode_frame(frames.Head(stream="s"), b"", [b"abc"] * 4)
    if missing < 5:
        with pytest.raises(WireError):
            frames.decode_frame(frame[:-missing])
    else:
        assert frames.decode_frame(frame[:-missing]).data == [b"abc"] * 3


def test_what_a_later_version_adds_is_passed_over() -> None:
    later = b"\xa0\x06\x05" + b"\xa9\x06" + bytes(8) + b"\xb2\x06\x03abc" + b"\xb5\x06" + bytes(4)
    frame = frames.encode_frame(frames.Head(stream="s"), b"", [b"a", b"b"])
    read = frames.decode_frame(later + frame + later + b"\x1a\x01c" + later)
    assert (read.head.stream, read.data) == ("s", [b"a", b"b", b"c"])
    assert wire.decode_published(later + wire.Published(7).encode() + later).through == 7


def test_messages_that_come_in_pieces_are_merged() -> None:
    one = frames.encode_frame(frames.Head(stream="s", first=1), frames.encode_columns(after=[1]), [b"a"])
    two = frames.encode_frame(frames.Head(stream="t"), frames.encode_columns(after=[300]), [b"b"])
    read, theirs = frames.decode_frame(one + two), mesh_pb2.Frame.FromString(one + two)
    assert (read.head.stream, read.head.first) == (theirs.head.stream, theirs.head.first) == ("t", 1)
    assert read.after == list(theirs.columns.after) == [1, 300]


def test_repeated_numbers_may_come_one_by_one() -> None:
    columns = b"\x08\x01\x08\x96\x01" + b"\x25" + (7).to_bytes(4, "little")
    read = frames.decode_frame(b"\x12" + bytes([len(columns)]) + columns)
    assert (read.type, list(read.key)) == ([1, 150], [7])


def whole() -> bytes:
    head = frames.Head("/a", "a.1-1", 1, 3, 5, ("x.y",))
    columns = frames.encode_columns(after=[0, 1, 300], subject=["a", "b", ""], key=[1, 2, 3])
    frame = frames.encode_frame(head, columns, [b"1", b"2" * 200, b"3"], [frames.Extra(1, cause="c")])
    return frames.delivered(frame, frames.Delivery(1, 2, 3, 4, "host"))


def look(raw: bytes) -> object:
    read = frames.decode_frame(raw)
    return read.head, read.type, read.after, read.subject, read.key, read.index, read.extra, read.delivery


@given(st.integers(1, len(whole()) - 1))
def test_a_frame_that_is_cut_off_is_refused_or_shorter(size: int) -> None:
    """A cut between two fields cannot be seen; any other must be."""
    try:
        look(whole()[:size])
    except WireError:
        return
    assert mesh_pb2.Frame.FromString(whole()[:size])


@given(st.binary(max_size=300))
def test_garbage_is_refused_with_one_kind_of_error(raw: bytes) -> None:
    for read in (look, wire.decode_published, wire.decode_request):
        try:
            read(raw)
        except WireError:
            continue


@given(st.lists(st.tuples(st.integers(0, len(whole()) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_damage_is_refused_with_one_kind_of_error(changes: list[tuple[int, int]]) -> None:
    raw = bytearray(whole())
    for place, value in changes:
        raw[place] = value
    try:
        look(bytes(raw))
    except WireError:
        return


@pytest.mark.parametrize(
    "raw", [b"\x1a\x05abc", b"\x1a", b"\x1a\x80", b"\x0a\xff\xff\xff\xff\xff\x01", b"\x0b", b"\x00"]
)
def test_a_broken_frame_is_refused(raw: bytes) -> None:
    with pytest.raises(WireError):
        frames.decode_frame(raw)


def test_an_event_costs_little() -> None:
    """Ten times what a quiet machine needs, so that only a mistake in the loop fails it."""
    data = [bytes(256)] * 448
    head = frames.Head("/bench", "bench.1-12345678", 1, 448, 1, ("bench.event",))
    raw = frames.encode_frame(head, b"", data)

    def cost(work) -> float:  # type: ignore[no-untyped-def]
        times = []
        for _ in range(20):
            began = time.perf_counter()
            work()
            times.append(time.perf_counter() - began)
        return min(times) / 448

    assert cost(lambda: frames.encode_frame(head, b"", data)) < 5e-6
    assert cost(lambda: frames.decode_frame(raw)) < 7e-6
