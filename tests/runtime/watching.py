"""Which signs of life does a test give, and what is told of those that give none?"""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from noded.adapters.boot_clock import BootClock
from noded.adapters.masking import masked
from noded.launch import Launch
from noded.model.inputs import InstanceSilent
from noded.model.instance import Instance
from noded.model.liveness import Pressure
from noded.model.state import NodeState
from noded.ports import Look
from noded.runtime.liveness import Liveness
from noded.runtime.questions import Questions
from nodespec.manifest import Health, Probe
from tests.fakes.nodes import FakeNodes
from tests.fakes.probes import FakeProbes
from tests.fakes.processes import FakeProcesses
from tests.fakes.sensors import FakeSensors
from tests.runtime.held import Held
from tests.runtime.nouns import host, instance, node, process, spec

UID = 64200
CHECK = ("check",)
PIDS = itertools.count(5000)
QUICK = {"period": 0.05, "timeout": 0.05, "failures": 3}


class Watching:
    """Instances whose signs of life the test gives."""

    def __init__(self, *nodes: NodeState) -> None:
        self.held = Held(host(*nodes), BootClock())
        inbox, clock = self.held.inbox, self.held.clock
        self.nodes, self.sensors = FakeNodes(inbox, clock), FakeSensors(host=Pressure(0.1, 0.2, 0.3))
        self.probes, self.processes = FakeProbes(), FakeProcesses(inbox, clock)
        for held in nodes:
            for one in held.instances.values():
                if one.process is not None:
                    self.sensors.looks[one.process.pid] = Look(1.0, 0.5, "S")
                    self.nodes.listen(held.name, one.id)
                    self.nodes.expect(held.name, one.id, UID)
        self.questions = Questions(clock, self.probes, self.processes, self.inside, masked)
        self.liveness = self.made()

    def made(self) -> Liveness:
        held = self.held
        return Liveness(
            held.view, held.clock, held.inbox, self.nodes, self.sensors, self.processes, self.questions
        )

    def inside(self, one: Instance, argv: tuple[str, ...]) -> Launch:
        return Launch(one.id.rpartition(".")[0], "", argv, "/", (), "dynamic")

    def silent(self, name: str = "") -> list[InstanceSilent]:
        told = self.held.inbox.all(InstanceSilent)
        return [fact for fact in told if not name or fact.instance == name]

    @asynccontextmanager
    async def watching(self, *, beats: tuple[str, ...] = (), stuck: float = 0.0) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self.liveness.watch())]
        tasks += [asyncio.create_task(self.beat(name, stuck)) for name in beats]
        try:
            yield
            assert not tasks[0].done()
        finally:
            for task in tasks:
                task.cancel()

    async def beat(self, name: str, stuck: float = 0.0) -> None:
        began = self.held.clock.now()
        while True:
            age = self.held.clock.now() - began if stuck else 0.0
            self.nodes.beat(name, UID, stuck=max(0.0, age))
            await asyncio.sleep(0.2)


def sdk(name: str, **fields: Any) -> NodeState:
    """Heard before, as its last reading says."""
    return node(name, instance(f"{name}.1", process=process(next(PIDS))), **fields)


def asked(name: str, probe: Probe = Probe.HTTP, **fields: Any) -> NodeState:
    health = Health(probe, **{**QUICK, **fields})
    one = instance(f"{name}.1", listen=f"unix:/{name}", process=process(next(PIDS)))
    return node(name, one, spec=spec(name, health=health))
