"""What is a node to its author? One object that serves, reports and stops; everything else hides behind it.

    node = Node()

    @node.get("/price/{sku}")
    def price(request, sku):
        return {"sku": sku, "price": 12}

    node.main()

The routes are a convenience. Any other server may listen on `node.listen`: start it in `on_start`,
end it in `on_stop`.
"""

import asyncio
import concurrent.futures
import inspect
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TypeVar, Unpack

from . import memory
from .answered import Answered
from .caches import Cache, Caches
from .events import Events, More, PublishNow
from .http import Limits
from .listen import Listen
from .orders import Orders, Refused, Result
from .profile import Profile
from .pulse import Pulse
from .routes import Routes
from .server import Server
from .session import PERIOD, Session

F = TypeVar("F", bound=Callable[..., Any])
Hook = Callable[[], Awaitable[None] | None]
Work = Callable[[], Coroutine[Any, Any, None]]
# How long an order waits for a busy event loop before it is refused.
PATIENCE = 2.0
STOP_TIMEOUT = 25.0
# What the last requests must leave of the stop timeout for on_stop, which may have state to save.
HOOKS_PART = 0.1
logger = logging.getLogger("nodekit")


class Node:
    """Reads the environment once. Raises ValueError for a value that noded would not have set."""

    def __init__(self, environ: Mapping[str, str] | None = None, *, limits: Limits | None = None) -> None:
        environ = os.environ if environ is None else environ
        self.name = environ.get("NODED_NODE", "node")
        self.instance = environ.get("NODED_INSTANCE", f"{self.name}.0")
        self.version = environ.get("NODED_VERSION", "0")
        self.data = environ.get("NODED_DATA", "")
        self.listen = Listen.parse(environ["NODED_LISTEN"]) if environ.get("NODED_LISTEN") else None
        self.stop_timeout = seconds(environ, "NODED_STOP_TIMEOUT", STOP_TIMEOUT)
        self._sockets = environ.get("NOTIFY_SOCKET", ""), environ.get("NODED_ORDERS", "")
        self._period = seconds(environ, "NODED_HEARTBEAT", PERIOD)
        self._limits = limits or Limits()
        self._routes = Routes(self._limits.answer)
        self._caches = Caches()
        self._profile = Profile(os.getcwd())
        self._pulse = Pulse()
        self._progress = 0
        self._answered = Answered()
        self.use(Events(self.name, self.instance, self.version, environ))
        # A canary is there to be tried, a spare to wait.
        self._waits = environ.get("NODED_ACTIVE") == "0" and environ.get("NODED_ROLE") != "canary"
        self._active, self._stopping = asyncio.Event(), asyncio.Event()
        if environ.get("NODED_ACTIVE") != "0":
            self._active.set()
        self._starts: list[Hook] = []
        self._stops: list[Hook] = []
        self._works: list[Work] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: Server | None = None
        self._session: Session | None = None

    def use(self, events: Events) -> None:
        self.events = events
        self.publish_nowait: PublishNow = events.publish_nowait
        """Does not wait: await the receipt, or not. Any thread may ask. Raises BufferFull, too."""
        # Not a method of its own: to hand on its arguments would cost as much as the rest.

    # What the author declares

    def route(self, method: str, path: str) -> Callable[[F], F]:
        def add(answer: F) -> F:
            self._routes.add(method, path, answer)
            return answer

        return add

    def get(self, path: str) -> Callable[[F], F]:
        """Answers GET and HEAD. The function gets the request and the path's parameters; it may be async."""
        return self.route("GET", path)

    def post(self, path: str) -> Callable[[F], F]:
        return self.route("POST", path)

    def on(
        self, event: type | str, *, attempts: int = 5, timeout: float = 10.0, concurrency: int = 16
    ) -> Callable[[F], F]:
        """Handles events of that type, or of the class's TYPE: the function gets the event and its context.

        After `attempts` tries an event is set aside. An `async def` may run `concurrency` times at once, a
        `def` in as many threads. Retry and Reject say what becomes of an event; any other error means retry.
        """
        return self.events.on(event, attempts=attempts, timeout=timeout, concurrency=concurrency)

    def on_start(self, hook: F) -> F:
        """Runs before the node listens and says that it is ready."""
        self._starts.append(hook)
        return hook

    def on_stop(self, hook: F) -> F:
        """Runs after the last request was answered."""
        self._stops.append(hook)
        return hook

    def task(self, work: F) -> F:
        """Runs beside the requests from readiness on; cancelled at the stop. If it fails, the node fails."""
        self._works.append(work)
        return work

    def cache(self, name: str, limit: int) -> Cache[Any, Any]:
        """A bounded mapping that noded may see and shrink."""
        cache: Cache[Any, Any] = Cache(limit)
        self._caches.add(name, cache)
        return cache

    def register(self, cache: F, name: str = "") -> F:
        """Shows noded a cache made elsewhere: an lru_cache function, or anything with len() and shrink(n)."""
        self._caches.add(name or getattr(cache, "__qualname__", type(cache).__name__), cache)
        return cache

    # What the running node asks and says

    async def publish(self, event: object, **more: Unpack[More]) -> str:
        """Returns the event's id when it is on disk; waits while there is no mesh or no room.

        Raises ContractBroken, PublishRefused, NoMesh; TypeError and ValueError for data that JSON cannot say.
        """
        return await self.events.publish(event, **more)

    async def room(self) -> None:
        """Waits until no more than half of what may wait for the mesh does."""
        await self.events.room()

    def outbox(self, db: Any) -> None:
        """Publishes what an earlier life left in that database: call it in on_start."""
        self.events.outboxes.outbox(db)

    @property
    def is_active(self) -> bool:
        return self._active.is_set()

    @property
    def _held(self) -> bool:
        return self.listen is not None and self.listen.fd >= 0

    async def active(self) -> None:
        """Returns once this instance may act on its own: a spare or canary waits here."""
        await self._active.wait()

    def progress(self, count: int = 1) -> None:
        """Work done besides requests, which count anyway: noded tells a busy node from a stuck one by it."""
        self._progress += count

    def answered(self, seconds: float, ok: bool = True) -> None:
        """A request that another server than this one's answered: after how long, and whether well.

        Not `ok` is what is the node's own fault, as HTTP's 5xx. Any thread may tell. By these figures noded
        compares a new version with the one before.
        """
        self._answered.add(seconds, ok)
        self._progress += 1

    def status(self, text: str) -> None:
        self._say("STATUS=" + " ".join(text.split())[:1000])

    def stop(self) -> None:
        """What SIGTERM does."""
        self._stopping.set()

    # Its life

    def main(self) -> NoReturn:
        """Serves until SIGTERM or Ctrl-C, then drains and exits with 0."""
        try:
            code = asyncio.run(self.run())
        except (OSError, ValueError):
            logger.exception("node %s cannot go on", self.name)
            code = 1
        sys.exit(code)

    async def run(self) -> int:
        """The exit status: 0, or 1 when the stop timeout cut off what was still running."""
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self.stop)
        self._pulse.start(self._loop)
        if any(self._sockets):
            orders = Orders(self._caches, self._profile, self._on_loop, self._activate, self._describe)
            self._session = Session(*self._sockets, self._report, orders.obey, self._period)
            self._pulse.on_late = self._session.beat_soon
        try:
            self.events.open(Path.cwd())
            for hook in self._starts:
                await called(hook)
            works = list(self._works)
            if self._routes and self._held and not self.is_active:
                # Another instance accepts on the same socket until it is this one's turn.
                works.append(self._serve_in_turn)
            elif self._routes:
                await self._serve()
            async with asyncio.TaskGroup() as group:
                if self._waits:
                    works.append(partial(self._consume_in_turn, group))
                else:
                    self.events.consume(group)
                working = [group.create_task(work()) for work in works]
                if self._session:
                    self._session.say_ready()
                await self._stopping.wait()
                return await self._finish(working)
        finally:
            self._pulse.stop()
            if self._session:
                self._session.close()

    async def _serve_in_turn(self) -> None:
        await self.active()
        await self._serve()

    async def _consume_in_turn(self, group: asyncio.TaskGroup) -> None:
        await self.active()
        self.events.consume(group)

    async def _serve(self) -> None:
        if self.listen is None:
            raise ValueError("NODED_LISTEN is not set: start the node with noded or with `nodekit run`")
        self._server = Server(self._routes, self._limits, self._answered)
        await self._server.start(self.listen.bind())

    async def _finish(self, works: list[asyncio.Task[None]]) -> int:
        deadline = time.monotonic() + self.stop_timeout
        self._say("STOPPING=1")
        before_hooks = deadline - (HOOKS_PART * self.stop_timeout if self._stops else 0.0)
        async with asyncio.TaskGroup() as both:
            events = both.create_task(self.events.stop_consuming(before_hooks))
            cut = await self._server.drain(before_hooks) if self._server else 0
        if cut:
            logger.warning("requests cut off at the stop timeout of %g s: %d", self.stop_timeout, cut)
        if events.result():
            late = "events cut off at the stop timeout of %g s, to come again: %d"
            logger.warning(late, self.stop_timeout, events.result())
        for work in works:
            work.cancel()
        if works:
            await asyncio.wait(works, timeout=max(0.0, deadline - time.monotonic()))
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                for hook in self._stops:
                    await called(hook)
        except TimeoutError:
            logger.warning("on_stop did not end within the stop timeout of %g s", self.stop_timeout)
            cut += 1
        lost = await self.events.close(deadline)
        if lost:
            logger.error("events published and not yet on disk when the stop timeout ended: %d", lost)
        return 1 if cut or lost else 0

    # What the session's thread asks for

    def _say(self, text: str) -> None:
        if self._session:
            self._session.send(text)

    def _report(self) -> Result:
        if self._profile.overdue:
            logger.warning("nobody ended the memory profile; it ends now")
            self._profile.abandon()
        return {
            "lag": round(self._pulse.lag(), 6),
            "stuck": round(self._pulse.overdue(), 6),
            "oldest": round(self._server.oldest(), 3) if self._server else 0.0,
            "progress": self._work_done(),
            "rss": memory.rss(),
            "caches": self._caches.report(),
            "answers": self._answered.report(),
        }

    def _work_done(self) -> int:
        return self._progress + self.events.done + (self._server.answered if self._server else 0)

    def _activate(self) -> None:
        assert self._loop
        self._loop.call_soon_threadsafe(self._active.set)

    def _describe(self) -> Result:
        session = self._session
        return {
            "lag": round(self._pulse.overdue(), 6),
            "progress": self._work_done(),
            "rss": memory.rss(),
            "caches": self._caches.report(),
            "answers": self._answered.report(),
            "node": self.name,
            "instance": self.instance,
            "version": self.version,
            "pid": os.getpid(),
            "python": sys.version.split()[0],
            "active": self.is_active,
            "stopping": self._stopping.is_set(),
            "profiling": self._profile.running,
            "connections": len(self._server.connections) if self._server else 0,
            "dropped": session.dropped if session else 0,
            "refused": session.refused if session else 0,
            "stack": main_stack(),
        }

    def _on_loop(self, call: Callable[[], object]) -> object:
        """Runs `call` on the event loop and waits for it. Raises Refused when the loop stays busy."""
        assert self._loop
        done: concurrent.futures.Future[object] = concurrent.futures.Future()

        def visit() -> None:
            if not done.set_running_or_notify_cancel():
                return
            try:
                done.set_result(call())
            except Exception as error:  # noqa: BLE001 - raised again in the waiting thread
                done.set_exception(error)

        self._loop.call_soon_threadsafe(visit)
        try:
            return done.result(timeout=PATIENCE)
        except concurrent.futures.TimeoutError:
            if done.cancel():
                raise Refused(f"the event loop was busy for {PATIENCE:g} s") from None
            return done.result()


async def called(hook: Hook) -> None:
    result = hook()
    if inspect.isawaitable(result):
        await result


def main_stack() -> list[str]:
    """Where the main thread is, innermost first: `file:line function`."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    stack = traceback.extract_stack(frame, limit=30) if frame else []
    return [f"{each.filename}:{each.lineno} {each.name}" for each in reversed(stack)]


def seconds(environ: Mapping[str, str], key: str, default: float) -> float:
    text = environ.get(key, "")
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 86400:
        raise ValueError(f"{key}: expected seconds such as 25, got {text!r}")
    return value
