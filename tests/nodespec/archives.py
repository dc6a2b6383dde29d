"""Archives to be unpacked: as noded writes them, as tar writes them, and hostile ones."""

import gzip
import io
import tarfile
from collections.abc import Callable

import pytest

from nodespec.archive import Member, ending, header, padding
from nodespec.release import ReleaseError
from nodespec.tree import MOST_BYTES, Kind

MANIFEST = b'[node]\nname = "shop"\nversion = "1.0"\nrun = ["./start"]\n'


def refused(call: Callable[[], object]) -> list[str]:
    with pytest.raises(ReleaseError) as refusal:
        call()
    return [str(mistake) for mistake in refusal.value.mistakes]


def archive(content: dict[str, bytes]) -> bytes:
    """As noded writes it, whatever the names are."""
    parts = [(Member(path, Kind.FILE, 0o644, len(data)), data) for path, data in content.items()]
    return joined(parts)


def joined(parts: list[tuple[Member, bytes]]) -> bytes:
    body = b"".join(header(member) + data + padding(len(data)) for member, data in parts)
    return body + ending(len(body))


def made_by_tar(*members: tarfile.TarInfo, data: bytes = b"", form: int = tarfile.GNU_FORMAT) -> bytes:
    """A tar with the manifest and these members, sizes as they claim."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        manifest = tarfile.TarInfo("node.toml")
        manifest.size = len(MANIFEST)
        tar.addfile(manifest, io.BytesIO(MANIFEST))
        for member in members:
            tar.addfile(member, io.BytesIO(data) if data else None)
    return out.getvalue()


def info(name: str, **what: object) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    for key, value in what.items():
        setattr(member, key, value)
    return member


HOSTILE: dict[str, tuple[bytes, str]] = {
    "absolute path": (archive({"/noded-t-x": b"x"}), "an absolute path"),
    "up": (archive({"../noded-t-x": b"x"}), '".."'),
    "up inside": (archive({"a/../../noded-t-x": b"x"}), '".."'),
    "long path up": (archive({"a/" * 40 + "../" * 41 + "noded-t-x": b"x"}), '".."'),
    "twice": (archive({"node.toml": MANIFEST})[:1024] * 2 + ending(2048), "node.toml: is there twice"),
    "order": (archive({"node.toml": MANIFEST, "a": b""}), "a: is not in the order of paths"),
    "below a file": (archive({"a": b"", "a/b": b"x"}), "a/b: stands below a, which is no folder"),
    "through a link": (
        joined([(Member("a", Kind.LINK, 0o777, 0, "."), b""), (Member("a/b", Kind.FILE, 0o644, 1), b"x")]),
        "a/b: stands below a, which is no folder",
    ),
    "deep below a link": (
        joined([(Member("a", Kind.LINK, 0o777, 0, "."), b""), (Member("a/b/c", Kind.FILE, 0o644, 1), b"x")]),
        "a/b/c: stands below a, which is no folder",
    ),
    "link out": (joined([(Member("a", Kind.LINK, 0o777, 0, "../x"), b"")]), "a: .* it leads out"),
    "absolute link": (joined([(Member("a", Kind.LINK, 0o777, 0, "/etc"), b"")]), "a: .* it leads out"),
    "long link out": (joined([(Member("a", Kind.LINK, 0o777, 0, "b/" * 40 + "../" * 41), b"")]), "leads out"),
    "link out through a link": (
        joined([
            (Member("a/l", Kind.LINK, 0o777, 0, ".."), b""),
            (Member("b", Kind.LINK, 0o777, 0, "a/l/../x"), b""),
        ]),
        "b: .* it leads out",
    ),
    "cache": (archive({"__pycache__/a.pyc": b"x"}), "never part of a release"),
    "control letters": (archive({"a\x1b[0m": b"x"}), "control characters"),
    "setuid": (made_by_tar(info("x", mode=0o4755)), "x: expected mode 0644 or 0755, got 4755"),
    "world writable": (made_by_tar(info("x", mode=0o666)), "x: expected mode 0644 or 0755, got 0666"),
    "owner": (made_by_tar(info("x", uid=1000)), "x: its header is not as noded writes it"),
    "time": (made_by_tar(info("x", mtime=1)), "x: its header is not as noded writes it"),
    "hard link": (made_by_tar(info("x", type=tarfile.LNKTYPE, linkname="/etc/shadow")), "got a hard link"),
    "character device": (made_by_tar(info("x", type=tarfile.CHRTYPE, devmajor=1)), "got a device"),
    "block device": (made_by_tar(info("x", type=tarfile.BLKTYPE)), "got a device"),
    "fifo": (made_by_tar(info("x", type=tarfile.FIFOTYPE)), "got a fifo"),
    "folder": (made_by_tar(info("x", type=tarfile.DIRTYPE)), "got a folder"),
    "contiguous": (made_by_tar(info("x", type=tarfile.CONTTYPE)), "got something else"),
    "sparse": (made_by_tar(info("x", type=tarfile.GNUTYPE_SPARSE, size=2**40)), "got a sparse file"),
    "pax": (made_by_tar(form=tarfile.PAX_FORMAT), "node.toml: its header is not as noded writes it"),
    "pax path": (
        made_by_tar(info("x", type=tarfile.XHDTYPE, size=17), data=b"17 path=/etc/xyz\n"),
        "x: expected a file or a symbolic link, got a pax header",
    ),
    "pax for all": (made_by_tar(info("x", type=tarfile.XGLTYPE)), "got a pax header"),
    "huge size": (made_by_tar(info("x", size=2**33 - 1)), "at most 64 MiB"),
    "size beyond octal": (made_by_tar(info("x", size=2**50)), "x: its header is not as noded writes it"),
    "just too much": (made_by_tar(info("x", size=MOST_BYTES)), "at most 64 MiB"),
    "more than there is": (made_by_tar(info("x", size=60000)), "ends in the middle of it|cut off"),
    "link with bytes": (
        made_by_tar(info("x", type=tarfile.SYMTYPE, mode=0o777, linkname="a", size=5)),
        "x: its header is not as noded writes it",
    ),
    "long name": (made_by_tar(info("x" * 300)), "a path longer than 255 bytes"),
    "endless name": (made_by_tar(info("L", type=b"L", size=2**33 - 1)), "a path longer than 255 bytes"),
    "not UTF-8": (made_by_tar(info("a\udcff")), "the path is not UTF-8"),
    "nothing": (b"", "not a packed release, or cut off"),
    "noise": (bytes(range(256)) * 100, "not a packed release"),
    "zeros": (bytes(10240), "node.toml: expected the node's manifest, got no such file"),
    "endless zeros": (bytes(10240 * 100), "something follows it"),
    "gzip bomb": (gzip.compress(bytes(10**7)), "not a packed release"),
    "no manifest": (archive({"a": b"x"}), "node.toml: expected the node's manifest, got no such file"),
    "manifest is a link": (
        joined([(Member("node.toml", Kind.LINK, 0o777, 0, "a"), b"")]),
        "node.toml: expected the node's manifest, got a link",
    ),
}  # fmt: skip
