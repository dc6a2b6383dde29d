"""What do nodes and the mesh say of the versions that are being compared?

Asked once a second while a rollout is under way, from its first moment on: what is slow is measured by what
stable did before the canary had a share.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from noded.model.inputs import SignalsTold
from noded.model.instance import Instance, Phase, Role
from noded.model.signals import Answers, Handled
from noded.model.state import HostState, NodeState
from noded.ports import Clock, Inbox, Mesh, Nodes, PortError
from noded.runtime.questions import spec_of
from nodespec.manifest import Listen, NodeSpec
from nodespec.manifest import Protocol as Spoken

log = logging.getLogger("noded")
TICK = 1.0
LOOK = 0.1
"""Seconds between two looks whether a rollout has begun."""
PATIENCE = 0.7
"""Seconds for a program to tell its figures: what is later is of another second."""
COMPARED = (Role.STABLE, Role.CANARY, Role.BASELINE)
View = Callable[[], HostState]


class Histograms(Protocol):
    async def read(self, instance: Instance, spec: NodeSpec, timeout: float) -> Answers:
        """What a program itself tells of its answers. Raises PortError."""
        ...


@dataclass(slots=True)
class Signals:
    nodes: Nodes
    histograms: Histograms
    mesh: Mesh
    _unread: set[str] = field(default_factory=set)
    """Instances whose figures could not be read, so that it is logged once."""

    async def watch(self, view: View, clock: Clock, inbox: Inbox) -> None:
        last: object = None
        known: set[str] = set()
        due = 0.0
        while True:
            rolling = [node for node in view().nodes.values() if node.rolling_out]
            begun = {node.rollout.id for node in rolling if node.rollout is not None}
            # Where it begins must be known before a canary has a share: that may be less than a second.
            if rolling and (clock.now() >= due or begun - known):
                due = clock.now() + TICK
                told = begun, await self._answers(rolling), await self._handled(rolling)
                # What did not change is no news, but for a rollout that has just begun.
                if any(told[1:]) and told != last:
                    inbox.put(SignalsTold(clock.now(), *told[1:]))
                last = told
            known = begun
            await asyncio.sleep(LOOK)

    async def _answers(self, rolling: Sequence[NodeState]) -> tuple[Answers, ...]:
        compared = [each for node in rolling for each in _compared(node)]
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(self._answers_of(*each)) for each in compared]
        self._unread &= {instance.id for instance, _ in compared}
        return tuple(told for task in asked if (told := task.result()) is not None)

    async def _answers_of(self, instance: Instance, spec: NodeSpec) -> Answers | None:
        if not spec.metrics.latency or not _speaks_http(spec):
            return self.nodes.answers(instance.id)
        try:
            told = await self.histograms.read(instance, spec, PATIENCE)
        except PortError as error:
            if instance.id not in self._unread:
                log.warning("%s; until then its version is judged without", error)
            self._unread.add(instance.id)
            return None
        self._unread.discard(instance.id)
        return told

    async def _handled(self, rolling: Sequence[NodeState]) -> tuple[Handled, ...]:
        versions = {
            node.name: (node.rollout.from_version, node.rollout.release.version)
            for node in rolling
            if node.rollout is not None and node.part is not None and node.part.subscriptions
        }
        if not versions:
            return ()
        try:
            return await self.mesh.handled(versions)
        except PortError:
            # That the mesh is away is told by others.
            return ()


def _compared(node: NodeState) -> Iterator[tuple[Instance, NodeSpec]]:
    for instance in node.instances.values():
        spec = spec_of(node, instance)
        if instance.role in COMPARED and instance.phase is not Phase.STARTING and spec is not None:
            yield instance, spec


def _speaks_http(spec: NodeSpec) -> bool:
    """At a place of its own: a socket that is held for the node is all its instances'."""
    serves = spec.serves
    return serves is not None and serves.listen is not Listen.FD and serves.protocol is Spoken.HTTP
