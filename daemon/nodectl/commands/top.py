"""`top`: who uses CPU and memory and answers how much, drawn again and again."""

import os
import select
import sys
import termios
import time
import tty
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from nodeapi.v1 import control_pb2 as pb
from nodectl.client import AWAY as PATIENCE
from nodectl.client import Client
from nodectl.documents import document, write
from nodectl.failures import Exit, Failure, refused
from nodectl.load import ORDERS, Load, Meter, host_line, table
from nodectl.nodes import host_notes
from nodectl.screen import AWAY, console, say, styled
from nodectl.session import Session

KEYS = "q ends, sorted by: c CPU, m memory, r requests"


def top(session: Session, node: str, delay: float) -> None:
    screen = console()
    with Client(session) as client:
        if session.plain and screen.is_terminal and not screen.is_dumb_terminal:
            _draw(client, screen, node, delay, session.timeout)
        else:
            _print(client, session, screen, node, delay)


def _ask(client: Client, node: str) -> pb.GetStatusResponse:
    doing = f"show the load of {node or 'this host'}"
    answer = client.status(doing, node)
    if node and not answer.nodes:
        raise refused(doing, "NOT_FOUND", "no such node", node)
    return answer


def _print(client: Client, session: Session, screen: Console, node: str, delay: float) -> None:
    """One picture; a rate needs two looks."""
    meter = Meter()
    meter.read(_ask(client, node).nodes, time.monotonic())
    time.sleep(delay)
    answer = _ask(client, node)
    loads = meter.read(answer.nodes, time.monotonic())
    if session.plain:
        say(host_line(answer.host), *table(loads, "c", screen.width), *host_notes(answer.host))
    else:
        nodes = [asdict(load) for load in loads]
        write({"host": document(answer.host), "nodes": nodes}, session.output)


class Keys:
    """Single keys from the terminal, without Enter and without echo; none when stdin is no terminal."""

    def __init__(self) -> None:
        self._file = sys.stdin.fileno() if sys.stdin.isatty() else -1
        self._before: list[Any] = []

    def __enter__(self) -> Self:
        if self._file >= 0:
            self._before = termios.tcgetattr(self._file)
            tty.setcbreak(self._file)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file >= 0:
            termios.tcsetattr(self._file, termios.TCSADRAIN, self._before)

    def within(self, seconds: float) -> str:
        """The next key; empty when none came in time."""
        if self._file < 0:
            time.sleep(seconds)
            return ""
        ready, _, _ = select.select([self._file], [], [], seconds)
        key = os.read(self._file, 1).decode(errors="replace") if ready else ""
        # A terminal that is gone is readable and gives nothing.
        return key if key or not ready else "q"


class Board:
    """What stands on the screen, and in which order."""

    def __init__(self, screen: Console) -> None:
        self._screen = screen
        self._meter = Meter()
        self._host = pb.HostStatus()
        self._loads: list[Load] = []
        self.order = "c"
        self.remark = ""

    def take(self, answer: pb.GetStatusResponse) -> None:
        self._host, self.remark = answer.host, ""
        self._loads = self._meter.read(answer.nodes, time.monotonic())

    def drawn(self) -> Text:
        head = [Text(host_line(self._host)), *host_notes(self._host)]
        head += [styled(f"{KEYS} (now {ORDERS[self.order][0]})", "dim")]
        head += [styled(self.remark, "yellow")] if self.remark else []
        lines = table(self._loads, self.order, self._screen.width)
        room = max(2, self._screen.height - len(head) - 1)
        if len(lines) > room:
            lines = [*lines[: room - 1], styled(f"and {len(lines) - room + 1} more", "dim")]
        whole = Text("\n").join([*head, Text(), *lines])
        whole.no_wrap, whole.overflow = True, "ellipsis"
        return whole


def _draw(client: Client, screen: Console, node: str, delay: float, within: float | None) -> None:
    ends = None if within is None else time.monotonic() + within
    board = Board(screen)
    board.take(_ask(client, node))
    heard = time.monotonic()
    with Keys() as keys, Live(board.drawn(), console=screen, screen=True, auto_refresh=False) as live:
        while ends is None or time.monotonic() < ends:
            if not _steered(keys, board, live, delay):
                return
            try:
                board.take(_ask(client, node))
                heard = time.monotonic()
            except Failure as failure:
                if failure.code != Exit.NOT_REACHABLE or time.monotonic() - heard > PATIENCE:
                    raise
                board.remark = AWAY
            live.update(board.drawn(), refresh=True)


def _steered(keys: Keys, board: Board, live: Live, delay: float) -> bool:
    """Until the next look is due; False when the reader has had enough."""
    due = time.monotonic() + delay
    while (left := due - time.monotonic()) > 0:
        match keys.within(left):
            case "q" | "Q":
                return False
            case key if key.lower() in ORDERS:
                board.order = key.lower()
                live.update(board.drawn(), refresh=True)
            case _:
                pass
    return True
