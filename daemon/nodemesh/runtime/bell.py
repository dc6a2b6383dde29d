"""How does somebody learn that there may be something to take? He waits for it, or is called."""

import asyncio
from collections.abc import Callable


class Bell(asyncio.Event):
    def __init__(self) -> None:
        super().__init__()
        self._call: Callable[[], None] | None = None
        self._is_planned = False

    def call(self, who: Callable[[], None]) -> None:
        """From now on, once for all that happens in one turn of the loop."""
        self._call = who

    def set(self) -> None:
        super().set()
        if self._call is not None and not self._is_planned:
            self._is_planned = True
            asyncio.get_running_loop().call_soon(self._planned)

    def ring(self) -> None:
        """As `set`, in this turn: for who has something urgent, and nothing half done."""
        super().set()
        if self._call is not None:
            self._call()

    def _planned(self) -> None:
        self._is_planned = False
        if self._call is not None:
            self._call()
