"""Processes without processes. It knows the programs of the contract suite and passes it.

`/bin/sleep` runs until it is ended, `/bin/sh -c "exit N"` ends at once, and nothing below `/missing`
can be started. A test ends others with `end`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from noded.launch import Launch, Ran
from noded.model.inputs import InstanceExited, Observed
from noded.model.instance import Process
from noded.ports import Clock, Conflict, Inbox, NotFound, Refused


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
        self.held: set[tuple[str, str]] = set()
        """Node and address of every socket held."""
        self.entrusted: list[tuple[str, str]] = []
        """Instances and the sockets that were made theirs, at the start or later."""
        self.ran: list[tuple[Launch, float, str]] = []
        self.ends: dict[tuple[str, ...], Ran] = {}
        """What comes of running these; others do as the contract suite's programs do."""
        self._inbox = inbox
        self._clock = clock

    async def start(self, launch: Launch) -> tuple[Process, tuple[str, ...]]:
        held = self.running.get(launch.instance)
        if held is not None and not held.ended:
            raise Conflict(f"cannot start {launch.instance}: there still live pids {held.process.pid}")
        if launch.argv[0].startswith("/missing/"):
            raise Refused(f"cannot start {launch.instance}: {launch.argv[0]}: no such file")
        taken = next(
            (node for node, place in self.held if place == launch.listen and node != launch.node), ""
        )
        if taken:
            raise Refused(f"cannot start {launch.instance}: listen {launch.listen}: held for node {taken}")
        if launch.listen:
            self.held.add((launch.node, launch.listen))
        self.launched.append(launch)
        if launch.notify:
            self.entrusted.append((launch.instance, launch.notify))
        made = Running(Process(4000 + len(self.launched), len(self.launched), 64200))
        self.running[launch.instance] = made
        code = re.fullmatch(r"exit (\d+)", launch.argv[-1])
        if code:
            made.ended = f"code {code[1]}"
        return made.process, self.degraded

    async def run(self, launch: Launch, timeout: float, into: str = "") -> Ran:
        held = self.running.get(into)
        if into and held is None:
            raise NotFound(f"cannot run {into}: no instance {into} is known here")
        if held is not None and held.ended:
            raise Conflict(f"cannot run {into}: {into} is not running")
        if launch.argv[0].startswith("/missing/"):
            raise Refused(f"cannot run {launch.node}: {launch.argv[0]}: no such file")
        self.ran.append((launch, timeout, into))
        if launch.argv in self.ends:
            return self.ends[launch.argv]
        if launch.argv[0] == "/bin/sleep":
            return Ran("signal 9", "", timeout, timed_out=True)
        said = re.fullmatch(r"(?:echo (\w+); )?exit (\d+)", launch.argv[-1])
        code, printed = (said[2], f"{said[1]}\n" if said[1] else "") if said else ("0", "")
        return Ran(f"code {code}", printed, 0.01)

    async def inspect(self, instance: str) -> Mapping[str, object]:
        held = self.running.get(instance)
        if held is None:
            raise NotFound(f"cannot inspect {instance}: no instance {instance} is known here")
        pids = [] if held.ended else [held.process.pid]
        wchans = [{"pid": pid, "tid": pid, "state": "S", "wchan": "hrtimer_nanosleep"} for pid in pids]
        return {"pids": pids, "states": {str(pid): "S" for pid in pids}, "wchans": wchans, "fds": []}

    async def unlisten(self, node: str) -> None:
        self.held = {key for key in self.held if key[0] != node}

    async def entrust(self, instance: str, path: str) -> None:
        if instance in self.running:
            self.entrusted.append((instance, path))

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
