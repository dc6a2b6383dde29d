"""Which output is read when somebody asks for that of a node?"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc

from nodeapi.v1 import control_pb2 as pb
from noded.adapters.control_desk import INSTANCE, Desk, named, reading, refuse

FOLLOW = 0.25


async def read_logs(
    desk: Desk, request: pb.ReadLogsRequest, context: Any
) -> AsyncIterator[pb.ReadLogsResponse]:
    logs, places, found = desk.logs, {}, False
    for name, instead in await _log_names(desk, request, context):
        if found and instead:
            break
        tail = asyncio.to_thread(logs.tail, request.node, name, request.lines or 100)
        text, places[name] = await reading(context, tail)
        if text:
            found = True
            yield pb.ReadLogsResponse(instance=name, text=text)
    while request.follow:
        await asyncio.sleep(FOLLOW)
        if not request.instance:
            node = desk.view().nodes.get(request.node)
            places = {name: places.get(name, 0) for name in (node.instances if node else ())} | places
        for name, place in places.items():
            since = asyncio.to_thread(logs.since, request.node, name, place)
            text, places[name] = await reading(context, since)
            if text:
                yield pb.ReadLogsResponse(instance=name, text=text)


async def _log_names(desk: Desk, request: pb.ReadLogsRequest, context: Any) -> Sequence[tuple[str, bool]]:
    """Those that run; then those that ended, newest first, each instead of all before that say nothing."""
    await named(request.node, context)
    if request.instance and not INSTANCE.fullmatch(request.instance):
        text = f"not an instance's name: {request.instance[:48]!r}"
        await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, text)
    node = desk.view().nodes.get(request.node)
    written = desk.logs.instances(request.node)
    if node is None and not written:
        await refuse(context, grpc.StatusCode.NOT_FOUND, f"no such node: {request.node}")
    if request.instance:
        if request.instance not in (*written, *(node.instances if node else ())):
            text = f"no such instance of {request.node}: {request.instance}"
            await refuse(context, grpc.StatusCode.NOT_FOUND, text)
        return ((request.instance, False),)
    alive = [name for name in written if node is not None and name in node.instances]
    ended = [name for name in reversed(written) if name not in alive]
    return [*((name, False) for name in alive), *((name, True) for name in ended)]
