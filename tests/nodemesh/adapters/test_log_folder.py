"""What does the log do with what is not its own in its folder?"""

import asyncio
from pathlib import Path

from nodemesh.adapters.sqlite_log import SqliteLog


def test_what_others_left_there_stays(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    # As on a file system of its own.
    (folder / "lost+found").mkdir(parents=True)
    (folder / "README").write_text("for people")
    (folder / "00000007.new").write_text("half made")
    (folder / "00000007.db-wal").write_text("of none")

    async def opened() -> None:
        await (await SqliteLog.open(folder, tmp_path / "aside")).close()

    asyncio.run(opened())
    assert sorted(path.name for path in folder.iterdir()) == ["README", "lost+found"]
