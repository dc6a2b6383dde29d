"""Names nobody asked for before, and now and then one again."""

import asyncio
import os
import secrets
import sys


async def main() -> int:
    run, count = secrets.token_hex(4), int(os.environ.get("NODED_SOAK_REQUESTS", "4000"))
    reader, writer = await asyncio.open_unix_connection(os.environ["NODED_LISTEN"].removeprefix("unix:"))
    for number in range(count):
        name = f"{run}-{number}" if number % 10 else f"{run}-{max(number - 5, 0)}"
        writer.write(f"{name}\n".encode())
        answer = await reader.readline()
        if name.encode() not in answer:
            print(f"soak: asked for {name}, got {answer!r}")
            return 1
    return 0


sys.exit(asyncio.run(main()))
