"""Does the index survive its end, its damage and the host's clock?"""

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from nodemesh.adapters.sqlite_index import SqliteIndex
from nodemesh.model.cursor import Cursor, Dead, Trial
from nodemesh.model.frame import Address
from nodemesh.ports import Refused, Unavailable
from tests.adapters.looped import looped
from tests.mounts import needs_mounts, on_a_small_disk

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {"PYTHONPATH": f"{ROOT}:{ROOT / 'daemon'}:{ROOT / 'proto'}", "PYTHONDONTWRITEBYTECODE": "1"}
CURSOR = Cursor(5, {6: 2**511 + 9}, {Address(9, 3): Trial(2, 1060.0, "boom ü", "1.2.0", True)}, ((7, 8),))
LETTER = (Dead("shop", Address(3, 1), 5, "boom ü", 1000.25, "1.2.0"), b"frame\0" * 100)


@dataclass(slots=True)
class Times:
    up: float = 1000.0
    date: float = 50_000.0

    def now(self) -> float:
        return self.up

    def wall(self) -> float:
        return self.date


async def opened(folder: Path, times: Times | None = None) -> SqliteIndex:
    return await SqliteIndex.open(folder / "index.db", folder / "aside", 4, times or Times())


async def saved(folder: Path) -> None:
    index = await opened(folder)
    await index.save({"shop": CURSOR, "bank": Cursor(9)}, [LETTER])
    await index.close()


@looped
async def test_it_is_all_there_in_the_next_life(tmp_path: Path) -> None:
    await saved(tmp_path)
    index = await opened(tmp_path)
    assert await index.cursors() == {"shop": CURSOR, "bank": Cursor(9)}
    assert list(await index.dead("shop", 10)) == [LETTER]
    assert (index.lost, index.restart, index.newest) == ("", None, 9)
    await index.close()


@pytest.mark.parametrize(
    ("up", "date", "due"),
    [
        pytest.param(1000.0, 50_000.0, 1060.0, id="at once"),
        pytest.param(1010.0, 50_010.0, 1060.0, id="the mesh was down"),
        pytest.param(5.0, 50_020.0, 45.0, id="the host was down"),
        pytest.param(5.0, 90_000.0, 5.0, id="long ago"),
        pytest.param(5.0, 1.0, 65.0, id="the date was set back"),
    ],
)
@looped
async def test_a_trial_waits_no_longer_than_it_had_to(
    tmp_path: Path, up: float, date: float, due: float
) -> None:
    await saved(tmp_path)
    index = await opened(tmp_path, Times(up, date))
    (trial,) = (await index.cursors())["shop"].trials.values()
    assert trial == Trial(2, due, "boom ü", "1.2.0", True)
    await index.close()


@looped
async def test_no_damage_is_a_stop_or_a_wrong_cursor(tmp_path: Path) -> None:
    await saved(tmp_path)
    path = tmp_path / "index.db"
    whole = path.read_bytes()
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    dice = random.Random(seed)
    lost = 0
    for _ in range(60):
        data = bytearray(whole)
        at = dice.randrange(len(data))
        length = dice.choice((1, 1, 50, 4096))
        data[at : at + length] = dice.choice((dice.randbytes(length), bytes(length)))
        path.write_bytes(data[: dice.choice((len(data), len(data), at))])
        index = await opened(tmp_path)
        found = await index.cursors()
        letters = await index.dead("shop", 10)
        assert all({"shop": CURSOR, "bank": Cursor(9)}[node] == cursor for node, cursor in found.items())
        assert list(letters) in ([], [LETTER])
        if index.lost:
            lost += 1
            assert index.restart == Cursor(4)
        await index.save({"bank": Cursor(10)}, [LETTER])
        await index.close()
        index = await opened(tmp_path)
        assert (await index.cursors())["bank"] == Cursor(10)
        await index.close()
    assert lost > 5


