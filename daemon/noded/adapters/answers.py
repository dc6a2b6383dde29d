"""Who waits for the answer to which request?"""

import asyncio
from dataclasses import dataclass

from noded.model.conflict import Conflict


@dataclass(frozen=True, slots=True)
class Reply:
    kind: str
    """Empty when the request was accepted, else `refused`, `conflict` or `not found`."""
    text: str
    effect: str
    conflicts: tuple[Conflict, ...] = ()


class PendingAnswers:
    def __init__(self) -> None:
        self._number = 0
        self._waiting: dict[int, asyncio.Future[Reply]] = {}

    def open(self) -> tuple[int, asyncio.Future[Reply]]:
        self._number += 1
        waiting: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[self._number] = waiting
        number = self._number
        waiting.add_done_callback(lambda _: self._waiting.pop(number, None))
        return number, waiting

    def answer(
        self, request: int, kind: str, text: str, effect: str, conflicts: tuple[Conflict, ...] = ()
    ) -> None:
        waiting = self._waiting.get(request)
        if waiting is not None and not waiting.done():
            waiting.set_result(Reply(kind, text, effect, conflicts))
