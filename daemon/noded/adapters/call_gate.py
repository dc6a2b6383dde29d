"""May this call be made, and who is told that it was?

Every call passes here once: with the caller the kernel named, the role the call needs, and a line in
the audit for whatever changes something or reads what is protected.
"""

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, cast

import grpc
import grpc.aio

from noded.adapters.audit import Asked, Audit
from noded.adapters.call_words import described, done, line
from noded.adapters.peercred import Caller, Context, Handler, caller
from noded.adapters.roles import WHOLE, Role, Roles, needed
from noded.ports import Clock

log = logging.getLogger("noded")

FIRST_MESSAGE = 10.0
"""Seconds that a caller has to say what it wants to send."""
ONCE_PER = 60.0
"""Seconds in which what is read again and again is one line: nobody floods others' lines out."""
DENIED_ONCE_PER = 3600.0
MOST_DENIED = 30
"""Lines in an hour about what was denied, to all callers together: one person may have thousands of uids."""
MOST_RECENT = 1000
LASTING = ("Exec", "RunTests")
"""Noted also when they begin: what they do is done whether or not anybody hears of the end."""

# By whether the request is a stream: the makers for one answer and for a stream of them.
_BY_KIND: dict[bool, tuple[Callable[..., Any], Callable[..., Any]]] = {
    False: (grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler),
    True: (grpc.stream_unary_rpc_method_handler, grpc.stream_stream_rpc_method_handler),
}


@dataclass(slots=True)
class Gate(grpc.aio.ServerInterceptor):
    """Answers PERMISSION_DENIED unless the caller has the role that the table in roles.py asks for."""

    roles: Roles
    audit: Audit
    clock: Clock
    policy: str
    """Path of policy.toml, for people who are denied something."""
    patience: float = FIRST_MESSAGE
    _recent: dict[tuple[int, str], float] = field(default_factory=dict)
    _denied: list[float] = field(default_factory=list)
    """When lines about denied calls were written, in the last hour."""

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        inner = await continuation(handler_call_details)
        # The caller is known only once the handler runs, so the handler is wrapped.
        return None if inner is None else self._guarded(inner, handler_call_details.method)

    def _guarded(self, inner: "Handler", method: str) -> "Handler":
        # The stubs of grpcio describe its threaded handlers; these are asynchronous.
        behaviour = cast(
            Callable[[Any, Context], Any],
            inner.unary_unary or inner.unary_stream or inner.stream_unary or inner.stream_stream,
        )
        once, many = _BY_KIND[inner.request_streaming]

        async def answer(said: Any, context: Context) -> Any:
            request = said
            if inner.request_streaming:
                request, said = await _first(said, context, self.patience)
            call = await self._admitted(method, request, context)
            try:
                response = await behaviour(said, context)
            except BaseException as error:
                call.ended(_why(error, context))
                raise
            call.ended("accepted", done(response))
            return response

        async def answers(request: Any, context: Context) -> AsyncIterator[Any]:
            call = await self._admitted(method, request, context)
            found = behaviour(request, context)
            if inspect.isawaitable(found):
                await found  # it answers through context.write
                return
            try:
                async with aclosing(found) as stream:
                    async for one in stream:
                        call.ended("accepted")
                        yield one
            except Exception as error:
                call.ended(_why(error, context))
                raise
            call.ended("accepted")

        make, guarded = (many, answers) if inner.response_streaming else (once, answer)
        return cast("Handler", make(guarded, inner.request_deserializer, inner.response_serializer))

    async def _admitted(self, method: str, request: Any, context: Context) -> "_Call":
        try:
            who = caller(context)
        except PermissionError as error:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, str(error))
        need, name = needed(method, request), method.rpartition("/")[2]
        # Who needs no role is not looked up: the version is told also while the databases hang.
        role = await self.roles.of(who) if need else Role.NOBODY
        text = described(name, request, whole=role >= WHOLE) if role >= need else name
        user = (await self.roles.user(who.uid)).name if text else ""
        call = _Call(self, who, user, str(role), name, text, need)
        if role < need:
            call.ended(f"denied: needs {need}")
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, self._denial(call, need))
        if name in LASTING:
            call.told("begun")
        return call

    def _denial(self, call: "_Call", need: Role) -> str:
        entry = f"user:{call.user}" if call.user else f"uid:{call.who.uid}"
        return (
            f"uid {call.who.uid} may not call {call.name}: it needs the role {need}, yours is {call.role}; "
            f'an administrator can add "{entry}" to {need} under [roles] in {self.policy}'
        )

    def note(self, call: "_Call", answer: str, what: str) -> None:
        now, denied = self.clock.now(), answer.startswith("denied")
        if denied:
            # What is denied is told apart by the call's name alone: the rest is the caller's to choose.
            self._denied = [at for at in self._denied if now - at < DENIED_ONCE_PER]
            if not self._first_in(DENIED_ONCE_PER, (call.who.uid, call.name), now):
                return
            if len(self._denied) >= MOST_DENIED:
                log.warning("audit: not kept, too many in an hour: %s: %s: %s", call.who, what, answer)
                return
            self._denied.append(now)
        elif call.need <= Role.VIEWER and not self._first_in(ONCE_PER, (call.who.uid, what), now):
            return
        self.audit.note(Asked(now, line(call.user), call.who.uid, call.who.pid, call.role, what, answer))

    def _first_in(self, seconds: float, key: tuple[int, str], now: float) -> bool:
        if now - self._recent.get(key, -seconds) < seconds:
            return False
        if len(self._recent) >= MOST_RECENT:
            self._recent.clear()
        self._recent[key] = now
        return True


@dataclass(slots=True)
class _Call:
    """One call on its way; `ended` counts once."""

    gate: Gate
    who: Caller
    user: str
    role: str
    name: str
    text: str
    """What the audit calls it; empty when it is none of the audit's business."""
    need: Role
    over: bool = False

    def ended(self, answer: str, what: str = "") -> None:
        if not self.over:
            self.over = True
            self.told(answer, what)

    def told(self, answer: str, what: str = "") -> None:
        if self.text:
            self.gate.note(self, answer, what or self.text)


async def _first(
    said: AsyncIterator[Any], context: Context, patience: float
) -> tuple[Any, AsyncIterator[Any]]:
    """The first message, None when there is none, and all of them again."""
    try:
        async with asyncio.timeout(patience):
            first = await anext(said, None)
    except TimeoutError:
        text = f"nothing came within {patience:g} s of the call"
        await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, text)

    async def again() -> AsyncIterator[Any]:
        if first is not None:
            yield first
            async for one in said:
                yield one

    return first, again()


def _why(error: BaseException, context: Context) -> str:
    if isinstance(error, asyncio.CancelledError):
        return "the caller went away"
    text = str(context.details() or "")
    return f"refused: {line(text)}" if text else "failed: a mistake of noded's own, see its log"
