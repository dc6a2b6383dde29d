"""How is a program run to its end, alone or inside an instance, and what did it print?"""

import contextlib
import os
import time
from collections.abc import Generator
from dataclasses import replace

from launcher import ending, proc, starting
from launcher.loop import Pause, Task
from launcher.orders import Asker, Limits, Refusal, Result, Run
from launcher.spawn import Recipe
from launcher.state import State
from launcher.table import Record
from launcher.users import User

MOST_RUNS = 32
KEPT_INSIDE = 8
"""Of them for runs inside instances: many slow preparations must not keep other nodes from being probed."""
_LONGEST_END = 10.0
_STEP = 0.01


class Output:
    """The last so many bytes of what comes through a pipe."""

    def __init__(self, state: State, most: int) -> None:
        self._loop = state.loop
        self._most = most
        self._kept = bytearray()
        self._total = 0
        self._source, self.sink = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._source, False)
        self._open = True
        self._loop.watch(self._source, self._ready)

    def _ready(self, _events: int) -> None:
        self._take()

    def _take(self) -> bool:
        try:
            news = os.read(self._source, 65536)
        except BlockingIOError:
            return False
        if not news:
            self._end()
            return False
        self._total += len(news)
        self._kept += news
        del self._kept[: max(0, len(self._kept) - self._most)]
        return True

    def _end(self) -> None:
        if self._open:
            self._open = False
            self._loop.forget(self._source)
            os.close(self._source)

    def begun(self) -> None:
        """The program has its end of the pipe now."""
        os.close(self.sink)
        self.sink = -1

    def close(self) -> Result:
        if self.sink >= 0:
            self.begun()
        for _ in range(16):  # A pipe holds less; one who escaped may go on writing for ever.
            if not self._open or not self._take():
                break
        self._end()
        text = self._kept.decode(errors="replace")
        return {"output": text, "truncated": self._total > len(self._kept)}


def run(state: State, order: Run, asker: Asker) -> Task:
    yield from _forsaken_ones(state, order.node)
    if asker.gone:
        raise Refusal("unavailable", "nobody waits for it any more")
    possible = MOST_RUNS if order.into else MOST_RUNS - KEPT_INSIDE
    if state.runs >= MOST_RUNS or (not order.into and state.runs_alone >= possible):
        raise Refusal("unavailable", f"{possible} runs are under way already")
    recipe, notes = _recipe(state, order)
    output = Output(state, order.output)
    state.runs += 1
    state.runs_alone += not order.into
    try:
        recipe = replace(recipe, output=output.sink)
        began = time.monotonic()
        record, degraded = yield from starting.begin(state, recipe, asker)
        record.starting = False
        output.begun()
        told = yield from _to_its_end(state, record, began + order.timeout)
        return {**told, **output.close(), "seconds": time.monotonic() - began, "degraded": degraded + notes}
    finally:
        state.runs -= 1
        state.runs_alone -= not order.into
        output.close()


def _forsaken_ones(state: State, node: str) -> Generator[Pause, None, None]:
    """Returns when those of the node have ended: two migrations at once are more than a database stands."""
    until = time.monotonic() + _LONGEST_END
    while any(record.forsaken and record.node == node for record in state.table.records.values()):
        if time.monotonic() >= until:
            raise Refusal("unavailable", f"what was run before for {node} and nobody waits for has not ended")
        yield Pause(_STEP)


def end(state: State, record: Record) -> Task:
    """The run itself sees its end and clears it away."""
    return (yield from ending.kill(state, record, _LONGEST_END))


def _recipe(state: State, order: Run) -> tuple[Recipe, list[str]]:
    if not order.into:
        user = starting.admit(state, order.instance, order.node, order.program.user)
        marks = starting.marks_of(state, order.instance, order.node, order.program) | {proc.RUN: "1"}
        return starting.recipe_of(state, order.instance, order.node, order.program, user, marks)
    living = state.table.find(order.into)
    if not living.running or living.starting or living.run:
        raise Refusal("conflict", f"{order.into} is not running")
    gid, groups = proc.groups(living.pid)
    if not living.uid or living.uid < 0 or not gid:
        raise Refusal("conflict", f"{order.into} is ending")
    program = replace(order.program, limits=Limits(), data=False)
    marks = starting.marks_of(state, order.into, order.node, order.program) | {proc.RUN: "1"}
    # A group inside the instance's: its limits hold, and this can be killed alone.
    name = f"{order.into}/x{next(state.numbers)}"
    recipe, notes = starting.recipe_of(state, name, order.node, program, User(living.uid, gid, groups), marks)
    return replace(recipe, own_folder=False), notes


def _to_its_end(state: State, record: Record, until: float) -> Task:
    while (left := until - time.monotonic()) > 0 and not _has_ended(record):
        yield Pause(left, record.pidfd)
    late = not _has_ended(record)
    ending.watch(state, record)
    yield from ending.kill(state, record, _LONGEST_END)
    # The end of it is seen in the next round of the loop.
    left_over = yield from ending.clean(state, record.instance)
    if left_over:
        raise Refusal("unavailable", left_over)
    state.table.records.pop(record.instance, None)
    how = record.exit.told() if record.exit else {}
    return {"exit": how, "timed_out": late, "oom_kills": record.oom_kills}


def _has_ended(record: Record) -> bool:
    """Without reaping it."""
    with contextlib.suppress(ChildProcessError):
        return os.waitid(os.P_PIDFD, record.pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    return True
