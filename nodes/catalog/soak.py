"""Does the catalogue stand a load like its own on a busy day? Exits with 1 on any answer but 200.

Most quotes are asked for once; some are opened again, pages and searches come in between. Environment:
NODED_LISTEN (where), NODED_SOAK_REQUESTS (how many, 4000).
"""

import asyncio
import os
import random
import secrets
import sys
import time
from collections import deque
from collections.abc import Iterator

CLIENTS = 8
TIMEOUT = 10.0
SKUS = [f"LA00{column:02d}" for column in range(10)]


def targets(count: int, run: str) -> Iterator[str]:
    """Customers carry the run's name: a second run against the same node asks new questions too."""
    dice = random.Random(run)
    recent: deque[str] = deque(maxlen=50)
    for number in range(count):
        draw = dice.random()
        if draw < 0.05:
            yield f"/products/{dice.choice(SKUS)}?currency={dice.choice(['EUR', 'USD', 'SEK'])}"
        elif draw < 0.07:
            yield "/search?q=oak"
        elif draw < 0.15 and recent:
            yield dice.choice(recent)
        else:
            recent.append(
                f"/quote/{dice.choice(SKUS)}?customer=c{run}-{number}&quantity={dice.randint(1, 999)}"
            )
            yield recent[-1]


async def connect(listen: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if listen.startswith("unix:"):
        return await asyncio.open_unix_connection(listen.removeprefix("unix:"))
    host, _, port = listen.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def client(listen: str, work: Iterator[str], faults: list[str]) -> None:
    reader, writer = await connect(listen)
    for target in work:
        writer.write(f"GET {target} HTTP/1.1\r\nHost: soak\r\n\r\n".encode())
        async with asyncio.timeout(TIMEOUT):
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(body_length(head))
        if not head.startswith(b"HTTP/1.1 200 "):
            status = head.partition(b"\r")[0].decode("latin-1")
            faults.append(f"{target}: {status}")
    writer.close()


def body_length(head: bytes) -> int:
    """Raises ValueError when the answer does not say."""
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return int(line[15:])
    raise ValueError("an answer without Content-Length")


async def main() -> int:
    listen = os.environ.get("NODED_LISTEN", "")
    count = int(os.environ.get("NODED_SOAK_REQUESTS", "4000"))
    if not listen or count < 1:
        print("soak: NODED_LISTEN must be set and NODED_SOAK_REQUESTS be positive", file=sys.stderr)
        return 2
    faults: list[str] = []
    work, started = targets(count, secrets.token_hex(4)), time.monotonic()
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(client(listen, work, faults))
    except* (OSError, EOFError, ValueError) as errors:
        faults += [f"{type(error).__name__}: {error}" for error in errors.exceptions]
    print(
        f"soak: {count} requests in {time.monotonic() - started:.1f} s, {len(faults)} faults",
        *faults[:5],
        sep="\n  ",
    )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
