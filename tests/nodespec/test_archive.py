"""Is only the one spelling of an archive read, and can every tar read what is written?"""

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from nodespec.archive import Member, ending, header, members, padding
from nodespec.tree import Kind, ReleaseError

MANY = [
    (Member("a", Kind.FILE, 0o644, 3), b"abc"),
    (Member("b/" + "x" * 98, Kind.FILE, 0o755, 512), b"y" * 512),
    (Member("b/" + "x" * 99, Kind.FILE, 0o644, 0), b""),
    (Member("b/ä" + "x" * 200, Kind.FILE, 0o644, 1025), b"z" * 1025),
    (Member("c", Kind.LINK, 0o777, 0, "a"), b""),
    (Member("d" * 250, Kind.LINK, 0o777, 0, "b/" + "x" * 150), b""),
]


def packed(content: list[tuple[Member, bytes]]) -> bytes:
    body = b"".join(header(member) + data + padding(len(data)) for member, data in content)
    return body + ending(len(body))


def read(blob: bytes) -> list[tuple[Member, bytes]]:
    return [(member, b"".join(data)) for member, data in members(io.BytesIO(blob), "x")]


def test_what_is_written_is_read() -> None:
    assert read(packed(MANY)) == MANY
    assert read(packed([])) == []


def test_python_and_tar_read_it(tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(packed(MANY))) as archive:
        for member, data in MANY:
            found = archive.getmember(member.path)
            assert (found.mode, found.uid, found.mtime, found.uname) == (member.mode, 0, 0, "")
            stream = archive.extractfile(found) if member.kind is Kind.FILE else None
            assert (stream.read() if stream else b"") == data
            assert found.linkname == member.target
    (tmp_path / "a.tar").write_bytes(packed(MANY))
    subprocess.run(["tar", "-x", "-f", "a.tar"], cwd=tmp_path, check=True, timeout=20)
    assert (tmp_path / MANY[3][0].path).read_bytes() == MANY[3][1]


@pytest.mark.parametrize("length", range(0, 20 * 512, 512))
def test_an_archive_is_whole_records_and_ends_with_two_empty_blocks(length: int) -> None:
    end = ending(length)
    assert (length + len(end)) % 10240 == 0
    assert 1024 <= len(end) <= 1024 + 10240
    assert not any(end)


def test_every_single_changed_bit_of_the_frame_is_refused() -> None:
    member = Member("p" * 120, Kind.FILE, 0o644, 5)
    frame = header(member)
    blob = packed([(member, b"hello")])
    for place in range(len(frame)):
        changed = bytearray(blob)
        changed[place] ^= 1
        try:
            got = read(bytes(changed))
        except ReleaseError:
            continue
        # a letter of the path itself may differ: that is another path, written as it should be
        assert got[0][0].path != member.path
        assert packed(got) == changed


def test_every_cut_is_refused() -> None:
    blob = packed(MANY)
    for length in [*range(0, len(blob), 97), len(blob) - 1]:
        with pytest.raises(ReleaseError):
            read(blob[:length])


@pytest.mark.parametrize("more", [b"\0", b"x", b"\0" * 512, b"\0" * 10240])
def test_nothing_may_follow(more: bytes) -> None:
    with pytest.raises(ReleaseError, match="or something follows it"):
        read(packed(MANY) + more)


def test_padding_holds_nothing() -> None:
    blob = bytearray(packed([MANY[0]]))
    blob[512 + 100] = 1
    with pytest.raises(ReleaseError, match="a: something stands behind its end"):
        read(bytes(blob))
