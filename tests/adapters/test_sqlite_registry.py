"""Does the registry on disk survive what happens to processes and files?"""

import asyncio
import os
import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from noded.adapters.sqlite_registry import SqliteRegistry
from noded.ports import NotFound, Record, Refused, Unavailable
from tests.adapters.looped import looped

ROOT = Path(__file__).parents[2]


@looped
async def test_everything_is_there_after_a_reopen(tmp_path: Path) -> None:
    first = SqliteRegistry(tmp_path / "registry.db")
    await first.put("a", b"1")
    await first.put("b", b"1")
    await first.delete("a")
    await first.close()
    second = SqliteRegistry(tmp_path / "registry.db")
    assert await second.list("") == ((Record("b", b"1", 2),), 3)
    assert [(await anext(second.watch("", after))).revision for after in (0, 1, 2)] == [1, 2, 3]
    assert await second.put("c", b"1") == 4
    await second.close()


@looped
async def test_a_lease_has_its_whole_time_again_after_a_reopen(tmp_path: Path) -> None:
    first = SqliteRegistry(tmp_path / "registry.db", lambda: 1000.0)
    lease = await first.grant(10.0)
    ended = await first.grant(10.0)
    await first.put("a", b"1", lease=lease)
    await first.revoke(ended)
    await first.close()
    now = [5.0]  # another boot: the clock began anew
    second = SqliteRegistry(tmp_path / "registry.db", lambda: now[0])
    now[0] = 14.9
    assert await second.get("a") is not None
    with pytest.raises(NotFound):
        await second.renew(ended)
    now[0] = 15.1
    assert await second.get("a") is None
    assert await second.grant(1.0) > ended
    await second.close()


WRITER = """
import asyncio, sys
from pathlib import Path
from noded.adapters.sqlite_registry import SqliteRegistry

async def main():
    registry = SqliteRegistry(Path(sys.argv[1]))
    number = (await registry.list(""))[1]
    while True:
        number += 1
        await registry.put(f"k{number}", b"x" * 2000)
        print(number, flush=True)

asyncio.run(main())
"""


def test_every_answered_write_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    answered = 0
    for _ in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)],
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": str(ROOT / "daemon")},
        )
        assert writer.stdout
        for _ in range(40):
            answered = int(writer.stdout.readline())
        writer.kill()
        answered = max([answered, *(int(line) for line in writer.stdout.read().splitlines())])
        writer.wait()
        writer.stdout.close()
        found, revision = asyncio.run(whole(path))
        assert [record.revision for record in found] == list(range(1, revision + 1))
        assert answered <= revision <= answered + 1


async def whole(path: Path) -> tuple[list[Record], int]:
    registry = SqliteRegistry(path)
    records, revision = await registry.list("k")
    await registry.close()
    return sorted(records, key=lambda record: record.revision), revision


@looped
async def test_the_history_is_bounded_in_bytes_too(tmp_path: Path) -> None:
    registry = SqliteRegistry(tmp_path / "registry.db")
    for _ in range(70):
        await registry.put("a", b"v" * 2**20)
    await registry.close()
    with sqlite3.connect(tmp_path / "registry.db") as database:
        kept = database.execute("SELECT count(*) FROM change").fetchone()[0]
    database.close()
    assert kept == 64


