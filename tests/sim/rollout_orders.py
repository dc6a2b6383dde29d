"""Which inputs may reach a node that rolls out, in any order, and what must be so after each of them?

hypothesis chooses them one at a time and shortens what breaks a rule to the few inputs that matter.
"""

from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from noded.model.actions import (
    Action,
    Answer,
    KillInstance,
    RemoveInstance,
    StartInstance,
)
from noded.model.inputs import (
    ActionFailed,
    ApplyRequested,
    Booted,
    CommandRequested,
    Input,
    InstanceExited,
    InstanceReady,
    InstanceStarted,
    MeshFound,
    Observed,
    PolicyRead,
    ProxyFound,
    ProxyLost,
    Reading,
    Sampled,
    SignalsTold,
    TableTaken,
    TrafficCounted,
    Woken,
)
from noded.model.instance import Phase, Role, Vitals
from noded.model.rollout import Stage
from noded.model.route import Traffic
from noded.model.signals import Answers, Handled
from noded.model.state import Desired, HostState
from noded.policy.decide import decide
from noded.runtime import codec
from noded.runtime.reactor import replay
from nodespec.manifest import (
    LIMITLESS,
    Autonomy,
    Canary,
    Consumes,
    NodeSpec,
    OnFailure,
    OnInconclusive,
    Protocol,
    RolloutPlan,
    Serves,
    Stop,
)
from tests.policy.build import HOST, MB, number_of, process, release_of, spec
from tests.sim import invariants

NAME = "shop"
VERBS = (
    *("hold", "continue", "continue", "abort", "promote", "promote", "finish", "retry", "retry", "rollback"),
    *("rollback", "pause", "resume", "resume", "stop", "start", "start", "restart", "remove"),
)
EDGES = (0.01, 0.1, 1.0)


@st.composite
def specs(draw: st.DrawFn) -> NodeSpec:
    """Releases of one node; their version is given when they are applied."""
    kind = draw(st.sampled_from((*["serves"] * 8, "consumes", "moved", "tcp")))
    plan = RolloutPlan(
        draw(st.sampled_from(((0.1, 0.5, 1.0), (1.0,)))),
        dwell=5.0,
        soak=draw(st.sampled_from((10.0, 1300.0))),
        max_dwell=30.0,
        on_inconclusive=draw(st.sampled_from(OnInconclusive)),
        on_failure=draw(st.sampled_from(OnFailure)),
        canary=draw(st.sampled_from(Canary)),
    )
    made = spec(
        "1.0",
        NAME,
        port={"serves": 8100, "moved": 8101, "tcp": 8150}.get(kind),
        instances=draw(st.sampled_from((1, 1, 2))),
        spares=draw(st.sampled_from((0, 1))) if kind == "serves" else 0,
        consumes=(Consumes("shop.placed"),) if kind == "consumes" else (),
        stop=Stop("TERM", 2.0),
    )
    serves = replace(made.serves, protocol=Protocol.TCP) if made.serves and kind == "tcp" else made.serves
    assert serves is None or isinstance(serves, Serves)
    return replace(made, rollout=plan, serves=serves)


