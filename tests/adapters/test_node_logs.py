"""Are whole lines read, each once, from nothing but logs?"""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noded.adapters.node_logs import BLOCK, LONGEST_TAIL, NodeLogs
from noded.ports import Unavailable


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "catalog").mkdir()
    return tmp_path


def write(folder: Path, text: bytes, instance: str = "catalog.1", mode: str = "wb") -> Path:
    path = folder / "catalog" / f"{instance}.log"
    with path.open(mode) as file:
        file.write(text)
    return path


def test_the_newest_lines(folder: Path) -> None:
    write(folder, b"one\ntwo\nthree\n")
    logs = NodeLogs(folder)
    assert logs.tail("catalog", "catalog.1", 2) == (b"two\nthree\n", 14)
    assert logs.tail("catalog", "catalog.1", 3) == (b"one\ntwo\nthree\n", 14)
    assert logs.tail("catalog", "catalog.1", 99) == (b"one\ntwo\nthree\n", 14)
    assert logs.tail("catalog", "catalog.1", 0) == (b"", 14)


def test_a_line_under_way_waits_for_its_end(folder: Path) -> None:
    write(folder, b"one\ntw")
    logs = NodeLogs(folder)
    text, place = logs.tail("catalog", "catalog.1", 10)
    assert text == b"one\n"
    assert logs.since("catalog", "catalog.1", place) == (b"", place)
    write(folder, b"o\nthree\nfo", mode="ab")
    text, place = logs.since("catalog", "catalog.1", place)
    assert text == b"two\nthree\n"
    assert logs.since("catalog", "catalog.1", place) == (b"", place)


def test_what_is_not_there_is_empty(folder: Path) -> None:
    logs = NodeLogs(folder)
    assert logs.tail("catalog", "catalog.9", 10) == (b"", 0)
    assert logs.since("catalog", "catalog.9", 7) == (b"", 7)
    assert logs.tail("nobody", "nobody.1", 10) == (b"", 0)
    assert logs.instances("nobody") == ()
    write(folder, b"")
    assert logs.tail("catalog", "catalog.1", 10) == (b"", 0)


def test_only_line_feeds_end_a_line(folder: Path) -> None:
    progress = b"10%\r20%\r30%\n\x0b\x0c\x1c\xff\n\n"
    write(folder, b"begin\n" + progress)
    assert NodeLogs(folder).tail("catalog", "catalog.1", 3)[0] == progress


def test_a_large_log_is_read_from_its_end(folder: Path) -> None:
    lines = [b"%06d " % n + b"x" * 93 for n in range(50_000)]
    write(folder, b"\n".join(lines) + b"\n")
    text, place = NodeLogs(folder).tail("catalog", "catalog.1", 3)
    assert text == b"\n".join(lines[-3:]) + b"\n"
    assert place == 50_000 * 101
    text, _ = NodeLogs(folder).tail("catalog", "catalog.1", 2**32 - 1)
    assert len(text) <= LONGEST_TAIL
    assert text.split(b"\n")[:-1] == lines[-text.count(b"\n") :]
    assert text.count(b"\n") == 10_000


def test_a_line_longer_than_a_tail_may_be(folder: Path) -> None:
    write(folder, b"x" * (LONGEST_TAIL + 5) + b"\nlast\n")
    assert NodeLogs(folder).tail("catalog", "catalog.1", 5)[0] == b"last\n"


def test_a_line_without_end_is_told_in_blocks(folder: Path) -> None:
    write(folder, b"x" * (2 * BLOCK) + b"end\n")
    logs, place, found = NodeLogs(folder), 0, b""
    while piece := logs.since("catalog", "catalog.1", place)[0]:
        found += piece
        place += len(piece)
    assert found == b"x" * (2 * BLOCK) + b"end\n"


