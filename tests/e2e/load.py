"""A steady load of HTTP requests on one port, told as JSON lines while it runs.

Open loop: requests are due at fixed times whatever the answers do, so a stall shows as late and
failed requests and not as fewer of them. Runs as a process of its own: `python -m tests.e2e.load
--port 8100 --rate 400 --out load.jsonl`, until SIGTERM.
"""

import argparse
import asyncio
import json
import random
import signal
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

TIMEOUT = 5.0
TOLD_EVERY = 0.2
SKUS = [f"LA00{column:02d}" for column in range(10)]


@dataclass
class Tally:
    at: float = 0.0
    total: int = 0
    failed: int = 0
    slowest_ms: float = 0.0
    faults: list[str] = field(default_factory=list)


def targets(seed: str) -> Iterator[str]:
    """Mostly quotes nobody asked for before, and what people do in between."""
    dice = random.Random(seed)
    recent: deque[str] = deque(["/products"], maxlen=50)
    number = 0
    while True:
        number += 1
        draw = dice.random()
        if draw < 0.05:
            yield f"/products/{dice.choice(SKUS)}"
        elif draw < 0.06:
            yield "/search?q=oak"
        elif draw < 0.15:
            yield dice.choice(recent)
        else:
            recent.append(
                f"/quote/{dice.choice(SKUS)}?customer={seed}-{number}&quantity={dice.randint(1, 999)}"
            )
            yield recent[-1]


class Load:
    def __init__(self, port: int, rate: float, clients: int, seed: str, method: str = "GET") -> None:
        self.port = port
        self.method = method
        self.gap = 1.0 / rate
        self.clients = clients
        self.targets = targets(seed)
        self.due: asyncio.Queue[str] = asyncio.Queue()
        self.tally = Tally()
        self.stopping = asyncio.Event()

    async def run(self, out: Path) -> None:
        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(self._client()) for _ in range(self.clients)]
            teller = group.create_task(self._tell(out))
            await self._pace()
            await self.due.join()
            for worker in workers:
                worker.cancel()
            teller.cancel()
        self._write(out)

    async def _pace(self) -> None:
        begun, sent = time.monotonic(), 0
        while not self.stopping.is_set():
            wanted = int((time.monotonic() - begun) / self.gap)
            for _ in range(wanted - sent):
                self.due.put_nowait(next(self.targets))
            sent = wanted
            await asyncio.sleep(0.005)

    async def _client(self) -> None:
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while True:
            target = await self.due.get()
            began = time.monotonic()
            try:
                async with asyncio.timeout(TIMEOUT):
                    if connection is None:
                        connection = await asyncio.open_connection("127.0.0.1", self.port)
                    status, keep = await ask(connection, target, self.method)
                fault = "" if 200 <= status < 300 else f"{status}"
            except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError) as error:
                fault, keep = type(error).__name__, False
            if not keep and connection is not None:
                connection[1].close()
                connection = None
            self._count(target, fault, (time.monotonic() - began) * 1000)
            self.due.task_done()

    def _count(self, target: str, fault: str, took_ms: float) -> None:
        self.tally.total += 1
        self.tally.slowest_ms = max(self.tally.slowest_ms, took_ms)
        if fault:
            self.tally.failed += 1
            if len(self.tally.faults) < 20:
                self.tally.faults.append(f"{time.time():.3f} {fault} {target}")

    async def _tell(self, out: Path) -> None:
        while True:
            await asyncio.sleep(TOLD_EVERY)
            self._write(out)

    def _write(self, out: Path) -> None:
        self.tally.at = time.time()
        with out.open("a") as file:
            file.write(json.dumps(asdict(self.tally)) + "\n")
        self.tally.slowest_ms = 0.0
        self.tally.faults.clear()


async def ask(
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], target: str, method: str = "GET"
) -> tuple[int, bool]:
    """The status, and whether the connection can be used again."""
    reader, writer = connection
    empty = "" if method == "GET" else "Content-Length: 0\r\n"
    writer.write(f"{method} {target} HTTP/1.1\r\nHost: catalog\r\n{empty}\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = int(head[9:12])
    length = next(
        (int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:")), None
    )
    if length is None:
        return status, False
    await reader.readexactly(length)
    return status, b"connection: close" not in head


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, default=400.0)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seed", default="load")
    parser.add_argument("--method", default="GET")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    asyncio.run(_main(options))


async def _main(options: argparse.Namespace) -> None:
    load = Load(options.port, options.rate, options.clients, options.seed, options.method)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, load.stopping.set)
    await load.run(options.out)


if __name__ == "__main__":
    main()
