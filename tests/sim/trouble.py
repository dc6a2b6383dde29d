"""What goes wrong in the simulated world, and what do its administrators order?"""

from collections.abc import Callable

from noded.model.inputs import ApplyRequested, CommandRequested, InstanceSilent, PolicyRead
from noded.model.liveness import Pressure, Silence
from noded.model.release import Release
from noded.runtime import codec
from nodespec.manifest import LIMITLESS, Autonomy, Levels
from tests.sim.living import SOCKETS, some_spec, some_traits
from tests.sim.world import World

NAMES = {"shop": 8100, "till": 8101, "stock": 8102, "ticker": None, "echo": 8200}
VERBS = (
    *("restart", "stop", "start", "start", "remove", "pause", "resume", "resume"),
    *("abort", "promote", "finish", "hold", "hold", "continue", "retry", "retry", "rollback", "rollback"),
    *("approve", "approve", "approve", "reload", "reload", "reload", "explode"),
)
DECIDED = 120.0
"""Seconds between the looks of a person for rollouts that wait for one."""


class Trouble:
    """Everything that happens to a world from outside, at random times, until it is called off."""

    def __init__(self, world: World, forgetful: bool = False) -> None:
        self._world = world
        self._forgetful = forgetful
        self._memories = [codec.dump(world.state)]
        self._dice = world.dice
        self._versions = dict.fromkeys(NAMES, 0)
        self._over = False
        for call, every in (
            (self._apply, 90.0),
            (self._command, 45.0),
            (self._crash, 60.0),
            (self._kill_noded, 120.0),
            (self._remember, 60.0),
            (self._restart_proxy, 200.0),
            (self._lose_proxy, 200.0),
            (self._lose_mesh, 150.0),
            (self._lose_launcher, 300.0),
            (self._lose_registry, 300.0),
            (self._fall_silent, 60.0),
            (self._change_policy, 300.0),
        ):
            self._often(call, every)

    def end(self) -> None:
        """No more trouble; whatever a person paused is resumed, when noded is back if it is away."""
        self._over = True
        self._world.calm_down()
        self._world.later(60.0, self._resume)
        self._world.later(DECIDED, self._decide)

    def _resume(self) -> None:
        self._world.hear(PolicyRead(self._world.now, LIMITLESS, held=False))
        for name in ("", *self._world.state.nodes):
            self._order("resume", name)
            self._order("continue", name)

    def _decide(self) -> None:
        """What is frozen, or what the figures do not decide, waits for a person."""
        for name, node in self._world.state.nodes.items():
            rollout = node.rollout
            if node.rolling_out and rollout is not None:
                waits = rollout.frozen or rollout.question
                if waits:
                    self._order(self._dice.choice(("abort", "finish")), name)
        self._world.later(DECIDED, self._decide)

    def _often(self, call: Callable[[], None], every: float) -> None:
        def again() -> None:
            if not self._over:
                call()
                self._often(call, every)

        self._world.later(self._dice.expovariate(1.0 / every), again)

    # People

    def _apply(self) -> None:
        name = self._dice.choice(tuple(NAMES))
        self.apply(name)

    def apply(self, name: str) -> None:
        world, dice = self._world, self._dice
        again = dice.random() < 0.1
        self._versions[name] += not again
        version = f"1.{self._versions[name]}"
        port = NAMES[name]
        if port is not None and dice.random() < 0.1:
            port = dice.choice((8201, 9000) if port in SOCKETS else (8100, 8103, 8104, 9000))
        spec = some_spec(dice, name, version, port)
        release = Release(name, version, world.digest(spec), "uid 1000")
        world.register(spec, release, some_traits(dice))
        taken = world.registry.get(f"{name} {version}", "")
        world.hear(ApplyRequested(world.now, 1, spec, release, taken, dice.random() < 0.1))

    def _command(self) -> None:
        names = (*NAMES, *NAMES, "", "ghost")
        self._order(self._dice.choice(VERBS), self._dice.choice(names))

    def _order(self, verb: str, name: str) -> None:
        named = verb == "rollback" and self._dice.random() < 0.5
        version = f"1.{self._dice.randint(1, 9)}" if named else ""
        self._world.hear(CommandRequested(self._world.now, 2, verb, name, "uid 0", version))

    def _change_policy(self) -> None:
        """An administrator edits policy.toml, or lays PAUSE beside it for a while."""
        dice = self._dice
        caps = LIMITLESS if dice.random() < 0.5 else Levels(*(dice.choice(tuple(Autonomy)) for _ in range(5)))
        self._world.hear(PolicyRead(self._world.now, caps, held=dice.random() < 0.3))

    # Things

    def _fall_silent(self) -> None:
        """An instance is told to give no sign of life, whatever it and its host do."""
        ready = [name for name, one in sorted(self._world.living.items()) if one.ready_at]
        if not ready:
            return
        name, dice = self._dice.choice(ready), self._dice
        pressure = Pressure(*(dice.choice((-1.0, 0.0, 0.9)) for _ in range(3)))
        cpu, waited = dice.choice((0.0, 1.0)), dice.choice((0.0, 0.5))
        silence = Silence(2.5, "its heartbeat", cpu, waited, dice.choice("RSDTt"), pressure)
        self._world.hear(InstanceSilent(self._world.now, name.rpartition(".")[0], name, silence))

    def _crash(self) -> None:
        alive = sorted(self._world.living)
        if alive:
            self._world.die(self._dice.choice(alive), "signal 9")

    def _kill_noded(self) -> None:
        world = self._world
        if world.up:
            world.kill()
            if self._forgetful and self._dice.random() < 0.3:
                world.forget(self._dice.choice(self._memories))
            world.later(self._dice.choice((0.1, 2.0, 30.0)), world.boot)

    def _remember(self) -> None:
        """What a damaged journal may fall back to: nothing, or the state of some minutes ago."""
        self._memories = [self._memories[0], *self._memories[1:][-3:], codec.dump(self._world.state)]

    def _restart_proxy(self) -> None:
        proxy = self._world.proxy
        proxy.restart()
        for one in self._world.living.values():
            one.asked = one.bad = 0.0
            one.up = True
        proxy.up = False

        def back() -> None:
            proxy.up = True

        self._world.later(self._dice.uniform(0.1, 5.0), back)

    def _lose_proxy(self) -> None:
        proxy = self._world.proxy
        proxy.reachable = False

        def back() -> None:
            proxy.reachable = True

        self._world.later(self._dice.uniform(0.1, 20.0), back)

    def _lose_mesh(self) -> None:
        mesh, dice = self._world.mesh, self._dice
        mesh.up = False

        def back() -> None:
            if dice.random() < 0.7:
                mesh.restart(with_its_disk=dice.random() < 0.8)
            mesh.up = True

        self._world.later(dice.uniform(0.1, 40.0), back)

    def _lose_launcher(self) -> None:
        self._lose("launcher_up")

    def _lose_registry(self) -> None:
        self._lose("registry_up")

    def _lose(self, what: str) -> None:
        world = self._world
        setattr(world, what, False)
        world.later(self._dice.uniform(0.1, 20.0), lambda: setattr(world, what, True))
