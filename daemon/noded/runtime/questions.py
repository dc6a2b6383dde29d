"""Does an instance answer when it is asked as its manifest says?

It is asked at its own place, not through the proxy, where another would answer for it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from noded.launch import Launch
from noded.model.instance import Instance
from noded.model.state import NodeState
from noded.ports import Clock, Conflict, NotFound, PortError, Probes, Processes, Unavailable
from noded.runtime.printed import Mask, command, last_line, short
from nodespec.manifest import NodeSpec, Probe

AT_ONCE = 512
"""Open questions; one that hangs has as many as its manifest grants failures."""
RUNS_AT_ONCE = 8
"""Programs that ask; the launcher runs other things too."""
LATE = 0.25
"""A question that took so much longer than it may was held up by us."""
LATE_RUN = 1.0
LEAST_RUN = 2.0
"""Least time for a program that asks: it has to be started first."""
OverHttp = Callable[[str, int, str, float], Awaitable[bool]]
Inside = Callable[[Instance, tuple[str, ...]], Launch]
"""How a program is run in an instance."""


@dataclass(frozen=True, slots=True)
class Heard:
    answered: bool | None
    """None when nothing can be said of the instance: the fault was ours."""
    detail: str = ""
    said: str = ""
    """The last line of the program that asks, masked; for operators."""


GOOD, UNKNOWN = Heard(True), Heard(None)


class Questions:
    def __init__(
        self, clock: Clock, probes: Probes, processes: Processes, inside: Inside, mask: Mask
    ) -> None:
        self._clock = clock
        self._probes = probes
        self._processes = processes
        self._inside = inside
        self._mask = mask
        self._asking = asyncio.Semaphore(AT_ONCE)
        self._running = asyncio.Semaphore(RUNS_AT_ONCE)

    async def ready(self, spec: NodeSpec, instance: Instance, timeout: float) -> Heard:
        return await self._ask(spec, instance, spec.health.readiness, timeout, self._probes.answers)

    async def alive(self, spec: NodeSpec, instance: Instance, timeout: float) -> Heard:
        return await self._ask(spec, instance, spec.health.alive_by, timeout, self._probes.responds)

    async def _ask(
        self, spec: NodeSpec, instance: Instance, probe: Probe, timeout: float, over_http: OverHttp
    ) -> Heard:
        if probe is Probe.EXEC:
            async with self._running:
                return await self._run(spec, instance, max(timeout, LEAST_RUN))
        uid = instance.process.uid if instance.process else -1
        async with self._asking:
            began = self._clock.now()
            if probe is Probe.HTTP:
                good = await over_http(instance.listen, uid, spec.health.path, timeout)
            else:
                good = await self._probes.connects(instance.listen, uid, timeout)
            if good:
                return GOOD
            return UNKNOWN if self._clock.now() - began > timeout + LATE else Heard(False)

    async def _run(self, spec: NodeSpec, instance: Instance, timeout: float) -> Heard:
        began = self._clock.now()
        try:
            launch = self._inside(instance, spec.health.command)
            ran = await self._processes.run(launch, timeout, into=instance.id)
        except (Unavailable, NotFound, Conflict):
            # No launcher, or no instance any more: its exit is told by others.
            return UNKNOWN
        except PortError as error:
            return (
                UNKNOWN if self._clock.now() - began > timeout + LATE_RUN else Heard(False, short(str(error)))
            )
        if ran.status == "code 0" and not ran.timed_out:
            return GOOD
        said = last_line(spec, ran, self._mask)
        if not ran.timed_out:
            return Heard(False, f"it was answered with {ran.status}", said)
        held_up = self._clock.now() - began > timeout + LATE_RUN
        return UNKNOWN if held_up else Heard(False, f"no answer within {timeout:g} s", said)

    def words(self, spec: NodeSpec, probe: Probe) -> str:
        """What an instance that answers this way owes."""
        match probe:
            case Probe.HTTP:
                return f"GET {spec.health.path}"
            case Probe.TCP:
                return "a connection"
            case Probe.EXEC:
                return command(spec, spec.health.command, self._mask)
            case _:
                return "its heartbeat"


def spec_of(node: NodeState, instance: Instance) -> NodeSpec | None:
    """The manifest of its release; a canary brings its own. None when nobody has it any more."""
    if instance.digest == node.release.digest:
        return node.spec
    rollout = node.rollout
    if rollout is None:
        return None
    if rollout.from_release is not None and rollout.from_release.digest == instance.digest:
        return rollout.from_spec
    return rollout.spec if rollout.release.digest == instance.digest else None
