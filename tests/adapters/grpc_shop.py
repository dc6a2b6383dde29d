"""A gRPC program as the proxy sees it: one method that answers with the program's name.

In process (`GrpcServer`), or as a process to kill: `python grpc_shop.py SOCKET NAME`.
"""

import asyncio
import sys

import grpc

METHOD = "/shop.Ledger/Get"


class GrpcServer:
    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.calls = 0
        self.status = grpc.StatusCode.OK
        self._server = grpc.aio.server()
        self._server.add_insecure_port(address)
        get = grpc.unary_unary_rpc_method_handler(self._get)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("shop.Ledger", {"Get": get}),)
        )

    async def start(self) -> "GrpcServer":
        await self._server.start()
        return self

    async def stop(self) -> None:
        await self._server.stop(None)

    async def _get(self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        self.calls += 1
        if self.status is not grpc.StatusCode.OK:
            await context.abort(self.status, "as told")
        return self.name.encode()


async def call(channel: grpc.aio.Channel) -> str:
    """The name of who answered; the status where it went wrong."""
    try:
        return (await channel.unary_unary(METHOD)(b"", timeout=10)).decode()
    except grpc.aio.AioRpcError as error:
        return str(error.code().name)


async def _main() -> None:
    await GrpcServer(sys.argv[2], f"unix:{sys.argv[1].removeprefix('unix:')}").start()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
