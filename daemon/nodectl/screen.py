"""How do lines, columns and live pictures reach the terminal, a pipe or a file?"""

import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Self

from rich.cells import cell_len
from rich.console import Console
from rich.live import Live
from rich.text import Text

from nodectl.text import clean, one_line

Cell = str | Text
"""Text is styled; plain strings may come from anywhere and are cleaned."""

WIDE = 10_000
AWAY = "noded is away; waiting for it"
BACK = "noded is back"


def console(stderr: bool = False) -> Console:
    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    plain = bool(os.environ.get("NO_COLOR")) or not terminal
    return Console(
        stderr=stderr,
        highlight=False,
        markup=False,
        emoji=False,
        color_system=None if plain else "auto",
        # Only a terminal has an edge at which to fold.
        width=None if terminal else WIDE,
    )


def say(*lines: Cell) -> None:
    out = console()
    for line in lines:
        out.print(_text(line), soft_wrap=True)


def as_written(text: str) -> None:
    """What a program wrote: to a terminal without its control characters, else as it is."""
    sys.stdout.write(clean(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def note(line: str) -> None:
    """Progress and remarks: beside the result, so that a pipe gets only the result."""
    console(stderr=True).print(Text(clean(line), style="dim"), soft_wrap=True)


def styled(text: str, style: str) -> Text:
    return Text(one_line(text), style=style)


def columns(
    head: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    indent: int = 0,
    spare: Sequence[str] = (),
    width: int = 0,
) -> list[Text]:
    """Left-aligned columns two spaces apart, without spaces at the end.

    `spare` are left out, in this order, as long as lines are wider than `width`, the terminal's by default.
    """
    table = [[_cell(cell) for cell in row] for row in rows]
    if head:
        table.insert(0, [Text(word, style="bold") for word in head])
    widths = [max(cell_len(row[n].plain) for row in table) for n in range(len(table[0]))] if table else []
    shown = list(range(len(widths)))
    for name in spare:
        if sum(widths[n] + 2 for n in shown) - 2 + indent <= (width or console().width):
            break
        shown.remove(head.index(name))
    return [_row([row[n] for n in shown], [widths[n] for n in shown], indent) for row in table]


def pairs(rows: Iterable[tuple[str, Cell]], indent: int = 2) -> list[Text]:
    """Names and values, one pair per line; pairs without a value are left out."""
    return columns((), [(Text(name, style="dim"), value) for name, value in rows if len(value)], indent)


def _row(cells: list[Text], widths: list[int], indent: int) -> Text:
    line = Text(" " * indent)
    for cell, width in zip(cells, widths, strict=True):
        line.append_text(cell)
        line.append(" " * (width - cell_len(cell.plain) + 2))
    line.rstrip()
    return line


def _cell(cell: Cell) -> Text:
    return cell if isinstance(cell, Text) else Text(one_line(cell))


def _text(line: Cell) -> Text:
    return line if isinstance(line, Text) else Text(clean(line))


class Picture:
    """On a terminal one place is drawn again and again; elsewhere lines are appended when they change."""

    def __init__(self, wanted: bool = True) -> None:
        self._wanted = wanted
        self._console = console()
        self._live: Live | None = None
        self._draw: Callable[[], list[Text]] = list
        self._before: set[str] = set()
        self._remark = ""

    def __enter__(self) -> Self:
        if self._wanted and self._console.is_terminal:
            # Twice a second also without news, because ages and countdowns go on.
            self._live = Live(get_renderable=self._drawn, console=self._console, refresh_per_second=2)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, draw: Callable[[], list[Text]], lines: Sequence[str]) -> None:
        """`draw` makes the picture of now; `lines` are what is appended where there is no terminal."""
        self._draw, self._remark = draw, ""
        if self._live is not None:
            self._live.refresh()
            return
        for line in lines:
            if line not in self._before:
                say(f"{time.strftime('%H:%M:%S')}  {line}")
        self._before = set(lines)

    def remark(self, text: str) -> None:
        """Stands below the picture until there is news."""
        if self._live is None:
            note(text)
        self._remark = text

    def _drawn(self) -> Text:
        remark = [styled(self._remark, "yellow")] if self._remark else []
        return Text("\n").join([*self._draw(), *remark])
