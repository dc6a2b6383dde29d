"""What happens to a commit when the disk is full, or says that it could not keep what it was given?"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nodemesh.adapters.log_note import End, read_end
from nodemesh.adapters.sqlite_log import SqliteLog
from nodemesh.ports import Unavailable
from tests.adapters.looped import looped
from tests.mounts import needs_mounts, on_a_small_disk
from tests.nodemesh.adapters.stored_frames import all_of, frame

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {"PYTHONPATH": f"{ROOT}:{ROOT / 'daemon'}:{ROOT / 'proto'}", "PYTHONDONTWRITEBYTECODE": "1"}
# Appends frames of 5,000 bytes; `fail` and `mend` are what the test says they are.
CHILD = """
import asyncio, os, resource, signal, sys
from pathlib import Path
from nodemesh.adapters.sqlite_log import SqliteLog
from nodemesh.ports import Unavailable
from tests.nodemesh.adapters.stored_frames import all_of, frame

state = Path(sys.argv[1])
{tools}

async def append(log, number):
    first = log.span.newest + 1
    try:
        await log.append([frame(first + n, size=5000) for n in range(number)])
    except Unavailable as error:
        print(error, flush=True)
        return False
    return True

async def main():
    log = await SqliteLog.open(state / "log", state / "aside")
    assert await append(log, 20)
    fail()
    assert not await append(log, 20)
    assert log.span.newest == 20, log.span
    assert [each.position for each in await all_of(log)] == list(range(1, 21))
    mend()
    for number in range(3):
        assert await append(log, 20)
    wanted = [frame(n, size=5000) for n in range(1, 81)]
    assert await all_of(log) == wanted
    assert log.lost == ()
    {end}

asyncio.run(main())
"""
# A file that grows no further is what a full disk does, for this process only.
SIZE = """
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
size = lambda limit: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
fail = lambda: size(200_000)
mend = lambda: size(resource.RLIM_INFINITY)
"""
SYNC = """
fail = lambda: (state / "fail").write_text("")
mend = lambda: (state / "fail").exists() and sys.exit("nothing failed")
"""
DISK = """
(state / "big").write_bytes(bytes(2**20))
def fail():
    with open(state / "rest", "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
def mend():
    (state / "rest").unlink()
    (state / "big").unlink()
"""
SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int fails(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 4 || access(getenv("FAIL"), F_OK)) return 0;
    // Once only: whoever syncs again is told that all is well, as Linux does.
    return !memcmp(path + n - 4, "-wal", 4) && !unlink(getenv("FAIL"));
}
#define SHIM(name) int name(int fd) { \\
    if (fails(fd)) { errno = EIO; return -1; } \\
    return ((int (*)(int)) dlsym(RTLD_NEXT, #name))(fd); }
SHIM(fsync)
SHIM(fdatasync)
"""
SUDDEN = "os._exit(0)"
PROPER = "await log.close()"


def run(state: Path, tools: str, end: str, **more: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", CHILD.format(tools=tools, end=end), str(state)],
        env=ENVIRONMENT | more,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def whole(state: Path) -> None:
    log = await SqliteLog.open(state / "log", state / "aside")
    try:
        assert log.lost == ()
        assert await all_of(log) == [frame(n, size=5000) for n in range(1, 81)]
        assert dict(log.streams) == {"shop.1": 80}
    finally:
        await log.close()


@pytest.mark.parametrize("end", [SUDDEN, PROPER], ids=["killed", "closed"])
@looped
async def test_a_file_that_took_only_a_part_ends_before_it(tmp_path: Path, end: str) -> None:
    told = run(tmp_path, SIZE, end)
    assert told.startswith(f"cannot write {tmp_path}/log/00000001.db: ")
    assert "look at the disk" in told
    assert sorted(path.name for path in (tmp_path / "log").glob("*.db")) == ["00000001.db", "00000021.db"]
    await whole(tmp_path)
    await whole(tmp_path)


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.parametrize("end", [SUDDEN, PROPER], ids=["killed", "closed"])
@looped
async def test_after_a_failed_sync_a_file_is_never_written_again(tmp_path: Path, end: str) -> None:
    source, library = tmp_path / "shim.c", tmp_path / "shim.so"
    source.write_text(SHIM)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True, timeout=60)
    at_failure = (
        'import hashlib\nfiles = [state / "log" / f"00000001.db{side}" for side in ("", "-wal")]\n'
        "digest = lambda: [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]\n"
    )
    tools = at_failure + SYNC.replace("mend = lambda: ", "mend = lambda: kept.extend(digest()) or ")
    tools += "kept = []\n"
    told = run(
        tmp_path,
        tools,
        f"assert kept == digest(); {end}",
        LD_PRELOAD=str(library),
        FAIL=str(tmp_path / "fail"),
    )
    assert told.startswith(f"cannot write {tmp_path}/log/00000001.db: disk I/O error; look at the disk")
    assert read_end(tmp_path / "log/00000001.db") == End(20)
    before = [(tmp_path / f"log/00000001.db{side}").read_bytes() for side in ("", "-wal")]
    # SQLite would write the WAL back and remove it when its last writer closes.
    assert len(before[1]) > 100_000
    # The disk has the frames that failed: nobody ever sees them.
    await whole(tmp_path)
    assert before == [(tmp_path / f"log/00000001.db{side}").read_bytes() for side in ("", "-wal")]


@needs_mounts
@pytest.mark.parametrize("end", [SUDDEN, PROPER], ids=["killed", "closed"])
def test_a_full_disk_is_told_and_leaves_what_was_there(tmp_path: Path, end: str) -> None:
    code = CHILD.format(tools=DISK, end=end)
    both = f"""
import asyncio, subprocess, sys
from pathlib import Path
from tests.nodemesh.adapters.test_log_faults import whole
subprocess.run([sys.executable, "-c", {code!r}, sys.argv[1]], check=True)
asyncio.run(whole(Path(sys.argv[1])))
"""
    pairs = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
    command = ["env", *pairs, sys.executable, "-c", both, str(tmp_path)]
    told = on_a_small_disk(tmp_path, "3m", command)
    assert told.startswith(f"cannot write {tmp_path}/log/00000001.db: the disk is full; free room")


@looped
async def test_a_log_that_cannot_be_begun_is_told_and_begins_later(tmp_path: Path) -> None:
    log = await SqliteLog.open(tmp_path / "log", tmp_path / "aside")
    blocked = tmp_path / "log/00000001.new"
    blocked.mkdir()
    try:
        for _ in range(2):
            with pytest.raises(Unavailable, match=r"cannot write .*; look at the disk"):
                await log.append([frame(1)])
        assert log.span.newest == 0
        assert os.listdir(tmp_path / "log") == ["00000001.new"]
        blocked.rmdir()
        await log.append([frame(1)])
        assert await all_of(log) == [frame(1)]
    finally:
        await log.close()
