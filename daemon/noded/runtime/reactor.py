"""inbox -> decide -> journal -> lanes: the one place where decisions are made.

The only writer of the state. Actions that change the world for good are on disk before they
begin; the outcome of an action comes back through the inbox like everything else. When the disk
takes nothing, only what keeps processes alive is done.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence

from noded.model.actions import RECORDED, ROUTINE, Action, irreversible
from noded.model.inputs import ActionFailed, DiskFilled, Input
from noded.model.state import HostState
from noded.policy.decide import decide
from noded.ports import Unavailable
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

    async def turn(self, facts: Sequence[Input]) -> None:
        before = self.state
        try:
            actions = await self._decided(facts)
        except Unavailable as error:
            # None of it was done yet: decide again, knowing that nothing can be written.
            self.state = before
            self._journal.lost()
            actions = self._decided_unwritten(facts, str(error))
        for action in actions:
            if not isinstance(action, ROUTINE):
                log.info("%s node=%s reason=%r", type(action).__name__, action.node, action.reason)
            self._submit(action)
        self.changed.set()
        self.changed = asyncio.Event()

    async def _decided(self, facts: Sequence[Input]) -> list[Action]:
        """Raises Unavailable when what was decided cannot be written."""
        actions: list[Action] = []
        for fact in facts:
            before = self.state
            self.state, decided = decide(self.state, fact)
            self._journal.note(before, fact, decided)
            actions += decided
        if any(irreversible(action) for action in actions):
            await self._journal.sync()
        else:
            self._journal.flush()
        return actions

    def _decided_unwritten(self, facts: Sequence[Input], cause: str) -> list[Action]:
        at = facts[0].at
        if self.state.journaled:
            log.error("decisions cannot be written down, processes are only kept alive: %s", cause)
        full: tuple[Input, ...] = (DiskFilled(at, cause, journaled=False),) if self.state.journaled else ()
        actions: list[Action] = []
        for fact in (*full, *facts):
            self.state, decided = decide(self.state, fact)
            self._journal.told(fact, decided)
            for action in decided:
                if isinstance(action, RECORDED):
                    name = type(action).__name__
                    self._inbox.put(ActionFailed(at, name, action.node, "", "Unavailable", cause))
                else:
                    actions.append(action)
        return actions


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
