"""What did the administrator choose for every command: socket, output, patience?"""

from dataclasses import dataclass

SOCKET = "/run/noded/control.sock"
ANSWER = 15.0
"""Seconds for one answer of noded."""
EFFECT = 120.0
"""Seconds for what was ordered to come true."""


@dataclass(frozen=True, slots=True)
class Session:
    socket: str = SOCKET
    output: str = "table"  # table, json or yaml
    timeout: float | None = None

    @property
    def answer(self) -> float:
        return ANSWER if self.timeout is None else self.timeout

    @property
    def effect(self) -> float:
        return EFFECT if self.timeout is None else self.timeout

    @property
    def plain(self) -> bool:
        return self.output == "table"
