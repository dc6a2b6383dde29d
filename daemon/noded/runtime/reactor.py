"""inbox -> decide -> journal -> lanes: the one place where decisions are made.

The only writer of the state. Actions that change the world for good are on disk before they
begin; the outcome of an action comes back through the inbox like everything else.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable

from noded.model.actions import IRREVERSIBLE, ROUTINE, Action
from noded.model.inputs import Input
from noded.model.state import HostState
from noded.policy.decide import decide
from noded.runtime import codec
from noded.runtime.inbox import Inbox
from noded.runtime.journal import ACTION, INPUT, Journal

log = logging.getLogger("noded")


class Reactor:
    """`state` is the present state; `changed` is replaced and set at every decision."""

    def __init__(
        self, state: HostState, inbox: Inbox, journal: Journal, submit: Callable[[Action], None]
    ) -> None:
        self.state = state
        self.changed = asyncio.Event()
        self._inbox = inbox
        self._journal = journal
        self._submit = submit

    async def run(self) -> None:
        while True:
            await self.turn(await self._inbox.take())

    async def turn(self, facts: Iterable[Input]) -> None:
        actions: list[Action] = []
        for fact in facts:
            before = self.state
            self.state, decided = decide(self.state, fact)
            self._journal.note(before, fact, decided)
            actions += decided
        if any(isinstance(action, IRREVERSIBLE) for action in actions):
            await self._journal.sync()
        else:
            self._journal.flush()
        for action in actions:
            if not isinstance(action, ROUTINE):
                log.info("%s node=%s reason=%r", type(action).__name__, action.node, action.reason)
            self._submit(action)
        self.changed.set()
        self.changed = asyncio.Event()


def replay(lines: Iterable[str], state: HostState) -> tuple[HostState, tuple[str, ...]]:
    """Decide everything a segment recorded once more.

    Returns the state at its end and every difference between what was decided then and now, order
    included. Actions missing after the last input are no difference: a crash cut them off, and
    what they said was never done. Raises ValueError, KeyError or TypeError at a damaged line.
    """
    differences: list[str] = []
    expected: list[str] = []
    name = ""
    for number, line in enumerate(lines, 1):
        mark, text = line[:1], line[2:].rstrip("\n")
        if mark == INPUT:
            differences += [f"{name}: decided now and not then: {a}" for a in expected]
            fact = codec.load_tagged(Input, text)
            name = f"line {number} {type(fact).__name__}"
            state, decided = decide(state, fact)
            expected = [codec.dump_tagged(action) for action in decided]
        elif mark != ACTION:
            raise ValueError(f"line {number}: expected {INPUT} or {ACTION}, found {line[:20]!r}")
        elif text not in expected:
            differences.append(f"{name}: decided then and not now: {text}")
        else:
            if text != expected[0]:
                differences.append(f"{name}: decided in another order: {text}")
            expected.remove(text)
    return state, tuple(differences)