def damaged(path: Path, how: str) -> bytes:
    """A registry with 30 records, then harmed; returns what is on disk."""
    asyncio.run(fill(path))
    content = bytearray(path.read_bytes())
    dice = random.Random(how)
    if how == "no database":
        content = bytearray(b"not a database at all" * 100)
    elif how == "header":
        content[:100] = dice.randbytes(100)
    elif how == "zeros":
        content[:] = bytes(len(content))
    elif how == "format":
        content[60:64] = b"\x7f\xff\xff\xff"
    elif how == "schema":
        content[100:4096] = dice.randbytes(3996)
    elif how == "interior page":
        content[8192:12288] = dice.randbytes(4096)
    elif how == "all but the first page":
        content[4096:] = b"\xff" * (len(content) - 4096)
    else:
        content = content[: len(content) // 2]
    path.write_bytes(content)
    return bytes(content)


DAMAGE = "no database,header,zeros,format,schema,interior page,all but the first page,truncated".split(",")


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_file_is_put_aside_and_a_new_one_begun(tmp_path: Path, how: str) -> None:
    path = tmp_path / "registry.db"
    content = damaged(path, how)

    async def use() -> str:
        registry = SqliteRegistry(path)
        assert await registry.list("") == ((), 0)
        assert await registry.put("a", b"1", expected=0) == 1
        why = registry.begun_anew()
        assert registry.begun_anew() == ""
        await registry.close()
        return why

    why = asyncio.run(use())
    (aside,) = tmp_path.glob("registry.db.corrupt-*")
    assert aside.read_bytes() == content
    assert why == f"registry.db was damaged and is kept as {aside.name}"
    assert [record.key for record in asyncio.run(read(path))] == ["a"]


async def read(path: Path) -> tuple[Record, ...]:
    registry = SqliteRegistry(path)
    records, _ = await registry.list("")
    assert registry.begun_anew() == ""
    await registry.close()
    return records


@looped
async def test_damage_that_comes_while_it_is_open_is_put_aside_too(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    registry = SqliteRegistry(path)
    for number in range(60):  # more than SQLite keeps in memory
        await registry.put(f"k{number:02}", b"x" * 100_000)
    await registry.close()
    registry = SqliteRegistry(path)
    registry.begun_anew()
    content = path.read_bytes()
    path.write_bytes(content[:8192] + os.urandom(len(content) - 8192))
    assert await registry.list("") == ((), 0), "the one that met the damage is done all the same"
    assert "was damaged" in registry.begun_anew()
    assert await registry.put("a", b"1") == 1
    await registry.close()


def test_only_some_of_what_was_put_aside_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    for day in range(1, 6):
        (tmp_path / f"registry.db.corrupt-2026010{day}T000000").touch()
    path.write_text("broken " * 100)
    asyncio.run(SqliteRegistry(path).close())
    kept = sorted(found.name for found in tmp_path.glob("*.corrupt-*"))
    assert [name[20:28] for name in kept][:2] == ["20260104", "20260105"]
    assert len(kept) == 3


@looped
async def test_a_registry_that_was_not_there_says_so(tmp_path: Path) -> None:
    registry = SqliteRegistry(tmp_path / "registry.db")
    assert registry.begun_anew() == "registry.db was not there"
    await registry.close()


async def fill(path: Path) -> None:
    registry = SqliteRegistry(path)
    await asyncio.gather(*(registry.put(f"k{n}", b"x" * 3000) for n in range(30)))
    await registry.close()


def test_a_file_of_a_later_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE new (x)")
    database.execute("PRAGMA user_version = 7")
    database.close()
    with pytest.raises(Refused, match="format 7, this noded knows 1"):
        SqliteRegistry(path)


@looped
async def test_a_file_that_cannot_be_opened_yet_is_tried_again(tmp_path: Path) -> None:
    registry = SqliteRegistry(tmp_path / "later" / "registry.db")
    with pytest.raises(Unavailable, match=r"later/registry\.db"):
        await registry.get("a")
    (tmp_path / "later").mkdir()
    assert await registry.put("a", b"1") == 1
    await registry.close()


@looped
async def test_a_locked_file_is_unavailable_and_nothing_is_written(tmp_path: Path) -> None:
    registry = SqliteRegistry(tmp_path / "registry.db")
    await registry.put("a", b"1")
    other = sqlite3.connect(tmp_path / "registry.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="locked"):
        await registry.put("a", b"2")
    other.execute("ROLLBACK")
    other.close()
    assert await registry.put("a", b"3") == 2
    await registry.close()


@looped
async def test_the_loop_goes_on_while_the_disk_is_slow(tmp_path: Path) -> None:
    registry = SqliteRegistry(tmp_path / "registry.db")
    other = sqlite3.connect(tmp_path / "registry.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writing = asyncio.create_task(registry.put("a", b"1"))
    longest = 0.0
    for _ in range(20):
        begun = time.monotonic()
        await asyncio.sleep(0.01)
        longest = max(longest, time.monotonic() - begun)
    assert not writing.done()
    other.execute("ROLLBACK")
    other.close()
    assert await writing == 1
    assert longest < 0.5
    await registry.close()


@looped
async def test_a_cancelled_write_still_wakes_a_watch(tmp_path: Path) -> None:
    registry = SqliteRegistry(tmp_path / "registry.db")
    waiting = asyncio.create_task(anext(registry.watch("", 0)))
    other = sqlite3.connect(tmp_path / "registry.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writing = asyncio.create_task(registry.put("a", b"1"))
    await asyncio.sleep(0.1)  # now the worker waits for the lock, and cannot be stopped
    writing.cancel()
    other.execute("ROLLBACK")
    other.close()
    async with asyncio.timeout(5):
        assert (await waiting).key == "a"
    await registry.close()
