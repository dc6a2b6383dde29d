"""What did the administrator choose for every command: socket, output, patience?"""

from dataclasses import dataclass

SOCKET = "/run/noded/control.sock"
ANSWER = 15.0
"""Seconds for one answer of noded."""
EFFECT = 120.0
"""Seconds for what was ordered to come true, and for a file to be sent or written."""
OUTPUTS = ("table", "wide", "name", "json", "yaml")
FOR_LISTS = ("wide", "name")


@dataclass(frozen=True, slots=True)
class Session:
    socket: str = SOCKET
    output: str = "table"
    timeout: float | None = None

    @property
    def answer(self) -> float:
        return ANSWER if self.timeout is None else self.timeout

    @property
    def effect(self) -> float:
        return EFFECT if self.timeout is None else self.timeout

    @property
    def plain(self) -> bool:
        """For people; wide is the table with more columns, where there are more."""
        return self.output in ("table", "wide")

    @property
    def wide(self) -> bool:
        return self.output == "wide"

    @property
    def names(self) -> bool:
        """One name per line, for scripts."""
        return self.output == "name"
