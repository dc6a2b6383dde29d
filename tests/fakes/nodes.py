"""Nodes without programs: the test says what each SDK answers, and what it has said.

It passes the same contract suite as `NodeSockets`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from noded.model.inputs import InstanceReady
from noded.model.signals import Answers
from noded.ports import Clock, Heartbeat, Inbox, NotFound, PortError


@dataclass
class FakeLine:
    node: str
    uid: int | None = None
    ready: bool = False
    heartbeat: Heartbeat | None = None
    answered: Answers | None = None
    answers: dict[str, Mapping[str, object] | PortError] = field(default_factory=dict)
    """Answer to each `do`; without one there is no SDK."""


class FakeNodes:
    def __init__(self, inbox: Inbox, clock: Clock) -> None:
        self.lines: dict[str, FakeLine] = {}
        self.orders: list[tuple[str, Mapping[str, object]]] = []
        """Every order in the order it came, with its instance."""
        self._inbox = inbox
        self._clock = clock

    def listen(self, node: str, instance: str) -> str:
        self.lines.setdefault(instance, FakeLine(node))
        return f"/run/noded/notify/{instance}.sock"

    def expect(self, node: str, instance: str, uid: int) -> None:
        if instance not in self.lines:
            raise NotFound(f"cannot listen to {instance}: its socket is not open")
        self.lines[instance].uid = uid

    async def order(self, instance: str, order: Mapping[str, object], timeout: float) -> Mapping[str, object]:
        self.orders.append((instance, order))
        line = self.lines.get(instance)
        answer = line.answers.get(str(order["do"])) if line else None
        if answer is None:
            raise NotFound(f"cannot have {instance} {order['do']}: it is gone")
        if isinstance(answer, PortError):
            raise answer
        return answer

    def heartbeat(self, instance: str) -> Heartbeat | None:
        line = self.lines.get(instance)
        return line.heartbeat if line else None

    def answers(self, instance: str) -> Answers | None:
        line = self.lines.get(instance)
        return line.answered if line else None

    def forget(self, instance: str) -> None:
        self.lines.pop(instance, None)

    # -- what a test does in the place of the program

    def say_ready(self, instance: str, uid: int, how: str = "it said so") -> None:
        line = self.lines[instance]
        if line.uid == uid and not line.ready:
            line.ready = True
            self._inbox.put(InstanceReady(self._clock.now(), line.node, instance, how, True))

    def tell_answers(self, uid: int, answers: Answers) -> None:
        if self.lines[answers.instance].uid == uid:
            self.lines[answers.instance].answered = answers

    def beat(self, instance: str, uid: int, lag: float = 0.0, progress: int = 0, stuck: float = 0.0) -> None:
        if self.lines[instance].uid == uid:
            self.lines[instance].heartbeat = Heartbeat(self._clock.now(), lag, progress, stuck)
            self.say_ready(instance, uid, "its heartbeat")
