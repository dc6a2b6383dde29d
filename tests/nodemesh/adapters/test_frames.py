"""Is every frame that breaks a rule refused with the reason, and are those that go on what they were?"""

import time
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as some

from nodeapi.v1.mesh_pb2 import Columns, Delivery, Extra, Frame, Head
from nodemesh.adapters import frames
from nodemesh.model.frame import LONGEST_EVENT, LONGEST_FRAME, MOST_BYTES
from nodemesh.model.frame import Columns as Read
from nodemesh.ports import Refused

AT = 1_795_395_578_926_573


def made(count: int = 3, size: int = 10) -> Frame:
    head = Head(
        source="/shop", stream="shop.1-ab", first=5, count=count, at=AT, types=["sold"], version="1.2"
    )
    return Frame(head=head, data=[bytes([number % 256]) * size for number in range(count)])


def with_subjects(*subjects: str) -> Frame:
    frame = made(len(subjects))
    frame.columns.subject.extend(subjects)
    frame.columns.key.extend(zlib.crc32(each.encode()) for each in subjects)
    return frame


def rich() -> Frame:
    """Four events that use everything."""
    frame = with_subjects("a", "b", "", "ü")
    frame.head.types.append("sent")
    frame.head.content = "text/plain"
    frame.columns.type.extend([0, 1, 1, 0])
    frame.columns.after.extend([0, 10, 20, 30])
    for event in (1, 3):
        extra = frame.extra.add(event=event, trace=bytes(16), span=bytes(8), cause="shop.1-aa.7")
        extra.tracestate, extra.schema = "a=b", "urn:x"
        extra.attributes["tenant"] = f"t{event}"
    return frame


def read(frame: Frame) -> tuple[object, Read]:
    return frames.read(frame.SerializeToString())


def test_a_frame_of_one_type_has_no_columns() -> None:
    head, columns = frames.read(made().SerializeToString())
    assert (head.source, head.stream, head.first, head.count, head.last) == ("/shop", "shop.1-ab", 5, 3, 7)
    assert (head.types, head.version, head.content) == (("sold",), "1.2", "")
    assert head.at == pytest.approx(AT / 1e6)
    assert columns == Read()


def test_types_and_keys_are_read() -> None:
    head, columns = frames.read(rich().SerializeToString())
    assert head.types == ("sold", "sent") and head.content == "text/plain"
    keys = tuple(zlib.crc32(each.encode()) for each in ("a", "b", "", "ü"))
    assert columns == Read((0, 1, 1, 0), keys)
    assert frames.keys(rich().SerializeToString()) == keys
    assert frames.keys(made().SerializeToString()) == ()
    assert frames.last(rich().SerializeToString()) == 8


