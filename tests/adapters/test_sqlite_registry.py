"""Does the registry on disk survive what happens to processes and files?"""

import asyncio
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


def test_a_file_that_is_no_database_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(Refused, match=r"registry\.db: it is damaged .* move the file"):
        SqliteRegistry(path)
    assert path.read_bytes() == b"not a database at all" * 100


def test_a_damaged_page_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    asyncio.run(fill(path))
    content = bytearray(path.read_bytes())
    content[4096 : len(content)] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(Refused, match="damaged"):
        SqliteRegistry(path)


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


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"nowhere/registry\.db"):
        SqliteRegistry(tmp_path / "nowhere" / "registry.db")


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
