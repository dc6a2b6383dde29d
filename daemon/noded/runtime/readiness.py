"""Which starting instances are ready? Those that do not tell by themselves are asked, each on its own."""

import asyncio
from collections.abc import Callable
from itertools import chain, repeat

from noded.model.inputs import InstanceReady
from noded.model.instance import Instance, Phase
from noded.model.state import HostState
from noded.ports import Clock, Inbox
from noded.runtime.monitors import View
from noded.runtime.questions import Questions, spec_of
from nodespec.manifest import NodeSpec, Probe

PAUSE = 0.05
"""Between two questions."""
PAUSES_EXEC = (0.1, 0.2, 0.4)
"""A program costs more than a request, so it is asked less often the longer it takes; the last one stays."""
PATIENCE = 2.0
"""Least time for an answer: a program that has just begun is slow."""
Changed = Callable[[], asyncio.Event]
ASKED = (Probe.HTTP, Probe.TCP, Probe.EXEC)


async def watch(
    view: View, clock: Clock, inbox: Inbox, questions: Questions, changed: Changed | None = None
) -> None:
    """One that hangs delays nobody else. `changed` gives what is set when the state changes next."""
    seen: object = None
    asked: set[str] = set()
    async with asyncio.TaskGroup() as group:
        while True:
            next_change = changed() if changed is not None else None
            state = view()
            if state.nodes is not seen:
                seen = state.nodes
                for spec, instance in _starting(state):
                    if instance.id not in asked:
                        asked.add(instance.id)
                        group.create_task(_until_ready(view, clock, inbox, questions, spec, instance, asked))
            await (asyncio.sleep(PAUSE) if next_change is None else next_change.wait())


async def _until_ready(
    view: View,
    clock: Clock,
    inbox: Inbox,
    questions: Questions,
    spec: NodeSpec,
    instance: Instance,
    asked: set[str],
) -> None:
    health = spec.health
    pauses = chain(PAUSES_EXEC, repeat(PAUSES_EXEC[-1])) if health.readiness is Probe.EXEC else repeat(PAUSE)
    told = False
    while _still_starting(view(), spec.name, instance):
        if not told:
            heard = await questions.ready(spec, instance, max(PATIENCE, health.timeout))
            told = heard.answered is True
            if told and _still_starting(view(), spec.name, instance):
                how = questions.words(spec, health.readiness)
                inbox.put(InstanceReady(clock.now(), spec.name, instance.id, how))
        await asyncio.sleep(PAUSE if told else next(pauses))
    asked.discard(instance.id)


def _starting(state: HostState) -> list[tuple[NodeSpec, Instance]]:
    return [
        (spec, instance)
        for node in state.nodes.values()
        for instance in node.instances.values()
        if instance.phase is Phase.STARTING
        and instance.process is not None
        and (spec := spec_of(node, instance)) is not None
        and spec.health.readiness in ASKED
    ]


def _still_starting(state: HostState, node: str, instance: Instance) -> bool:
    held = state.nodes.get(node)
    now = held.instances.get(instance.id) if held is not None else None
    return now is not None and now.phase is Phase.STARTING and now.process == instance.process