@settings(max_examples=40)
@given(st.lists(st.binary(max_size=200).map(lambda line: line.replace(b"\n", b"")), max_size=30), st.data())
def test_following_gives_every_line_once(lines: list[bytes], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as place_of:
        folder = Path(place_of)
        (folder / "catalog").mkdir()
        whole = b"".join(line + b"\n" for line in lines)
        logs, place, found = NodeLogs(folder), 0, b""
        while whole:
            cut = data.draw(st.integers(1, len(whole)))
            write(folder, whole[:cut], mode="ab")
            whole = whole[cut:]
            text, place = logs.since("catalog", "catalog.1", place)
            assert text == b"" or text.endswith(b"\n")
            found += text
        assert found == b"".join(line + b"\n" for line in lines)


def test_a_log_that_was_cut_down_is_read_from_its_beginning(folder: Path) -> None:
    write(folder, b"old\n" * 10)
    logs = NodeLogs(folder)
    _, place = logs.tail("catalog", "catalog.1", 1)
    write(folder, b"new\n")
    assert logs.since("catalog", "catalog.1", place) == (b"new\n", 4)


def test_links_pipes_and_folders_are_not_read(folder: Path) -> None:
    secret = folder / "secret"
    secret.write_bytes(b"secret\n")
    (folder / "catalog/catalog.1.log").symlink_to(secret)
    (folder / "catalog/catalog.3.log").mkdir()
    logs = NodeLogs(folder)
    for instance in ("catalog.1", "catalog.3"):
        with pytest.raises(Unavailable, match=f"cannot read the output of {instance}"):
            logs.tail("catalog", instance, 10)
        with pytest.raises(Unavailable, match=f"cannot read the output of {instance}"):
            logs.since("catalog", instance, 0)
    os.mkfifo(folder / "catalog/catalog.2.log")
    with pytest.raises(Unavailable):  # and above all: it does not wait for a writer
        logs.tail("catalog", "catalog.2", 10)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_log_that_may_not_be_read_is_told(folder: Path) -> None:
    write(folder, b"x\n").chmod(0)
    with pytest.raises(Unavailable, match="Permission denied"):
        NodeLogs(folder).tail("catalog", "catalog.1", 10)


def test_instances_in_the_order_of_their_numbers(folder: Path) -> None:
    for name in ("catalog.10", "catalog.9", "catalog.2", "catalog.x", "catalog.1.old", "other.1"):
        write(folder, b"", name)
    (folder / "catalog/catalog.7.log.gz").write_bytes(b"")
    assert NodeLogs(folder).instances("catalog") == ("catalog.2", "catalog.9", "catalog.10")


def with_hole(folder: Path, lines: int, hole: int) -> bytes:
    """A log whose first bytes were given back to the disk; returns what it would hold without the hole."""
    text = b"".join(b"%015d\n" % number for number in range(lines))
    path = write(folder, b"")
    with path.open("r+b") as file:
        file.seek(hole)
        file.write(text[hole:])
    return text


def test_the_tail_ends_at_the_hole(folder: Path) -> None:
    text = with_hole(folder, 3000, 8192 + 4096)
    logs = NodeLogs(folder)
    assert logs.tail("catalog", "catalog.1", 2) == (text[-32:], len(text))
    found, place = logs.tail("catalog", "catalog.1", 10_000)
    assert (found, place) == (text[12288 + 16 :], len(text)), "whole lines, none of zeros"


def test_who_follows_slowly_goes_on_behind_the_hole(folder: Path) -> None:
    text = with_hole(folder, 3000, 12288)
    logs = NodeLogs(folder)
    found, place = logs.since("catalog", "catalog.1", 160)
    assert found == text[12288 + 16 :] and place == len(text)
    assert logs.since("catalog", "catalog.1", place) == (b"", place)


def test_a_log_that_is_all_hole_is_empty(folder: Path) -> None:
    path = write(folder, b"")
    os.truncate(path, 100_000)
    assert NodeLogs(folder).tail("catalog", "catalog.1", 10) == (b"", 100_000)
    assert NodeLogs(folder).since("catalog", "catalog.1", 0) == (b"", 100_000)
