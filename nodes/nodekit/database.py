"""How is a transaction run on the author's own connection, be it sqlite3's or psycopg's, plain or async?

psycopg is not imported here: its connections are known by what they can do. Statements are written once, with
`?` for values.
"""

import asyncio
import logging
import sqlite3
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from inspect import isawaitable, iscoroutinefunction
from typing import Any, TypeVar

T = TypeVar("T")
Rows = list[tuple[Any, ...]]
Answer = tuple[Rows, int]
"""Rows, and how many were changed."""
Steps = Generator[tuple[str, Sequence[object]], Answer, T]
"""Statements of a transaction; each is answered before the next one comes."""

# Between two looks at a database that another writer holds: SQLite's own waiting would stop the event loop.
PAUSE = 0.002
BUSY_FOR = 10.0
logger = logging.getLogger("nodekit")
ENDED = "the transaction was ended inside its own block: leave commit to `ctx.transaction`"
# What libpq says about a connection's transaction.
IDLE, OPEN, IN_ERROR = 0, 2, 3


class Busy(Exception):
    """Another writer held the database all the time; trying later may help."""


class Misused(Exception):
    """The connection is in a state in which no transaction can begin or end; the text says what to do."""


class Database(ABC):
    """One connection. What it does may have to be awaited: `is_async` tells."""

    is_async = False
    blob, row, key = "BLOB", "rowid", "INTEGER PRIMARY KEY AUTOINCREMENT"
    now = "((julianday('now') - 2440587.5) * 86400.0)"
    busy_for = BUSY_FOR
    exists = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    guard = ""
    """Said before tables are made."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.lock = asyncio.Lock()
        self.thread_lock = threading.Lock()
        self.users = 0

    @property
    @abstractmethod
    def identity(self) -> str:
        """Which database it is, for all connections to it; "" when no other connection reaches it."""

    @abstractmethod
    def begin(self, patient: bool) -> Any:
        """False when the database is busy and the caller is not patient."""

    @abstractmethod
    def execute(self, statement: str, values: Sequence[object]) -> Any: ...

    @abstractmethod
    def commit(self) -> Any: ...

    @abstractmethod
    def rollback(self) -> Any: ...

    @abstractmethod
    def opener(self) -> Callable[[], Any]:
        """Makes further connections to the same database, in any thread."""

    def close(self) -> Any:
        return self.connection.close()

    # In one's own thread

    def enter(self) -> None:
        if self.is_async:
            raise Misused("this connection is async: write `async with ctx.transaction(db)`")
        self.thread_lock.acquire()
        try:
            self.begin(True)
        except BaseException:
            self.thread_lock.release()
            raise

    def drive(self, steps: Steps[T]) -> T:
        answer: Any = None
        while True:
            try:
                said = steps.send(answer)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # StopIteration's value has no type
            answer = self.execute(*said)

    def leave(self, good: bool) -> None:
        try:
            if good:
                self.commit()
        except BaseException:
            # A commit that failed leaves the transaction open.
            good = False
            raise
        finally:
            try:
                if not good:
                    self.rollback()
            # What is closed is rolled back, too.
            except Exception as error:  # noqa: BLE001 - told: the error that led here is the one to be seen
                logger.warning("cannot roll back, the connection is closed: %s", error)
                self.close()
            finally:
                self.thread_lock.release()

    def perform(self, steps: "Work[T]") -> T:
        """One transaction."""
        self.enter()
        good = False
        try:
            result = self.drive(steps(self))
            good = True
        finally:
            self.leave(good)
        return result

    # On the event loop

    async def enter_async(self) -> None:
        await self.lock.acquire()
        try:
            deadline = time.monotonic() + self.busy_for
            while await awaited(self.begin(False)) is False:
                if time.monotonic() > deadline:
                    raise Busy(f"another program has been writing to {self.identity} for {self.busy_for:g} s")
                await asyncio.sleep(PAUSE)
        except BaseException:
            self.lock.release()
            raise

    async def drive_async(self, steps: Steps[T]) -> T:
        answer: Any = None
        while True:
            try:
                said = steps.send(answer)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # StopIteration's value has no type
            answer = await awaited(self.execute(*said))

    async def leave_async(self, good: bool) -> None:
        try:
            if good:
                await awaited(self.commit())
        except BaseException:
            good = False
            raise
        finally:
            try:
                if not good:
                    await awaited(self.rollback())
            # psycopg cannot roll back while a statement that was cancelled is under way.
            except Exception as error:  # noqa: BLE001 - told, as in leave
                logger.warning("cannot roll back, the connection is closed: %s", error)
                await awaited(self.close())
            finally:
                self.lock.release()

    async def perform_async(self, steps: "Work[T]") -> T:
        await self.enter_async()
        good = False
        try:
            result = await self.drive_async(steps(self))
            good = True
        finally:
            await self.leave_async(good)
        return result


class Sqlite(Database):
    connection: sqlite3.Connection

    @cached_property
    def identity(self) -> str:
        # The first line is "main" and its file; "" is memory.
        return str(self.connection.execute("PRAGMA database_list").fetchone()[2])

    @property
    def always_open(self) -> bool:
        """`autocommit=False` of Python 3.12: a transaction is open at all times."""
        return getattr(self.connection, "autocommit", None) is False

    def begin(self, patient: bool) -> bool:
        if self.always_open:
            return True
        if self.connection.in_transaction:
            raise Misused("a transaction is open already on this connection: commit or roll back first")
        if patient:
            self.connection.execute("BEGIN IMMEDIATE")
            return True
        (wait,) = self.connection.execute("PRAGMA busy_timeout").fetchone()
        self.connection.execute("PRAGMA busy_timeout = 0")
        try:
            self.connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if "locked" in str(error) or "busy" in str(error):
                return False
            raise
        finally:
            self.connection.execute(f"PRAGMA busy_timeout = {wait}")
        return True

    def execute(self, statement: str, values: Sequence[object]) -> Answer:
        if not self.connection.in_transaction and not self.always_open:
            raise Misused(ENDED)
        cursor = self.connection.execute(statement, values)
        # The author's row_factory may make anything of a row.
        cursor.row_factory = None
        return cursor.fetchall(), cursor.rowcount

    def commit(self) -> None:
        if self.always_open:
            self.connection.commit()
            return
        if not self.connection.in_transaction:
            raise Misused(ENDED)
        self.connection.execute("COMMIT")

    def rollback(self) -> None:
        if self.always_open:
            self.connection.rollback()
        elif self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def opener(self) -> Callable[[], Any]:
        path = self.identity
        return lambda: sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_FOR)


class Psycopg(Database):
    blob, row, key = "BYTEA", "ctid", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
    now = "extract(epoch FROM clock_timestamp())::double precision"
    exists = "SELECT 1 WHERE to_regclass(?) IS NOT NULL"
    guard = "SELECT pg_advisory_xact_lock(7813046279142201)"

    @cached_property
    def identity(self) -> str:
        return str(self.connection.info.dsn)

    def check_idle(self) -> None:
        if self.connection.info.transaction_status != IDLE:
            raise Misused("a transaction is open already on this connection: commit or roll back first")

    def check_open(self) -> None:
        """After a statement that failed COMMIT would say that all is well, and roll back."""
        status = self.connection.info.transaction_status
        if status == IN_ERROR:
            raise Misused("a statement failed inside the block: let its error leave the block")
        if status != OPEN:
            raise Misused(ENDED)

    def begin(self, patient: bool) -> bool:
        self.check_idle()
        # Without autocommit psycopg begins by itself, with the first statement.
        self.connection.execute("BEGIN" if self.connection.autocommit else "SELECT 1")
        return True

    def execute(self, statement: str, values: Sequence[object]) -> Answer:
        self.check_open()
        with self.connection.cursor(row_factory=plain_rows) as cursor:
            cursor.execute(statement.replace("?", "%s"), values)
            return (cursor.fetchall() if cursor.description else []), cursor.rowcount

    def commit(self) -> None:
        self.check_open()
        self.connection.commit()

    def rollback(self) -> None:
        self.connection.rollback()

    def opener(self) -> Callable[[], Any]:
        connect, info = type(self.connection).connect, self.connection.info
        dsn, more = info.dsn, {"password": info.password} if info.password else {}
        return lambda: connect(dsn, **more)


class AsyncPsycopg(Psycopg):
    is_async = True

    async def begin(self, patient: bool) -> bool:  # type: ignore[override]  # awaited, as is_async tells
        self.check_idle()
        await self.connection.execute("BEGIN" if self.connection.autocommit else "SELECT 1")
        return True

    async def execute(self, statement: str, values: Sequence[object]) -> Answer:  # type: ignore[override]  # awaited, as is_async tells
        self.check_open()
        async with self.connection.cursor(row_factory=plain_rows) as cursor:
            await cursor.execute(statement.replace("?", "%s"), values)
            return (await cursor.fetchall() if cursor.description else []), cursor.rowcount

    async def commit(self) -> None:  # type: ignore[override]  # awaited, as is_async tells
        self.check_open()
        await self.connection.commit()

    async def rollback(self) -> None:  # type: ignore[override]  # awaited, as is_async tells
        await self.connection.rollback()


def plain_rows(cursor: Any) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
    return tuple


async def awaited(value: Awaitable[T] | T) -> T:
    return await value if isawaitable(value) else value


def database(connection: Any) -> Database:
    """Raises TypeError."""
    if isinstance(connection, sqlite3.Connection):
        return Sqlite(connection)
    if all(hasattr(connection, name) for name in ("info", "transaction", "cursor")):
        return (AsyncPsycopg if iscoroutinefunction(connection.commit) else Psycopg)(connection)
    kind = f"{type(connection).__module__}.{type(connection).__name__}"
    raise TypeError(f"expected a connection of sqlite3 or psycopg 3, found {kind}")


Work = Callable[[Database], Steps[T]]
"""What is done in one transaction."""


class Beside:
    """A connection of one's own to the author's database, which never makes the event loop wait.

    A database in memory has only the author's connection: that one is used, between its transactions.
    """

    def __init__(self, of: Database) -> None:
        self.identity = of.identity
        self._author = None if self.identity else of
        self._is_async = of.is_async
        self._open = of.opener()
        self._own: Database | None = None
        self._thread: ThreadPoolExecutor | None = None

    async def perform(self, steps: "Work[T]") -> T:
        if self._author:
            return await self._author.perform_async(steps)
        if self._is_async:
            if self._own is None:
                self._own = database(await self._open())
            return await self._own.perform_async(steps)
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "nodekit outbox")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._in_thread, steps)

    def _in_thread(self, steps: "Work[T]") -> T:
        if self._own is None:
            self._own = database(self._open())
        return self._own.perform(steps)

    async def close(self) -> None:
        """The next transaction connects again: an error may have left anything behind."""
        own, self._own = self._own, None
        thread, self._thread = self._thread, None
        try:
            if own and thread:
                await asyncio.get_running_loop().run_in_executor(thread, own.close)
            elif own:
                await own.close()
        finally:
            if thread:
                thread.shutdown(wait=False)
