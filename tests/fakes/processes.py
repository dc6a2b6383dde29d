"""Processes without processes. It knows the programs of the contract suite and passes it.

`/bin/sleep` runs until it is ended, `/bin/sh -c "exit N"` ends at once, and nothing below `/missing`
can be started. A test ends others with `end`.
"""

import re
from dataclasses import dataclass

from noded.model.inputs import InstanceExited, Observed
from noded.model.instance import Process
from noded.ports import Clock, Conflict, Inbox, Launch, NotFound, Refused


@dataclass
class Running:
    process: Process
    ended: str = ""
    watched_by: str | None = None
    told: bool = False


class FakeProcesses:
    def __init__(self, inbox: Inbox, clock: Clock) -> None:
        self.running: dict[str, Running] = {}
        """Everything started and not removed."""
        self.launched: list[Launch] = []
        self.degraded: tuple[str, ...] = ()
        self.sockets: set[str] = set()
        """Those that have made their listening socket."""
        self.imposters: set[str] = set()
        """Those of them where something else lies in its place."""
        self.published: list[str] = []
        self._inbox = inbox
        self._clock = clock

    async def start(self, launch: Launch) -> tuple[Process, tuple[str, ...]]:
        held = self.running.get(launch.instance)
        if held is not None and not held.ended:
            raise Conflict(f"cannot start {launch.instance}: there still live pids {held.process.pid}")
        if launch.argv[0].startswith("/missing/"):
            raise Refused(f"cannot start {launch.instance}: {launch.argv[0]}: no such file")
        self.launched.append(launch)
        made = Running(Process(4000 + len(self.launched), len(self.launched), 64200))
        self.running[launch.instance] = made
        code = re.fullmatch(r"exit (\d+)", launch.argv[-1])
        if code:
            made.ended = f"code {code[1]}"
        return made.process, self.degraded

    def watch(self, node: str, instance: str, process: Process) -> None:
        held = self.running.get(instance)
        if held is None or held.process != process:
            self._inbox.put(InstanceExited(self._clock.now(), node, instance, "unknown"))
        elif held.watched_by is None:
            held.watched_by = node
            self._tell(instance, held)

    async def signal(self, instance: str, signal: str) -> None:
        numbers = {"HUP": 1, "INT": 2, "QUIT": 3, "TERM": 15}
        if signal not in numbers:
            raise Refused(f'cannot signal {instance}: expected the name of a signal like "TERM"')
        if instance in self.running:
            self.end(instance, f"signal {numbers[signal]}")

    async def kill(self, instance: str) -> None:
        held = self.running.get(instance)
        if held is not None:
            self.end(instance, "signal 9")
        if held is None or held.watched_by is None:
            node = instance.rpartition(".")[0]
            self._inbox.put(InstanceExited(self._clock.now(), node, instance, "killed before it was known"))

    async def publish(self, instance: str) -> None:
        if instance not in self.running:
            raise NotFound(f"cannot publish {instance}: no instance {instance} is known here")
        if instance not in self.sockets:
            raise NotFound(f"cannot publish {instance}: http.sock is not there yet")
        if instance in self.imposters:
            raise Refused(f"cannot publish {instance}: http.sock is not a socket that its user made")
        self.published.append(instance)

    async def remove(self, instance: str) -> None:
        if instance in self.running:
            self.end(instance, "signal 9")
            del self.running[instance]

    async def observe(self) -> tuple[Observed, ...]:
        return tuple(
            Observed(name, held.process, running=not held.ended) for name, held in self.running.items()
        )

    def end(self, instance: str, status: str) -> None:
        """What a program that ends by itself does."""
        held = self.running[instance]
        held.ended = held.ended or status
        self._tell(instance, held)

    def _tell(self, instance: str, held: Running) -> None:
        if held.ended and held.watched_by is not None and not held.told:
            held.told = True
            self._inbox.put(InstanceExited(self._clock.now(), held.watched_by, instance, held.ended))
