"""Is every call in the audit, does a change in it show, and does it stay within its bounds?"""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from noded.adapters.audit import Asked, Audit
from noded.ports import Refused
from tests.adapters.looped import looped

ONE = Asked(100.0, "anna", 1000, 4711, "admin", "stop catalog", "accepted")


def noted(folder: Path, count: int, first: int = 1, **bounds: float) -> Audit:
    audit = Audit(folder, **bounds)  # type: ignore[arg-type]
    for number in range(first, first + count):
        audit.note(replace(ONE, at=float(number), what=f"stop n{number}"))
    return audit


async def whats(audit: Audit, limit: int = 1000) -> tuple[list[str], str]:
    trail = await audit.read(limit)
    return [entry.what for entry in trail.entries], trail.broken


@looped
async def test_what_was_noted_is_read_again_newest_last(tmp_path: Path) -> None:
    audit = noted(tmp_path / "audit", 3)
    assert (await audit.read(1)).entries == (replace(ONE, at=3.0, what="stop n3"),)
    assert await whats(audit) == (["stop n1", "stop n2", "stop n3"], "")
    assert await whats(audit, 0) == ([], "")
    audit.close()
    again = noted(tmp_path / "audit", 1, first=4)
    assert await whats(again) == ([f"stop n{n}" for n in range(1, 5)], "")
    assert again.alarm == ""
    again.close()


@looped
async def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    audit = noted(tmp_path / "audit", 1)
    await audit.read(1)
    assert (tmp_path / "audit").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "audit/000001.jsonl").stat().st_mode & 0o777 == 0o600
    audit.close()


def line(folder: Path, number: int) -> tuple[Path, list[bytes]]:
    path = folder / f"{number:06}.jsonl"
    return path, path.read_bytes().splitlines(keepends=True)


def changed(folder: Path) -> None:
    path, lines = line(folder, 1)
    path.write_bytes(b"".join([lines[0].replace(b"anna", b"otto"), *lines[1:]]))


def taken_away(folder: Path) -> None:
    path, lines = line(folder, 1)
    path.write_bytes(b"".join([lines[0], *lines[2:]]))


def put_in(folder: Path) -> None:
    path, lines = line(folder, 1)
    path.write_bytes(b"".join([lines[0], lines[0], *lines[1:]]))


def swapped(folder: Path) -> None:
    path, lines = line(folder, 1)
    path.write_bytes(b"".join([lines[0], lines[2], lines[1], *lines[3:]]))


def garbage(folder: Path) -> None:
    path, lines = line(folder, 1)
    path.write_bytes(b"".join([lines[0], os.urandom(40).replace(b"\n", b"") + b"\n", *lines[2:]]))


def no_object(folder: Path) -> None:
    path, lines = line(folder, 1)
    path.write_bytes(b"".join([lines[0], b"[1]\n", *lines[2:]]))


def file_taken_away(folder: Path) -> None:
    (folder / "000002.jsonl").unlink()


@pytest.mark.parametrize(
    "harm",
    [changed, taken_away, put_in, swapped, garbage, no_object, file_taken_away],
    ids=lambda f: f.__name__,
)
@looped
async def test_a_change_shows_while_it_runs_and_after_a_restart(tmp_path: Path, harm: object) -> None:
    audit = noted(tmp_path, 12, lines=4)
    await audit.read(1)
    assert callable(harm)
    harm(tmp_path)
    _, broken = await whats(audit)
    audit.close()
    assert broken.startswith("the audit's chain is broken: ")
    again = noted(tmp_path, 1, first=50, lines=4)
    assert again.alarm.startswith("the audit's chain is broken: ")
    assert (await whats(again))[0][-1] == "stop n50", "it goes on all the same"
    again.close()


@looped
async def test_the_newest_line_cannot_go_unseen_while_noded_runs(tmp_path: Path) -> None:
    audit = noted(tmp_path, 3)
    await audit.read(1)
    path, lines = line(tmp_path, 1)
    path.write_bytes(b"".join(lines[:-1]))
    assert (await whats(audit))[1] == "the audit's chain is broken: the last line was changed or taken away"
    audit.close()


@looped
async def test_neither_can_all_of_them(tmp_path: Path) -> None:
    audit = noted(tmp_path, 3)
    await audit.read(1)
    (tmp_path / "000001.jsonl").unlink()
    assert (await whats(audit))[0] == []
    assert audit.alarm == "the audit's chain is broken: the last line was changed or taken away"
    audit.close()


@looped
async def test_half_a_character_of_a_users_name_is_no_reason_to_lose_a_line(tmp_path: Path) -> None:
    audit = noted(tmp_path, 0)
    audit.note(replace(ONE, who="a\udcff"))
    assert (await audit.read(1)).entries[0].who == "a\udcff"
    audit.close()


@looped
async def test_the_hash_of_each_line_is_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        audit = noted(tmp_path, 2)
        await audit.read(1)
        audit.close()
    told = [record.getMessage() for record in caplog.records]
    assert told[0].startswith("audit: anna: stop n1: accepted [")
    second = json.loads(line(tmp_path, 1)[1][1])
    assert told[0].endswith(f"[{second['before'][:16]}]")


@looped
async def test_whoever_has_no_name_is_told_by_number(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        audit = Audit(tmp_path / "audit")
        audit.note(replace(ONE, who="", uid=1777))
        await audit.read(1)
        audit.close()
    assert caplog.records[0].getMessage().startswith("audit: uid 1777: ")


@looped
async def test_half_a_line_is_cut_off_after_a_crash(tmp_path: Path) -> None:
    audit = noted(tmp_path, 2)
    await audit.read(1)
    audit.close()
    with (tmp_path / "000001.jsonl").open("ab") as file:
        file.write(b'{"at": 3.0, "who": "an')
    again = noted(tmp_path, 1, first=3)
    assert await whats(again) == (["stop n1", "stop n2", "stop n3"], "")
    again.close()


@looped
async def test_old_files_go_by_number_and_the_rest_still_holds_together(tmp_path: Path) -> None:
    audit = noted(tmp_path, 40, lines=5, files=3)
    found, broken = await whats(audit)
    assert (found, broken) == ([f"stop n{n}" for n in range(26, 41)], "")
    audit.close()
    assert sorted(os.listdir(tmp_path)) == ["000006.jsonl", "000007.jsonl", "000008.jsonl"]


@looped
async def test_old_files_go_by_age(tmp_path: Path) -> None:
    audit = noted(tmp_path, 5, lines=5, age=100.0)
    await audit.read(1)
    os.utime(tmp_path / "000001.jsonl", (1000.0, 1000.0))
    audit.note(replace(ONE, at=1101.0, what="much later"))
    assert await whats(audit) == (["much later"], "")
    audit.close()


@looped
async def test_what_cannot_be_written_is_told_and_stops_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    audit = noted(tmp_path, 1)
    await audit.read(1)
    (tmp_path / "000001.jsonl").rename(tmp_path / "aside")
    (tmp_path / "000001.jsonl").mkdir()
    audit.note(replace(ONE, what="lost"))
    await audit.read(1)
    assert audit.alarm.startswith("the audit cannot be written: ")
    assert "audit lost: anna lost: accepted" in caplog.text
    (tmp_path / "000001.jsonl").rmdir()
    (tmp_path / "aside").rename(tmp_path / "000001.jsonl")
    audit.note(replace(ONE, what="kept"))
    assert await whats(audit) == (["stop n1", "kept"], "")
    assert audit.alarm == ""
    audit.close()


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "audit").write_text("")
    with pytest.raises(Refused, match=r"cannot use .*/audit: "):
        Audit(tmp_path / "audit")