@looped
async def test_damage_while_it_runs_costs_the_letters_and_no_cursor(tmp_path: Path) -> None:
    await saved(tmp_path)
    index = await opened(tmp_path)
    # More than SQLite keeps in memory and in the WAL.
    for number in range(80):
        dead = Dead("bank", Address(number, 0), 1, "", 0.0, "")
        await index.save({"bank": Cursor(10)}, [(dead, bytes(100_000))])
    size = (tmp_path / "index.db").stat().st_size
    with open(tmp_path / "index.db", "r+b") as file:
        file.seek(20_000)
        file.write(b"\xff" * (size - 20_000))
    assert list(await index.dead("bank", 100)) == []
    assert index.lost
    await index.save({"bank": Cursor(11)}, ())
    await index.close()
    index = await opened(tmp_path)
    assert await index.cursors() == {"shop": CURSOR, "bank": Cursor(11)}
    await index.close()


@looped
async def test_an_index_of_a_later_version_is_refused_and_not_touched(tmp_path: Path) -> None:
    await saved(tmp_path)
    base = sqlite3.connect(tmp_path / "index.db")
    base.executescript(f"PRAGMA user_version = 2; PRAGMA application_id = {0x4E4D4902};")
    base.close()
    with pytest.raises(Refused, match=r"index\.db: format 2, this noded-mesh knows 1; start the noded-mesh"):
        await opened(tmp_path)
    assert os.listdir(tmp_path) == ["index.db"]


# Saves the same number for two nodes and as a letter, over and over.
CHILD = """
import asyncio, sys
from pathlib import Path
from nodemesh.adapters.sqlite_index import SqliteIndex
from nodemesh.model.cursor import Cursor, Dead
from nodemesh.model.frame import Address

async def main():
    index = await SqliteIndex.open(Path(sys.argv[1]) / "index.db", Path(sys.argv[1]) / "aside", 1)
    number = index.newest + 1
    while True:
        number += 1
        letter = Dead("a", Address(number, 0), 1, "", 0.0, "")
        await index.save({"a": Cursor(number), "b": Cursor(number)}, [(letter, b"x" * 1000)])
        print(number, flush=True)

asyncio.run(main())
"""


@looped
async def test_a_kill_at_any_moment_leaves_all_or_nothing(tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    dice = random.Random(seed)
    for _ in range(4):
        command = [sys.executable, "-c", CHILD, str(tmp_path)]
        with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            child.stdout.readline()
            await asyncio.sleep(dice.uniform(0.0, 0.2))
            os.kill(child.pid, signal.SIGKILL)
            said = child.stdout.read().split("\n")[:-1]
        index = await opened(tmp_path)
        assert index.lost == ""
        found = await index.cursors()
        assert found["a"] == found["b"]
        assert found["a"].floor >= int(said[-1] if said else 0)
        letters = await index.dead("a", 10**6)
        assert letters[-1][0].address.position == found["a"].floor
        await index.close()


FULL = """
import asyncio, sys
from pathlib import Path
from nodemesh.adapters.sqlite_index import SqliteIndex
from nodemesh.model.cursor import Cursor, Dead
from nodemesh.model.frame import Address
from nodemesh.ports import Unavailable

def letters(number):
    return [(Dead("a", Address(number, n), 1, "", 0.0, ""), bytes(100_000)) for n in range(3)]

async def main():
    filler = Path(sys.argv[1]) / "filler"
    filler.write_bytes(bytes(500_000))
    index = await SqliteIndex.open(Path(sys.argv[1]) / "index.db", Path(sys.argv[1]) / "aside", 1)
    done = 0
    try:
        while True:
            await index.save({"a": Cursor(done + 1)}, letters(done + 1))
            done += 1
    except Unavailable as error:
        print(error)
    assert done > 0
    assert await index.cursors() == {"a": Cursor(done)}
    assert len(await index.dead("a", 1000)) == 3 * done
    filler.unlink()
    await index.drop_dead([letter for letter, _ in await index.dead("a", 3)])
    await index.save({"a": Cursor(done + 1)}, ())
    assert index.lost == ""
    await index.close()

asyncio.run(main())
"""


@needs_mounts
def test_a_full_disk_is_told_and_nothing_half_done(tmp_path: Path) -> None:
    pairs = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
    told = on_a_small_disk(tmp_path, "3m", ["env", *pairs, sys.executable, "-c", FULL, str(tmp_path)])
    assert told.startswith(f"cannot write {tmp_path}/index.db: the disk is full; free room")


@looped
async def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "index.db").mkdir()
    with pytest.raises(Unavailable, match=r"cannot open .*index\.db: "):
        await opened(tmp_path)
