"""The mesh as nodectl sees it through noded: what the scripted noded answers of events."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Protocol

from nodeapi.v1 import mesh_pb2
from nodeapi.v1.mesh_pb2_grpc import MeshControlServicer


class Script(Protocol):
    events: list[mesh_pb2.Event]

    async def _answer(self, method: str, request: Any, context: Any) -> Any: ...

    async def _begin(self, method: str, request: Any, context: Any) -> None: ...

    async def _go_down(self, method: str, context: Any) -> None: ...


class FakeMeshControl(MeshControlServicer):
    """Answers with what `script` has in `answers` and `events`; it fails and goes down like it."""

    def __init__(self, script: Script) -> None:
        self._script = script

    async def Tail(self, request: Any, context: Any) -> AsyncIterator[mesh_pb2.Event]:
        await self._script._begin("Tail", request, context)
        for event in self._script.events:
            if event.position > request.after:
                yield event
        await self._script._go_down("Tail", context)
        if not request.stop_at_end:
            await asyncio.Event().wait()

    async def GetMap(self, request: Any, context: Any) -> Any:
        return await self._script._answer("GetMap", request, context)

    async def Show(self, request: Any, context: Any) -> Any:
        return await self._script._answer("Show", request, context)

    async def Send(self, request: Any, context: Any) -> Any:
        return await self._script._answer("Send", request, context)

    async def Replay(self, request: Any, context: Any) -> Any:
        return await self._script._answer("Replay", request, context)

    async def ListDead(self, request: Any, context: Any) -> Any:
        return await self._script._answer("ListDead", request, context)

    async def RequeueDead(self, request: Any, context: Any) -> Any:
        return await self._script._answer("RequeueDead", request, context)

    async def DropDead(self, request: Any, context: Any) -> Any:
        return await self._script._answer("DropDead", request, context)

    async def GetTrace(self, request: Any, context: Any) -> Any:
        return await self._script._answer("GetTrace", request, context)
