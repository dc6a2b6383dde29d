"""Which ready instances give no sign of life, and what do they do meanwhile?

Whether one is ended for it is for policy/liveness.py to say. While all is well an instance costs one
comparison of two numbers a turn; one in doubt gets a task that follows it until it speaks again or is gone.
"""

import asyncio
from dataclasses import dataclass, field

from noded.model.incident import Stage
from noded.model.inputs import InstanceSilent
from noded.model.instance import Instance, Phase, Process
from noded.model.liveness import Silence
from noded.model.state import HostState, NodeState
from noded.ports import Clock, Inbox, Look, Nodes, Processes, Sensors
from noded.runtime import evidence
from noded.runtime.monitors import View
from noded.runtime.questions import Heard, Questions, spec_of
from nodespec.manifest import NodeSpec, Probe, Rung

TURN = 0.2
DOUBT = 1.25
"""Age of a heartbeat from which on it is overdue: nodekit beats each second."""
LEAST = 2.0
"""Shortest silence of heartbeats that counts, whatever the manifest says: two are missing."""
SAME = 0.25
"""So much later the word of one standstill may reach us than the word before it (PAUSE_OF_MANY in
adapters/node_socket.py): its beginning does not move by that."""
AGAIN = 0.5
STALL = 0.5
"""Lateness of our own loop from which on the silence may be ours."""
SETTLE = 0.1
"""Then what was said meanwhile is taken out of the sockets first."""
SHORTEST = 0.05
"""Between two questions, and of what shares are taken of."""
NEVER = float("inf")
OWN_WORK = (Rung.COLLECT, Rung.SHRINK)
"""Steps that stop a program for a moment, on our own order."""


@dataclass(slots=True)
class Watched:
    instance: Instance
    process: Process
    spec: NodeSpec | None
    """None when nobody knows the manifest of its release any more."""
    heard: float
    """Its last sign of life, or the beginning of the watch: one that was adopted begins anew."""
    spoke: bool
    """Its SDK was heard before: one that never was is not expected to beat."""
    due: float
    doubted: tuple[float, Look] | None = None
    """The first look at it in doubt, and when."""
    silent: bool = False
    """Asked as often as its manifest grants, without an answer."""
    told_on: bool = False
    detail: str = ""
    said: str = ""