class RolloutOrders(RuleBasedStateMachine):
    """A host with one node; its processes live as the launcher would have them."""

    def __init__(self) -> None:
        super().__init__()
        self.at = 1000.0
        self.state = HostState()
        self.begun = HostState()
        self.lines: list[str] = []
        self.alive: dict[str, str] = {}
        self.given: set[str] = set()
        self.counts: dict[str, tuple[int, int]] = {}
        self.answers: dict[str, tuple[int, int]] = {}
        self.handled: dict[str, tuple[int, int]] = {}
        self.proxy = 0
        self.applied: list[NodeSpec] = []

    def hear(self, fact: Input) -> tuple[Action, ...]:
        before = self.state
        self.lines.append(f"I {codec.dump_tagged(fact)}\n")
        self.state, actions = decide(before, fact)
        self.lines += [f"A {codec.dump_tagged(action)}\n" for action in actions]
        invariants.check(before, fact, self.state, actions)
        self._keeps_stable(before, self.state)
        for action in actions:
            if isinstance(action, StartInstance):
                assert action.instance not in self.given, f"{action.instance} is started twice"
                self.given.add(action.instance)
                self.alive[action.instance] = action.digest
        ended = [a.instance for a in actions if isinstance(a, KillInstance | RemoveInstance)]
        for name in ended:
            self._end(name, "signal 9")
        return actions

    def _end(self, name: str, status: str) -> None:
        if self.alive.pop(name, None) is not None:
            self.hear(InstanceExited(self.at, NAME, name, status))

    @staticmethod
    def _keeps_stable(before: HostState, after: HostState) -> None:
        """While a rollout is under way nobody of stable leaves for its sake."""
        old, new = before.nodes.get(NAME), after.nodes.get(NAME)
        if old is None or new is None or not new.rolling_out or new.desired is not Desired.RUNNING:
            return
        for one in old.of(Role.STABLE):
            now = new.instances.get(one.id)
            if now is None or one.leaving or not now.leaving or one.condemned or now.killed_at:
                continue
            if one.digest != new.release.digest:
                continue  # it was replaced before this rollout began
            wanted = ("one instance too many", "ordered restart")
            assert any(why in now.condemned for why in wanted), f"{one.id} leaves: {now.condemned}"

    # People

    @initialize(first=specs())
    def begin(self, first: NodeSpec) -> None:
        host = replace(HOST, tcp_ports=((8150, 8150),))
        self.hear(Booted(self.at, host))
        self.hear(ProxyFound(self.at, "p0"))
        self.hear(MeshFound(self.at, "m0", 0))
        self.apply(first, 0, True)

    @rule(new=specs(), again=st.integers(0, 12), up=st.sampled_from((True, True, True, False)))
    def apply(self, new: NodeSpec, again: int, up: bool) -> None:
        """A release that was not seen before, or one of the last few again; mostly it comes up at once."""
        if 0 < again <= len(self.applied):
            new = self.applied[-again]
        else:
            new = replace(new, version=f"1.{len(self.applied)}")
            self.applied.append(new)
        self.hear(ApplyRequested(self.at, 1, new, release_of(new), ""))
        if up:
            self.come_up()

    @rule(verb=st.sampled_from(VERBS), version=st.sampled_from(("", "", "1.0", "1.1", "1.3")))
    def order(self, verb: str, version: str) -> None:
        actions = self.hear(CommandRequested(self.at, 2, verb, NAME, "uid 0", version))
        assert sum(isinstance(a, Answer) for a in actions) == 1

    @rule(held=st.booleans(), level=st.sampled_from(Autonomy))
    def rule_over_all(self, held: bool, level: Autonomy) -> None:
        self.hear(PolicyRead(self.at, replace(LIMITLESS, rollback=level), held))

    # Processes

    @rule()
    def come_up(self) -> None:
        self.hear(TableTaken(self.at, self.state.mesh.number))
        for name in sorted(self.alive):
            self._up(name)

    def _up(self, name: str) -> None:
        self.hear(InstanceStarted(self.at, NAME, name, process(number_of(name))))
        self.hear(InstanceReady(self.at, NAME, name, "it said so"))

    @rule(which=st.integers(0, 7), status=st.sampled_from(("code 1", "signal 9")))
    def die(self, which: int, status: str) -> None:
        if self.alive:
            names = sorted(self.alive)
            self._end(names[which % len(names)], status)

    @rule(kind=st.sampled_from(("Refused", "Unavailable", "TimedOut")))
    def refuse_a_start(self, kind: str) -> None:
        node = self.state.nodes.get(NAME)
        waiting = [i.id for i in node.instances.values() if i.process is None] if node else []
        for name in waiting[:1]:
            self.alive.pop(name, None)
            self.hear(ActionFailed(self.at, "StartInstance", NAME, name, kind, "it could not be started"))

    @rule()
    def leave(self) -> None:
        """Who was told to go goes."""
        node = self.state.nodes.get(NAME)
        for name in [i.id for i in node.instances.values() if i.phase is Phase.STOPPING] if node else []:
            self._end(name, "code 0")

    # Time and figures

    @rule(seconds=st.sampled_from((0.2, 1.0, 6.0, 35.0, 700.0)), memory=st.integers(1, 255))
    def pass_time(self, seconds: float, memory: int) -> None:
        self.at += seconds
        read = [Reading(name, NAME, Vitals(memory * MB)) for name in sorted(self.alive)]
        self.hear(Sampled(self.at, tuple(read)))

    @rule(
        seconds=st.sampled_from((0.2, 6.0)),
        asked=st.integers(0, 2000),
        canary=st.sampled_from((0.0, 0.0, 0.01, 1.0)),
        stable=st.sampled_from((0.0, 0.0, 0.01, 0.5)),
        down=st.sampled_from(("", "", "canary", "stable")),
    )
    def count(self, seconds: float, asked: int, canary: float, stable: float, down: str) -> None:
        self.at += seconds
        node = self.state.nodes.get(NAME)
        if node is None or not self.state.proxy:
            return
        share = node.route.share if node.route else 0.0
        told = []
        for one in node.instances.values():
            part = share if one.role is Role.CANARY else 1.0 - share
            wrong = canary if one.role is Role.CANARY else stable
            requests, bad = self.counts.get(one.id, (0, 0))
            more = int(asked * part) if one.phase is Phase.READY else 0
            self.counts[one.id] = requests, bad = requests + more, bad + int(more * wrong)
            told.append(Traffic(one.id, requests, bad, 0, one.role != down))
        self.hear(TrafficCounted(self.at, tuple(told)))

    @rule(many=st.integers(0, 500), bad=st.sampled_from((0.0, 0.0, 0.5)), late=st.sampled_from((0.0, 1.0)))
    def tell(self, many: int, bad: float, late: float) -> None:
        """What instances and the mesh say; the new version may be the worse one."""
        node = self.state.nodes.get(NAME)
        if node is None:
            return
        answers = []
        for one in node.instances.values():
            worse = one.role is Role.CANARY
            total, slow = self.answers.get(one.id, (0, 0))
            self.answers[one.id] = total, slow = total + many, slow + (int(many * late) if worse else 0)
            answers.append(Answers(one.id, total, 0, EDGES, (total - slow, total - slow, total)))
        handled = []
        for version in {one.version for one in node.instances.values()}:
            worse = version != node.release.version
            total, wrong = self.handled.get(version, (0, 0))
            self.handled[version] = total, wrong = total + many, wrong + (int(many * bad) if worse else 0)
            handled.append(Handled(NAME, version, total, wrong))
        self.hear(SignalsTold(self.at, tuple(answers), tuple(sorted(handled, key=lambda h: h.version))))

    @rule()
    def wake(self) -> None:
        self.hear(Woken(self.at, NAME))

    # Programs

    @rule(survivors=st.integers(0, 255), seconds=st.sampled_from((0.1, 20.0)))
    def restart_noded(self, survivors: int, seconds: float) -> None:
        self.at += seconds
        text = codec.dump(self.state)
        assert codec.dump(codec.load(HostState, text)) == text
        names = sorted(self.alive)
        kept = [name for place, name in enumerate(names) if survivors >> place & 1]
        self.alive = {name: self.alive[name] for name in kept}
        found = tuple(Observed(name, process(number_of(name)), self.alive[name]) for name in kept)
        self.hear(Booted(self.at, self.state.host, found))
        self.hear(ProxyFound(self.at, f"p{self.proxy}"))

    @rule(forgets=st.booleans())
    def restart_proxy(self, forgets: bool) -> None:
        self.hear(ProxyLost(self.at, "connection refused"))
        if forgets:
            self.proxy += 1
            self.counts.clear()
        self.hear(ProxyFound(self.at, f"p{self.proxy}"))

    @rule()
    def refuse_a_route(self) -> None:
        self.hear(ActionFailed(self.at, "InstallRoute", NAME, "", "Refused", "no such slot"))

    # What must be so

    @invariant()
    def nothing_that_goes_has_a_share(self) -> None:
        node = self.state.nodes.get(NAME)
        if node is None or node.route is None or node.rolling_out:
            return
        assert node.route.share == 0.0, f"{node.route.share} and no rollout: {node.rollout}"

    @invariant()
    def a_promotion_came_after_its_soak(self) -> None:
        """Unless a person asked to finish."""
        node = self.state.nodes.get(NAME)
        rollout = node.rollout if node else None
        if rollout is None or rollout.stage is not Stage.PROMOTED or rollout.finish or rollout.hurry:
            return
        assert rollout.done[-1].share == 1.0 and rollout.done[-1].seconds >= rollout.spec.rollout.soak

    def teardown(self) -> None:
        """The record of it all leads to the same actions and the same state."""
        state, differences = replay(self.lines, self.begun)
        assert differences == ()
        assert codec.dump(state) == codec.dump(self.state)
