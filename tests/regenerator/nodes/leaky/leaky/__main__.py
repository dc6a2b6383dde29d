"""One line in, one page out."""

import asyncio
import os

from leaky.pages import page


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        text = page(line.decode().strip())
        writer.write(f"{len(text)} {text[:20]}\n".encode())
        await writer.drain()
    writer.close()


async def main() -> None:
    server = await asyncio.start_unix_server(serve, os.environ["NODED_LISTEN"].removeprefix("unix:"))
    await server.serve_forever()


asyncio.run(main())
