"""How are the calls counted that a gRPC server of the node answers?

    server = grpc.aio.server(interceptors=[counted(node)])
    server = grpc.server(threads, interceptors=[counted_in_threads(node)])

A call that streams its answers took until the first of them, any other one until its end. Needs the package
grpcio, as does whoever has such a server.
"""

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import TracebackType
from typing import Any, Protocol

# UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS; the others are the caller's.
FAULTS = frozenset((2, 4, 12, 13, 14, 15))
UNKNOWN = 2
# Whoever calls gives up at the same time as we do, and its word of it may come first.
NEAR = 0.05


class Counts(Protocol):
    """The node."""

    def answered(self, seconds: float, ok: bool = True) -> None: ...


def counted(node: Counts) -> Any:
    """An interceptor for grpc.aio.server. Raises ImportError without grpcio."""
    import grpc

    class Counted(grpc.aio.ServerInterceptor):
        async def intercept_service(self, go_on: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
            return measured(node, await go_on(details))

    return Counted()


def counted_in_threads(node: Counts) -> Any:
    """An interceptor for grpc.server. Raises ImportError without grpcio."""
    import grpc

    class Counted(grpc.ServerInterceptor):
        def intercept_service(self, go_on: Callable[[Any], Any], details: Any) -> Any:
            return measured(node, go_on(details))

    return Counted()


class Call:
    def __init__(self, node: Counts, context: Any) -> None:
        self.node, self.context = node, context
        self.began = time.monotonic()
        self.seconds = -1.0

    def first(self) -> None:
        if self.seconds < 0:
            self.seconds = time.monotonic() - self.began

    def __enter__(self) -> "Call":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.first()
        self.node.answered(self.seconds, not failed(self.context, kind))


class Noted:
    """A context that remembers the status: that of a plain function in an asyncio server does not tell it."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self._code: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def abort(self, code: Any, *more: Any, **named: Any) -> None:
        self._code = code
        self._context.abort(code, *more, **named)

    def set_code(self, code: Any) -> None:
        self._code = code
        self._context.set_code(code)

    def code(self) -> Any:
        return self._code


def failed(context: Any, kind: type[BaseException] | None) -> bool:
    """Whether the call ended by the server's fault."""
    gone = kind is not None and issubclass(kind, asyncio.CancelledError | GeneratorExit)
    left = context.time_remaining()
    if left is not None and left <= (NEAR if gone else 0.0):
        return True
    if gone:
        return False
    code = context.code()
    number = code.value[0] if hasattr(code, "value") else code
    return (number or (UNKNOWN if kind else 0)) in FAULTS


def measured(node: Counts, handler: Any) -> Any:
    """The same method handler, each call of which is counted. None is that of a method that is not there."""
    import grpc

    if handler is None:
        node.answered(0.0, ok=False)
        return None
    sides = handler.request_streaming, handler.response_streaming
    name = "_".join("stream" if streams else "unary" for streams in sides)
    make = getattr(grpc, f"{name}_rpc_method_handler")
    wrapped = wrap(node, getattr(handler, name), handler.response_streaming)
    return make(wrapped, handler.request_deserializer, handler.response_serializer)


def wrap(node: Counts, method: Callable[..., Any], streams: bool) -> Callable[..., Any]:
    """Of the same kind as the method: gRPC runs each kind another way."""
    if inspect.isasyncgenfunction(method):

        async def asyncs(request: Any, context: Any) -> AsyncIterator[Any]:
            with Call(node, context) as call:
                async for answer in method(request, context):
                    call.first()
                    yield answer

        return asyncs
    if inspect.iscoroutinefunction(method):

        async def one_async(request: Any, context: Any) -> Any:
            with Call(node, context):
                return await method(request, context)

        return one_async
    if streams:

        def many(request: Any, context: Any) -> Iterator[Any]:
            context = told(context)
            with Call(node, context) as call:
                for answer in method(request, context):
                    call.first()
                    yield answer

        return many

    def one(request: Any, context: Any) -> Any:
        context = told(context)
        with Call(node, context):
            return method(request, context)

    return one


def told(context: Any) -> Any:
    return context if hasattr(context, "code") else Noted(context)
