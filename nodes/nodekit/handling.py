"""How does one handler get through its events? Up to `concurrency` at a time, and cheaply.

A few long-lived tasks take events in turn. While handlers end without waiting for anything, one of them
does all the work and no task is made for an event; when a handler waits, the next task goes on with the next.
"""

import asyncio
import concurrent.futures
import inspect
import logging
import re
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator, Mapping
from contextvars import copy_context
from dataclasses import dataclass
from time import monotonic
from types import coroutine
from typing import Any, Protocol

from .context import Context, Reject, Retry, Side
from .payload import Kind, reader
from .settling import HANDLED, LONGEST_REASON, Delivery
from .tracing import current
from .wire import REJECT, RETRY

# A busy handler lets others have the event loop after so long.
SLICE = 0.005
# Events between two looks at the clock, if those before took so long that the look could not come late.
SOON = 16
Entry = tuple[Delivery, int]
SECRET = re.compile(
    r"(?i)((?:pass(?:word|wd)?|secret|token|api[-_]?key|authorization|credential)s?[\"']?\s*[=:]\s*[\"']?)"
    r"(?:(?:bearer|basic)\s+)?[^\s\"',;&]+|(://[^\s/:@]*:)[^\s/@]+(?=@)"
)
logger = logging.getLogger("nodekit")
new = object.__new__


@dataclass(frozen=True, slots=True)
class Handler:
    """What `node.on` was told."""

    type: str
    call: Callable[[Any, Context], Any]
    kind: Kind | None = None
    attempts: int = 5
    timeout: float = 10.0
    concurrency: int = 16

    @property
    def in_threads(self) -> bool:
        return not (
            inspect.iscoroutinefunction(self.call) or inspect.iscoroutinefunction(type(self.call).__call__)
        )


@dataclass(slots=True)
class Outcome:
    """Why an event was not handled."""

    how: int
    after: float
    reason: str


class Results(Protocol):
    """Who is told what became of an event."""

    @property
    def side(self) -> Side: ...
    @property
    def lines(self) -> Mapping[int, object]:
        """Keys that have something at work. While there are some, each handled event is to be told."""
        ...

    def handled_so_far(self, delivery: Delivery) -> None:
        """Of these at least one may be marked as handled that was not told."""
        ...

    def handled(self, delivery: Delivery, place: int) -> None: ...
    def failed(self, delivery: Delivery, place: int, outcome: Outcome) -> None: ...


class Worker:
    """One of the tasks. `delivery` is None while it has nothing in hand."""

    __slots__ = ("began", "context", "delivery", "place", "wake")

    def __init__(self) -> None:
        self.delivery: Delivery | None = None
        self.context: Context | None = None
        self.place = 0
        self.began = 0.0
        self.wake: asyncio.Future[None] | None = None