@dataclass(slots=True)
class Liveness:
    view: View
    clock: Clock
    inbox: Inbox
    nodes: Nodes
    sensors: Sensors
    processes: Processes
    questions: Questions
    watched: dict[str, Watched] = field(default_factory=dict)
    lenient_until: float = 0.0
    seen: object = None

    async def watch(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                self.turn(group)
                await self._sleep(TURN)

    def turn(self, group: asyncio.TaskGroup) -> None:
        now, state = self.clock.now(), self.view()
        if state.nodes is not self.seen:
            self.seen = state.nodes
            self._take_stock(state, now)
        for one in self.watched.values():
            if one.due <= now:
                self._look(one, now, group)

    def _take_stock(self, state: HostState, now: float) -> None:
        found: dict[str, Watched] = {}
        for node in state.nodes.values():
            for instance in node.instances.values():
                if instance.phase is not Phase.READY or instance.process is None:
                    continue
                kept, process = self.watched.get(instance.id), instance.process
                if kept is None or (kept.process is not process and kept.process != process):
                    kept = _begun(node, instance, process, now)
                found[instance.id] = kept
        self.watched = found

    def _look(self, one: Watched, now: float, group: asyncio.TaskGroup) -> None:
        assert one.spec is not None
        if one.spec.health.alive_by is not Probe.SDK:
            one.due = NEVER
            group.create_task(self._ask(one, one.spec, group))
            return
        heard = self._last_turn(one)
        one.due = heard + DOUBT
        if not one.spoke:
            one.due = now + DOUBT
        elif one.due <= now:
            one.due = NEVER
            group.create_task(self._follow(one, one.spec))

    def _last_turn(self, one: Watched) -> float:
        """When its event loop turned last, as far as its heartbeats tell."""
        beat = self.nodes.heartbeat(one.instance.id)
        if beat is not None:
            one.spoke = True
            turned = beat.at - beat.stuck
            if not beat.stuck or turned > one.heard + SAME:
                one.heard = max(one.heard, turned)
        return one.heard

    async def _sleep(self, seconds: float) -> None:
        """When we come late, or the host slept, the silence may be ours: everybody gets time to speak."""
        began = self.clock.now()
        await asyncio.sleep(seconds)
        if self._came_late(began, seconds):
            await asyncio.sleep(SETTLE)

    def _came_late(self, began: float, seconds: float) -> bool:
        late = self.clock.now() - began > seconds + STALL
        if late:
            self.lenient_until = self.clock.now() + SETTLE + DOUBT
        return late

    async def _follow(self, one: Watched, spec: NodeSpec) -> None:
        """Until its heartbeats come again. Evidence is taken while its time runs out: it delays nothing."""
        limit, seen_of = max(spec.health.patience, LEAST), NEVER
        while self._here(one):
            heard, now = self._last_turn(one), self.clock.now()
            if now - heard < DOUBT:
                break  # it speaks again
            if one.doubted is None or one.doubted[0] < heard:
                one.doubted, one.detail = self._first_look(one), ""
            due = max(heard + limit, self.lenient_until)
            if now >= due - evidence.TIME and seen_of != heard:
                seen_of = heard
                await self._see(one)
                continue
            if now >= due:
                await self._tell(one, spec)
            next_step = due - (evidence.TIME if seen_of != heard else 0.0)
            await self._sleep(min(AGAIN, next_step - now) if now < next_step else AGAIN)
        self._well(one, one.heard + DOUBT)

    async def _ask(self, one: Watched, spec: NodeSpec, group: asyncio.TaskGroup) -> None:
        """Until it answers; it is asked again when its period is over.

        A question stays open as long as its manifest is patient: an answer that comes late is one all the
        same. Programs that ask are run one at a time.
        """
        health, began = spec.health, self.clock.now()
        runs = health.alive_by is Probe.EXEC
        limit, most = (health.timeout, 1) if runs else (health.patience, health.failures)
        unheard, asked = began, set[asyncio.Task[Heard]]()
        try:
            while self._here(one):
                began = self.clock.now()
                if len(asked) < most:
                    asked.add(group.create_task(self.questions.alive(spec, one.instance, limit)))
                answers = await self._answers(asked, began + health.every)
                if any(heard.answered for heard in answers):
                    one.heard = self.clock.now()
                    break
                one.doubted = one.doubted or self._first_look(one)
                one.detail = next((heard.detail for heard in answers if heard.detail), one.detail)
                one.said = next((heard.said for heard in answers if heard.said), one.said)
                if any(heard.answered is None for heard in answers):
                    unheard = self.clock.now()  # The fault was ours: it begins anew.
                one.silent = self.clock.now() - unheard >= health.patience
                if one.silent and not one.told_on:
                    one.told_on = True
                    group.create_task(self._tell_on(one, spec))
        finally:
            for question in asked:
                question.cancel()
        self._well(one, began + health.every)

    async def _answers(self, asked: set[asyncio.Task[Heard]], until: float) -> list[Heard]:
        """What comes of the open questions until it is time for the next, or until one is answered."""
        found: list[Heard] = []
        while (left := until - self.clock.now()) > 0 and not any(heard.answered for heard in found):
            if not asked:
                await self._sleep(left)
                break
            began = self.clock.now()
            done, _ = await asyncio.wait(asked, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            self._came_late(began, left)
            asked -= done
            found += [question.result() for question in done]
        return found

    async def _tell_on(self, one: Watched, spec: NodeSpec) -> None:
        """Beside the questions, which may take longer."""
        while self._here(one) and one.silent:
            if self.clock.now() >= self.lenient_until:
                await self._see(one)
                if one.silent:
                    await self._tell(one, spec)
            await self._sleep(AGAIN)
        one.told_on = False

    async def _see(self, one: Watched) -> None:
        """Evidence first: what it does is gone once it is ended."""
        found = self.sensors.look(one.process)
        if found is not None and not one.detail and not self._at_work(one):
            one.detail = await evidence.gathered(self.processes, self.nodes, one.instance.id, found.state)

    async def _tell(self, one: Watched, spec: NodeSpec) -> None:
        second = self.sensors.look(one.process)
        if second is None or self._at_work(one):
            return
        at, heard = self.clock.now(), one.heard
        if spec.health.alive_by is Probe.SDK:
            self._last_turn(one)
        if one.heard > heard or not self._here(one):
            return
        since, first = one.doubted or (at, second)
        span = max(at - since, SHORTEST)
        silence = Silence(
            seconds=round(self.clock.now() - one.heard, 3),
            asked=self.questions.words(spec, spec.health.alive_by),
            cpu=round(max(0.0, second.cpu - first.cpu) / span, 3),
            waited=round(min(1.0, max(0.0, second.waited - first.waited) / span), 3),
            state=second.state,
            pressure=self.sensors.pressure(),
            detail=one.detail,
            said=one.said,
        )
        self.inbox.put(InstanceSilent(self.clock.now(), spec.name, one.instance.id, silence))

    def _first_look(self, one: Watched) -> tuple[float, Look] | None:
        found = self.sensors.look(one.process)
        return (self.clock.now(), found) if found is not None else None

    def _here(self, one: Watched) -> bool:
        return self.watched.get(one.instance.id) is one

    def _well(self, one: Watched, due: float) -> None:
        one.due, one.doubted, one.silent, one.detail = due, None, False, ""
        one.said = ""

    def _at_work(self, one: Watched) -> bool:
        """Whether it may stand still because we had it collect, shrink, or tell where its memory grows."""
        node = self.view().nodes.get(one.spec.name if one.spec is not None else "")
        now = node.healing.now if node is not None else None
        if now is None or now.instance != one.instance.id:
            return False
        if now.stage is Stage.EVIDENCE:
            return True
        return now.stage is Stage.ACTING and now.attempt is not None and now.attempt.rung in OWN_WORK


def _begun(node: NodeState, instance: Instance, process: Process, now: float) -> Watched:
    spec = spec_of(node, instance)
    watched = spec is not None and spec.health.alive_by is not Probe.NONE
    # One that lived on without us has spoken when our memory says so.
    spoke = instance.vitals.heartbeat_age >= 0
    return Watched(instance, process, spec, now, spoke, now if watched else NEVER)
