"""Orders for a busy host, many at a time and cheap: one JSON object a line in, one line of answer out.

Its own program, because a process that speaks gRPC must not fork. Orders wait while noded is away.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc

from nodeapi.v1 import control_pb2 as pb
from nodeapi.v1 import control_pb2_grpc
from nodespec.release import pack

PATIENCE = 40.0
CHUNK = 64 * 1024


async def main(control: str) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    options = [("grpc.max_reconnect_backoff_ms", 200), ("grpc.initial_reconnect_backoff_ms", 50)]
    async with grpc.aio.insecure_channel(f"unix:{control}", options=options) as channel:
        stub = control_pb2_grpc.ControlServiceStub(channel)
        async with asyncio.TaskGroup() as group:
            while line := await reader.readline():
                group.create_task(obey(stub, json.loads(line)))


async def obey(stub: control_pb2_grpc.ControlServiceStub, order: dict[str, str]) -> None:
    """Once: an order that was under way when noded died may or may not have been done."""
    answer = {**order, "said": "done"}
    try:
        if "folder" in order:
            await stub.Apply(parts(Path(order["folder"])), timeout=PATIENCE, wait_for_ready=True)
        else:
            verb = pb.Verb.Value(f"VERB_{order['verb'].upper()}")
            asked = pb.CommandRequest(verb=verb, node=order["node"])
            await stub.Command(asked, timeout=PATIENCE, wait_for_ready=True)
    except grpc.aio.AioRpcError as error:
        answer["said"] = f"{error.code().name}: {error.details()}"
    print(json.dumps(answer), flush=True)


async def parts(folder: Path) -> AsyncIterator[pb.ApplyRequest]:
    blob = pack(folder).blob
    yield pb.ApplyRequest(header=pb.ApplyHeader(size=len(blob)))
    for place in range(0, len(blob), CHUNK):
        yield pb.ApplyRequest(chunk=blob[place : place + CHUNK])


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