class Handling:
    """The events that wait for one handler, and those who work on them."""

    def __init__(self, handler: Handler, results: Results, group: asyncio.TaskGroup) -> None:
        self.handler, self.results, self.group = handler, results, group
        self.loop = asyncio.get_running_loop()
        self.ready: deque[tuple[Delivery, Iterator[int]]] = deque()
        self.until = 0.0
        self.workers: list[Worker] = []
        self.idle: list[Worker] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.read = reader(handler.kind)
        self.threads: concurrent.futures.ThreadPoolExecutor | None = None
        if handler.in_threads:
            self.threads = concurrent.futures.ThreadPoolExecutor(handler.concurrency, f"on {handler.type}")

    def wake(self) -> None:
        """Somebody goes on with what is ready, if there is somebody."""
        if not self.ready:
            return
        if self.idle:
            worker = self.idle.pop()
            if worker.wake and not worker.wake.done():
                worker.wake.set_result(None)
        elif len(self.workers) < self.handler.concurrency:
            worker = Worker()
            self.workers.append(worker)
            self.tasks.append(self.group.create_task(self.work(worker), name=f"on {self.handler.type}"))

    def take(self) -> Entry | None:
        ready = self.ready
        while ready:
            delivery, places = ready[0]
            for place in places:
                return delivery, place
            ready.popleft()
        return None

    def in_hand(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.delivery is not None]

    def close(self) -> None:
        """Cuts off what is still at work."""
        for task in self.tasks:
            task.cancel()
        if self.threads:
            self.threads.shutdown(wait=False, cancel_futures=True)

    async def work(self, worker: Worker) -> None:
        while True:
            if not self.ready:
                current.set(None)
                worker.context = None
                worker.wake = self.loop.create_future()
                self.idle.append(worker)
                await worker.wake
                self.until = monotonic() + SLICE
            elif self.threads:
                entry = self.take()
                if entry is not None:
                    await self.in_thread(worker, *entry)
            else:
                await self.in_loop(worker, *self.ready[0])
                if monotonic() > self.until:
                    # One slice for all workers: while the first uses it the others step back.
                    await asyncio.sleep(0)
                    self.until = monotonic() + SLICE

    async def in_loop(self, worker: Worker, delivery: Delivery, places: Iterator[int]) -> None:
        """Until one handler waits for something, the slice is over, or nothing is left."""
        going = self.through(worker, delivery, places)
        try:
            waited = going.send(None)
        except StopIteration:
            return
        finally:
            self.results.handled_so_far(delivery)
        assert worker.context
        worker.delivery, worker.began = delivery, monotonic()
        self.wake()
        await self.go_on(worker, worker.context, carry_on(going, waited))

    async def through(self, worker: Worker, delivery: Delivery, places: Iterator[int]) -> None:
        """Handles one event after the other, all in one run: what is done here is done for every event.

        Once a handler has waited for something, its worker says what becomes of its event.
        """
        call, handled, lines, set = self.handler.call, self.results.handled, self.results.lines, current.set
        frame, marks, read = delivery.frame, delivery.marks, self.read if delivery.json else None
        delivered, data = (self.results.side, frame, self.handler.type), frame.data
        left, before = 1, monotonic()
        for place in places:
            event = data[place]
            worker.place = place
            worker.context = context = new(Context)
            # What Context.of does; a call would cost as much again.
            context._delivered, context._place, context.data = delivered, place, event
            set(context)
            try:
                await call(event if read is None else read(event), context)
            # Whatever a handler raises is about its event, and the mesh decides what becomes of that.
            except (Exception, asyncio.CancelledError) as error:
                if worker.delivery is not None:
                    raise
                self.ended(delivery, place, outcome_of(error, context))
            else:
                if worker.delivery is not None:
                    return
                if lines:
                    handled(delivery, place)
                else:
                    marks[place] = HANDLED
            left -= 1
            if not left:
                now = monotonic()
                if now > self.until:
                    return
                # The clock costs as much as all that is done here for an event that is soon handled.
                left = SOON if now - before < SLICE / SOON else 1
                before = now
        if self.ready and self.ready[0][1] is places:
            self.ready.popleft()

    async def go_on(self, worker: Worker, context: Context, going: Awaitable[None]) -> None:
        limit = asyncio.timeout(self.handler.timeout)
        outcome: Outcome | None = None
        try:
            async with limit:
                await going
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task and task.cancelling():
                self.told(worker, Outcome(RETRY, 0.0, "cut off when the node stopped"))
                raise
            outcome = outcome_of(error, context)
        except Exception as error:  # noqa: BLE001
            outcome = self.late(context) if limit.expired() else outcome_of(error, context)
        self.told(worker, outcome)

    async def in_thread(self, worker: Worker, delivery: Delivery, place: int) -> None:
        assert self.threads
        worker.delivery, worker.place, worker.began = delivery, place, monotonic()
        frame = delivery.frame
        context = Context.of((self.results.side, frame, self.handler.type), place, frame.data[place])
        self.wake()
        around = copy_context()
        around.run(current.set, context)
        running = self.loop.run_in_executor(self.threads, around.run, self.call, context, delivery.json)
        try:
            await asyncio.wait([running], timeout=self.handler.timeout)
            if not running.done():
                self.told(worker, self.late(context))
                # A thread cannot be stopped: its place is not free before it ends.
                await asyncio.wait([running])
        except asyncio.CancelledError:
            self.told(worker, Outcome(RETRY, 0.0, "cut off when the node stopped"))
            # The thread goes on, and what it ends with is nobody's any more.
            running.add_done_callback(_let_go)
            raise
        error = running.exception()
        self.told(worker, outcome_of(error, context) if error else None)

    def told(self, worker: Worker, outcome: Outcome | None) -> None:
        # Not what was taken: after a new connection the event may have come again, in another delivery.
        delivery, worker.delivery = worker.delivery, None
        if delivery is not None:
            self.ended(delivery, worker.place, outcome)

    def ended(self, delivery: Delivery, place: int, outcome: Outcome | None) -> None:
        if outcome is None:
            self.results.handled(delivery, place)
        else:
            self.results.failed(delivery, place, outcome)

    def call(self, context: Context, json: bool) -> None:
        result = self.handler.call(self.read(context.data) if json else context.data, context)
        if inspect.isawaitable(result):
            raise TypeError("a `def` handler returned something to await: make it `async def`")

    def late(self, context: Context) -> Outcome:
        reason = f"not handled within {self.handler.timeout:g} s"
        logger.warning("event %s of %s: %s", context.id, context.type, reason)
        return Outcome(RETRY, 0.0, reason)


def _let_go(running: "asyncio.Future[None]") -> None:
    if not running.cancelled():
        running.exception()


@coroutine
def carry_on(begun: Coroutine[Any, Any, Any], waited: Any) -> Generator[Any, Any, Any]:
    """Goes on with a coroutine that has begun and waits for something, in the task that awaits this."""
    sent = None
    while True:
        try:
            sent = yield waited
        except BaseException as error:  # noqa: BLE001 - the coroutine's own, to catch or not
            thrown: BaseException | None = error
        else:
            thrown = None
        try:
            waited = begun.send(sent) if thrown is None else begun.throw(thrown)
        except StopIteration as end:
            return end.value


def outcome_of(error: BaseException, context: Context) -> Outcome | None:
    """None when it means that all is well."""
    if isinstance(error, Retry):
        return Outcome(RETRY, error.after, reason_of(error))
    if isinstance(error, Reject):
        return Outcome(REJECT, 0.0, masked(str(error)))
    # Imported only by nodes that use a database.
    transaction = sys.modules.get(f"{__package__}.transaction")
    if transaction and isinstance(error, transaction.Repeated):
        return None
    logger.warning("event %s of %s was not handled", context.id, context.type, exc_info=error)
    return Outcome(RETRY, 0.0, reason_of(error))


def reason_of(error: BaseException) -> str:
    return masked(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)


def masked(text: str) -> str:
    """Reasons leave the node and are shown to people: nothing that looks like a secret goes with them."""
    short = " ".join(text[: 4 * LONGEST_REASON].split())
    return SECRET.sub(lambda found: f"{found[1] or found[2]}***", short)[:LONGEST_REASON]
