"""What do all orders work with?"""

import itertools
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from launcher.cgroups import Cgroups
from launcher.loop import Loop
from launcher.ooms import Ooms
from launcher.orders import Result
from launcher.settings import Settings
from launcher.sockets import Sockets
from launcher.table import Table


@dataclass(slots=True)
class State:
    settings: Settings
    cgroups: Cgroups
    loop: Loop
    tell: Callable[[Result], None]
    """Sends an event to everyone who is connected."""
    files: tuple[int, int]
    """How many open files the launcher was started with, soft and hard: what nodes get by default."""
    table: Table
    ooms: Ooms
    sockets: Sockets = field(default_factory=Sockets)
    births: bool = False
    """Processes can be born in their control group."""
    runs: int = 0
    runs_alone: int = 0
    """Those of them that are not inside an instance."""
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(time.monotonic_ns() // 10**6))
    """For groups inside instances' groups. An earlier launcher's may still be there: none comes twice."""

    @property
    def root(self) -> bool:
        return os.geteuid() == 0

    @property
    def group(self) -> int:
        """Who may reach run folders, logs and the launcher's socket."""
        mine = self.root or self.settings.group in (os.getegid(), *os.getgroups())
        return self.settings.group if mine else os.getegid()
