"""What does a process of a simulated node do by itself, and how is a version's character made up?"""

from dataclasses import dataclass
from random import Random

from nodespec.manifest import (
    Autonomy,
    Budget,
    Canary,
    Consumes,
    Healing,
    Health,
    Levels,
    Listen,
    NodeSpec,
    OnFailure,
    OnInconclusive,
    Order,
    Probe,
    Protocol,
    Publishes,
    Resources,
    RolloutPlan,
    Rung,
    Serves,
    Stop,
)
from tests.policy.build import MB

LIMIT = 256 * MB
BEGIN = 30 * MB
SOCKETS = (8200, 8201)
"""Ports of nodes whose sockets are held."""


TYPES = ("shop.changed", "till.changed", "stock.changed")


@dataclass(frozen=True, slots=True)
class Traits:
    """The character of one version."""

    start: float = 0.5
    """Seconds until it is ready; 0 means never."""
    life: float = 0.0
    """Mean seconds until it crashes; 0 means it does not."""
    leak: float = 0.0
    """Bytes a second while it takes requests."""
    cached: bool = False
    """What leaks is a registered cache: shrinking it helps for good."""
    deaf: bool = False
    """Does not hear SIGTERM."""
    errors: float = 0.0
    """Share of requests that fail."""
    silent: bool = False
    """Has no SDK: no orders, no profile."""


@dataclass(slots=True)
class Living:
    """One process tree."""

    instance: str
    node: str
    digest: str
    traits: Traits
    since: float
    ready_at: float = 0.0
    memory: float = BEGIN
    leaking: bool = True
    asked: float = 0.0
    bad: float = 0.0
    up: bool = True

    def grow(self, seconds: float, serving: bool) -> None:
        if serving and self.leaking:
            self.memory += self.traits.leak * seconds

    def shrink(self) -> tuple[int, int]:
        before = int(self.memory)
        if self.traits.cached:
            self.memory, self.leaking = BEGIN + (self.memory - BEGIN) / 2, False
        return before, int(self.memory)


def some_traits(dice: Random) -> Traits:
    """Mostly good; every kind of bad now and then."""
    kind = dice.choices(
        ("good", "leaking", "caching", "crashing", "slow", "never", "failing", "deaf", "silent"),
        (10, 5, 2, 2, 2, 1, 2, 2, 2),
    )[0]
    start = dice.uniform(0.05, 3.0)
    match kind:
        case "leaking" | "caching":
            return Traits(start, leak=dice.uniform(0.3, 4.0) * MB, cached=kind == "caching")
        case "crashing":
            return Traits(start, life=dice.uniform(0.2, 200.0))
        case "slow" | "never":
            return Traits(dice.uniform(5.0, 25.0) if kind == "slow" else 0.0)
        case "failing":
            return Traits(start, errors=dice.choice((0.002, 0.05, 0.5, 1.0)))
        case "deaf":
            return Traits(start, deaf=True, leak=dice.choice((0.0, 2.0 * MB)))
        case "silent":
            return Traits(start, silent=True, leak=dice.choice((0.0, 2.0 * MB)))
        case _:
            return Traits(start)


def _publishes(dice: Random, name: str) -> tuple[Publishes, ...]:
    """Mostly of its own; now and then what is another's."""
    types = [f"{name}.changed", dice.choice(TYPES)] if dice.random() < 0.1 else [f"{name}.changed"]
    return tuple(Publishes(each, dice.choice(("", "c.json"))) for each in dict.fromkeys(types))


def _consumes(dice: Random) -> tuple[Consumes, ...]:
    wanted = dice.sample(TYPES, dice.choice((0, 0, 1, 2)))
    return tuple(Consumes(each, order_by=dice.choice((None, Order.SUBJECT))) for each in wanted)


def some_spec(dice: Random, name: str, version: str, port: int | None) -> NodeSpec:
    held = port in SOCKETS
    levels = [dice.choice([Autonomy.ACT, Autonomy.ACT, Autonomy.APPROVE, *Autonomy]) for _ in range(3)]
    proxied = port is not None and not held
    readiness = dice.choice(
        (Probe.SDK, Probe.NOTIFY, Probe.HTTP, Probe.NONE) if proxied else (Probe.SDK, Probe.NONE)
    )
    listen = Listen.FD if held else dice.choice((Listen.UNIX, Listen.PORT))
    return NodeSpec(
        name=name,
        version=version,
        run=("python3", "-m", name),
        before=(("migrate",),) if dice.random() < 0.2 else (),
        reload=dice.choice(("", "HUP")),
        start_timeout=10.0,
        stop=Stop("TERM", dice.choice((1.0, 5.0))),
        instances=dice.choice((1, 1, 2, 3)),
        spares=dice.choice((0, 1, 1, 2)) if proxied else 0,
        serves=Serves(port, Protocol.TCP if held else Protocol.HTTP, listen) if port else None,
        publishes=_publishes(dice, name),
        consumes=_consumes(dice),
        health=Health(readiness=readiness),
        resources=Resources(memory=LIMIT),
        healing=Healing(
            ladder=tuple(rung for rung in Rung if dice.random() < 0.85),
            settle=20.0,
            budget=Budget(dice.choice((1, 6)), dice.choice((1, 3))),
            autonomy=Levels(tune=levels[0], replace=levels[1], regenerate=levels[2]),
        ),
        rollout=_plan(dice),
    )


def _plan(dice: Random) -> RolloutPlan:
    return RolloutPlan(
        dice.choice(((0.1, 0.5, 1.0), (0.25, 1.0), (1.0,))),
        dwell=5.0,
        soak=dice.choice((10.0, 10.0, 30.0, 30.0, 1300.0)),
        max_dwell=dice.choice((20.0, 120.0)),
        on_inconclusive=dice.choice((OnInconclusive.HOLD, *OnInconclusive)),
        on_failure=dice.choice((OnFailure.ROLLBACK, *OnFailure)),
        canary=dice.choice((Canary.SHARE, *Canary)),
    )
