"""Is every call that a gRPC server answers counted, and blamed on the server only where it is to blame?"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

from nodekit.grpc_answers import counted, counted_in_threads
from tests.adapters.looped import looped, until
from tests.nodekit.noded_side import DEADLINE

CODE = grpc.StatusCode


class Told:
    """What a node was told."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, bool]] = []

    def answered(self, seconds: float, ok: bool = True) -> None:
        self.calls.append((seconds, ok))

    async def one(self) -> tuple[float, bool]:
        async def there() -> bool:
            return bool(self.calls)

        await until(there)
        (call,) = self.calls
        self.calls.clear()
        return call


async def good(request: bytes, context: Any) -> bytes:
    return request


async def raising(request: bytes, context: Any) -> bytes:
    raise ValueError("a fault")


async def missing(request: bytes, context: Any) -> bytes:
    await context.abort(CODE.NOT_FOUND, "no such thing")
    return b""


async def broken(request: bytes, context: Any) -> bytes:
    context.set_code(CODE.UNAVAILABLE)
    return b""


async def slow(request: bytes, context: Any) -> bytes:
    await asyncio.sleep(3600)
    return b""


async def stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
    yield request
    await asyncio.sleep(0.3)  # What is measured is the time before the first answer, not this one.
    yield request


async def collect(requests: AsyncIterator[bytes], context: Any) -> bytes:
    return b"".join([each async for each in requests])


def plain(request: bytes, context: Any) -> bytes:
    if request == b"missing":
        context.abort(CODE.NOT_FOUND, "no such thing")
    if request == b"broken":
        context.set_code(CODE.DATA_LOSS)
    if request == b"raise":
        raise ValueError("a fault")
    if request == b"late":
        time.sleep(0.3)  # Beyond the caller's time limit.
    return request


def many(request: bytes, context: Any) -> Iterator[bytes]:
    yield request
    if request == b"raise":
        raise ValueError("a fault")
    yield request


UNARY: dict[str, Any] = {
    f.__name__: grpc.unary_unary_rpc_method_handler(f) for f in (good, raising, missing, broken, slow)
}
METHODS: dict[str, Any] = {
    **UNARY,
    "plain": grpc.unary_unary_rpc_method_handler(plain),
    "stream": grpc.unary_stream_rpc_method_handler(stream),
    "many": grpc.unary_stream_rpc_method_handler(many),
    "collect": grpc.stream_unary_rpc_method_handler(collect),
}


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Told, Any]]:
    told = Told()
    server = grpc.aio.server(interceptors=[counted(told)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", METHODS),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield told, channel
    finally:
        await server.stop(0)


async def ask(channel: Any, method: str, request: bytes = b"x", timeout: float = 10.0) -> Any:
    try:
        await channel.unary_unary(f"/t.T/{method}")(request, timeout=timeout)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return CODE.OK


@pytest.mark.parametrize(
    ("method", "request_", "code", "ok"),
    [
        ("good", b"x", CODE.OK, True),
        ("raising", b"x", CODE.UNKNOWN, False),
        ("missing", b"x", CODE.NOT_FOUND, True),
        ("broken", b"x", CODE.UNAVAILABLE, False),
        ("nowhere", b"x", CODE.UNIMPLEMENTED, False),
        ("plain", b"x", CODE.OK, True),
        ("plain", b"missing", CODE.NOT_FOUND, True),
        ("plain", b"broken", CODE.DATA_LOSS, False),
        ("plain", b"raise", CODE.UNKNOWN, False),
    ],
)
@looped
async def test_who_is_to_blame(method: str, request_: bytes, code: CODE, ok: bool) -> None:
    async with serving() as (told, channel):
        assert await ask(channel, method, request_) == code
        assert (await told.one())[1] is ok


@looped
async def test_a_deadline_that_passed_is_the_servers_fault_and_a_caller_that_left_is_not() -> None:
    async with serving() as (told, channel):
        assert await ask(channel, "slow", timeout=0.2) == CODE.DEADLINE_EXCEEDED
        seconds, ok = await told.one()
        assert (0.1 < seconds < DEADLINE, ok) == (True, False)
        for timeout in (None, 30.0):
            call = channel.unary_unary("/t.T/slow")(b"x", timeout=timeout)
            await asyncio.sleep(0.1)
            call.cancel()
            assert (await told.one())[1] is True


@looped
async def test_a_stream_took_until_its_first_answer() -> None:
    async with serving() as (told, channel):
        call = channel.unary_stream("/t.T/stream")(b"x")
        assert [each async for each in call] == [b"x", b"x"]
        seconds, ok = await told.one()
        assert (seconds < 0.25, ok) == (True, True)
        call = channel.unary_stream("/t.T/many")(b"raise")
        with pytest.raises(grpc.aio.AioRpcError):
            assert [each async for each in call] == [b"x"]
        assert (await told.one())[1] is False
        assert await channel.stream_unary("/t.T/collect")(iter([b"a", b"b"])) == b"ab"
        assert (await told.one())[1] is True


@contextmanager
def threads() -> Iterator[tuple[Told, Any]]:
    told = Told()
    server = grpc.server(ThreadPoolExecutor(2), interceptors=[counted_in_threads(told)])
    methods: dict[str, Any] = {
        "plain": grpc.unary_unary_rpc_method_handler(plain),
        "many": grpc.unary_stream_rpc_method_handler(many),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield told, channel
    finally:
        server.stop(0).wait(DEADLINE)


@pytest.mark.parametrize(
    ("request_", "code", "ok"),
    [
        (b"x", CODE.OK, True),
        (b"missing", CODE.NOT_FOUND, True),
        (b"broken", CODE.DATA_LOSS, False),
        (b"raise", CODE.UNKNOWN, False),
        (b"late", CODE.DEADLINE_EXCEEDED, False),
    ],
)
def test_a_server_with_threads(request_: bytes, code: CODE, ok: bool) -> None:
    with threads() as (told, channel):
        found = CODE.OK
        try:
            channel.unary_unary("/t.T/plain")(request_, timeout=0.1 if request_ == b"late" else 10)
        except grpc.RpcError as error:
            found = error.code()
        assert found == code
        assert asyncio.run(told.one())[1] is ok


def test_streams_of_a_server_with_threads() -> None:
    with threads() as (told, channel):
        assert list(channel.unary_stream("/t.T/many")(b"x")) == [b"x", b"x"]
        assert asyncio.run(told.one())[1] is True
        with pytest.raises(grpc.RpcError):
            list(channel.unary_stream("/t.T/many")(b"raise"))
        assert asyncio.run(told.one())[1] is False