def test_the_greatest_frames_are_taken() -> None:
    read(made(448, 256))
    read(made(512, 224))
    read(made(2, MOST_BYTES // 2))
    read(made(1, LONGEST_EVENT))
    read(made(1, 0))


def change(**head: object) -> Callable[[Frame], None]:
    def of(frame: Frame) -> None:
        for name, value in head.items():
            setattr(frame.head, name, value)

    return of


def column(**columns: list[object]) -> Callable[[Frame], None]:
    return lambda frame: frame.columns.MergeFrom(Columns(**columns))  # type: ignore[arg-type]


def extra(**said: object) -> Callable[[Frame], None]:
    return lambda frame: frame.extra.append(Extra(**said))  # type: ignore[arg-type]


def types(*names: str) -> Callable[[Frame], None]:
    return lambda frame: frame.head.types.__setitem__(slice(None), names)


BAD: dict[str, tuple[Callable[[Frame], object], str]] = {
    "no source": (change(source=""), "head.source: expected 1 to 256 bytes, found 0"),
    "long source": (change(source="ü" * 129), "head.source: expected 1 to 256 bytes, found 258"),
    "control": (
        change(source="/a\x1b[2J"),
        r"head.source: expected no control characters, found '/a\x1b[2J'",
    ),
    "no stream": (change(stream=""), "head.stream: expected 1 to 128 bytes"),
    "long stream": (change(stream="s" * 129), "head.stream: expected 1 to 128 bytes, found 129"),
    "long version": (change(version="v" * 129), "head.version: expected 0 to 128"),
    "long content": (change(content="c" * 257), "head.content: expected 0 to 256"),
    "first 0": (change(first=0), "head.first: expected a sequence, 1 or more, found 0"),
    "first too high": (change(first=2**63 - 1), "head.first: expected a sequence"),
    "no time": (change(at=0), "head.at: expected microseconds since the epoch, found 0"),
    "time in nanoseconds": (change(at=AT * 1000), "head.at: expected microseconds"),
    "no events": (lambda frame: frame.CopyFrom(made(0)), "head.count: expected 1 to 512, found 0"),
    "many events": (lambda frame: frame.CopyFrom(made(513, 1)), "head.count: expected 1 to 512, found 513"),
    "count": (change(count=4), "data: expected 4 events as head.count says, found 3"),
    "bytes": (
        lambda frame: frame.data.append(bytes(MOST_BYTES)) or change(count=4)(frame),
        "of together at most 114688",
    ),
    "one more byte": (lambda frame: frame.CopyFrom(made(512, 225)), "at most 114688 bytes, found 115200"),
    "event": (lambda frame: frame.CopyFrom(made(1, LONGEST_EVENT + 1)), "an event of at most 1048576 bytes"),
    "no type": (types(), "head.types: expected 1 to 512, found 0"),
    "empty type": (types(""), "head.types[0]: expected 1 to 256 bytes, found 0"),
    "long type": (types("t" * 257), "head.types[0]: expected 1 to 256 bytes, found 257"),
    "type twice": (types("a", "a"), "head.types: expected each once"),
    "type unused": (types("a", "b"), "head.types: expected only types that occur"),
    "many types": (types(*map(str, range(513))), "head.types: expected 1 to 512, found 513"),
    "type column": (column(type=[0, 0]), "columns.type: expected none or 3, found 2"),
    "type index": (column(type=[0, 1, 0]), "columns.type[1]: expected below 1, found 1"),
    "after column": (column(after=[1]), "columns.after: expected none or 3, found 1"),
    "subjects": (column(subject=["a"], key=[1]), "columns.subject: expected none or 3, found 1"),
    "subject without key": (column(subject=["a", "b", "c"]), "columns.key: expected one for every subject"),
    "key without subject": (column(key=[1, 2, 3]), "columns.key: expected one for every subject"),
    "wrong key": (column(subject=["", "b", ""], key=[0, 7, 0]), "columns.key[1]: expected CRC-32 (ISO 3309)"),
    "long subject": (
        lambda frame: frame.CopyFrom(with_subjects("a", "ü" * 513)),
        "columns.subject[1]: expected 0 to",
    ),
    "odd subject": (lambda frame: frame.CopyFrom(with_subjects("a", "b\n")), r"found 'b\n'"),
    "index": (column(index=[0, 1, 2]), "columns.index: expected none"),
    "delivery": (lambda frame: frame.delivery.SetInParent(), "delivery: expected none"),
    "extra place": (extra(event=3), "extra.event: expected places below 3, each once, found 3"),
    "extra twice": (lambda frame: [extra(event=1)(frame), extra(event=1)(frame)], "each once, found 1"),
    "trace": (extra(event=1, trace=bytes(15)), "extra of event 1: expected a trace of 16 bytes"),
    "span": (extra(event=1, span=bytes(9)), "a span of 8"),
    "cause": (extra(event=1, cause="c" * 257), "extra.cause of event 1: expected 0 to 256"),
    "tracestate": (extra(tracestate="c" * 513), "extra.tracestate of event 0: expected 0 to 512"),
    "schema": (extra(schema="c" * 1025), "extra.schema of event 0: expected 0 to 1024"),
    "attribute name": (extra(attributes={"Tenant": ""}), "expected an extension's name"),
    "attribute of ours": (extra(attributes={"id": "7"}), "not one of CloudEvents' own, found 'id'"),
    "attribute": (extra(attributes={"x": "c" * 1025}), "extra.attributes of event 0: x: expected 0 to 1024"),
    "attributes": (extra(attributes={f"x{n}": "" for n in range(33)}), "expected at most 32, found 33"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_breaks_a_rule_is_refused_with_the_reason(kind: str) -> None:
    spoil, why = BAD[kind]
    frame = made()
    spoil(frame)
    with pytest.raises(Refused) as refused:
        read(frame)
    assert why in str(refused.value)
    assert len(str(refused.value)) < 300


RAW = {
    "empty": (b"", "expected field 1, head, first"),
    "zeroes": (bytes(100), "expected field 1"),
    "cut": (made().SerializeToString()[:-1], "expected a message nodeapi.v1.Frame"),
    "head later": (Frame(data=[b"x"]).SerializeToString() + made().SerializeToString(), "expected field 1"),
    "two heads": (
        made().SerializeToString() + Frame(head=Head(source="/other")).SerializeToString(),
        "expected one head",
    ),
    "not UTF-8": (made().SerializeToString().replace(b"/shop", b"/\xff\xff\xff\xff"), "expected a message"),
    "long": (bytes(LONGEST_FRAME + 1), f"expected at most {LONGEST_FRAME} bytes, found {LONGEST_FRAME + 1}"),
    "long head": (b"\x0a" + b"\xff" * 9 + b"\x01", "expected a message"),
}


@pytest.mark.parametrize("kind", RAW)
def test_other_bytes_are_refused_with_the_reason(kind: str) -> None:
    data, why = RAW[kind]
    for reader in (frames.read, frames.hello):
        with pytest.raises(Refused) as refused:
            reader(data)
        assert why in str(refused.value)


def test_a_hello_says_who_speaks() -> None:
    said = Frame(head=Head(source="/shop", stream="shop.1-ab", version="2", instance="shop.1", checked=True))
    head, instance, checked = frames.hello(said.SerializeToString())
    assert (head.stream, head.version, instance, checked) == ("shop.1-ab", "2", "shop.1", True)
    said.head.checked = False
    assert frames.hello(said.SerializeToString())[2] is False


@pytest.mark.parametrize(
    ("head", "why"),
    [
        ({"stream": "s"}, "head.instance: expected 1 to 128 bytes"),
        ({"stream": "s", "instance": "i" * 129}, "head.instance"),
        ({"instance": "shop.1"}, "head.stream: expected 1 to 128"),
        ({"instance": "shop.1", "stream": "s", "first": 1}, "expected no events"),
        ({"instance": "shop.1", "stream": "s", "types": ["a"]}, "expected no events"),
    ],
)
def test_a_hello_that_says_too_little_or_too_much_is_refused(head: dict[str, object], why: str) -> None:
    with pytest.raises(Refused, match=why):
        frames.hello(Frame(head=Head(**head)).SerializeToString())  # type: ignore[arg-type]


def test_events_are_no_hello_and_a_hello_is_no_events() -> None:
    with pytest.raises(Refused, match="expected no events"):
        frames.hello(made().SerializeToString())
    with pytest.raises(Refused):
        frames.read(Frame(head=Head(stream="s", instance="shop.1")).SerializeToString())


PLACES = [range(0, 1), range(1, 3), range(4), (0, 2), (3,), (0, 1, 3)]


@pytest.mark.parametrize("places", PLACES, ids=str)
def test_a_part_has_these_events_with_all_they_say(places: tuple[int, ...] | range) -> None:
    whole = rich()
    part = Frame.FromString(frames.part(whole.SerializeToString(), places))
    assert part.head.count == len(places) == len(part.data)
    whole_head = Head()
    whole_head.CopyFrom(whole.head)
    whole_head.count = len(places)
    assert part.head == whole_head
    assert list(part.columns.index) == list(places)
    for name in ("type", "after", "subject", "key"):
        had = getattr(whole.columns, name)
        assert list(getattr(part.columns, name)) == [had[place] for place in places]
    assert list(part.data) == [whole.data[place] for place in places]
    about = {extra.event: extra.attributes["tenant"] for extra in part.extra}
    assert about == {number: f"t{place}" for number, place in enumerate(places) if place in (1, 3)}


def test_a_part_of_a_plain_frame_has_no_other_columns() -> None:
    part = Frame.FromString(frames.part(made().SerializeToString(), (0, 2)))
    assert part.columns == Columns(index=[0, 2])
    assert list(part.data) == [bytes(10), b"\2" * 10]


def test_a_part_keeps_what_a_later_version_says() -> None:
    later = b"\xf2\x3f\x05later"  # field 1022
    head = rich().head.SerializeToString() + later
    data = b"\x0a" + bytes([len(head)]) + head + Frame(data=[b"a", b"b", b"c", b"d"]).SerializeToString()
    assert later in frames.part(data, (1,))


@pytest.mark.parametrize("place", range(4))
def test_a_single_event_is_a_frame_that_any_publisher_may_send(place: int) -> None:
    whole = rich()
    data = frames.single(whole.SerializeToString(), place)
    head, columns = frames.read(data)
    assert (head.first, head.count, head.source) == (5 + place, 1, "/shop")
    assert head.types == (("sold", "sent", "sent", "sold")[place],)
    assert columns.key == (whole.columns.key[place],)
    single = Frame.FromString(data)
    assert single.head.at + sum(single.columns.after) == AT + place * 10
    assert list(single.data) == [whole.data[place]]
    assert [extra.attributes["tenant"] for extra in single.extra] == (
        [f"t{place}"] if place in (1, 3) else []
    )


@given(some.integers(0, 3), some.integers(1, 4))
def test_a_piece_is_a_frame_that_any_publisher_may_send(start: int, length: int) -> None:
    whole, stop = rich(), min(4, start + length)
    data = frames.piece(whole.SerializeToString(), start, stop)
    head, columns = frames.read(data)
    assert (head.first, head.last) == (5 + start, 4 + stop)
    names = [head.types[number] for number in columns.type] or list(head.types) * head.count
    assert names == ["sold", "sent", "sent", "sold"][start:stop]
    assert columns.key == tuple(whole.columns.key[start:stop])
    assert list(frames.events(data)) == list(whole.data[start:stop])


@pytest.mark.parametrize("origin", ["", "here", "x" * 200])
def test_what_is_delivered_is_the_frame_and_the_delivery(origin: str) -> None:
    data = rich().SerializeToString()
    delivery = Delivery(number=7, position=2**40, attempt=2, epoch=9, origin=origin)
    got = frames.delivered(data, delivery)
    assert got.startswith(data)
    expected = rich()
    expected.delivery.CopyFrom(delivery)
    assert Frame.FromString(got) == expected


def outcome(data: bytes) -> str:
    try:
        frames.read(data)
    except Refused as refused:
        return str(refused)
    return ""


@given(some.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    outcome(data)
    outcome(b"\x0a" + data)


@given(some.integers(0, len(rich().SerializeToString()) - 1), some.binary(max_size=3), some.integers(0, 3))
def test_a_damaged_frame_is_read_or_refused(at: int, put: bytes, cut: int) -> None:
    data = rich().SerializeToString()
    damaged = data[:at] + put + data[at + cut :]
    if not outcome(damaged):
        head, columns = frames.read(damaged)
        assert len(columns.type) in (0, head.count) and len(columns.key) in (0, head.count)
        assert all(each < len(head.types) for each in columns.type)
        for place in range(head.count):
            assert not outcome(frames.single(damaged, place))


def test_reading_costs_little_per_event() -> None:
    """About 0.07 us on the machine it was written on; ten times that is another algorithm."""
    data = made(448, 256).SerializeToString()
    best = min(_seconds(lambda: frames.read(data)) for _ in range(50))
    assert best / 448 < 0.7e-6


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
