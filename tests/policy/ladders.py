"""Nodes that leak, brought to a chosen point of the ladder by the inputs noded would see."""

from collections.abc import Callable

from noded.model.incident import Stage
from noded.model.inputs import CachesShrunk, GarbageCollected, MemoryProfiled
from noded.model.instance import Instance, Role
from nodespec.manifest import NodeSpec
from tests.policy.build import MB, SITE, Core, running, spec

LEAK = 2 * MB
"""Bytes per second: found within a minute, at its limit after two."""


def grow(core: Core, until: Callable[[Core], bool], leak: float = LEAK, seconds: int = 600) -> None:
    """Samples, one a second, of memory that grows in every stable instance, until something is so."""
    for _ in range(seconds):
        if until(core):
            return
        core.tick(1.0, {i.id: _grown(i, leak) for i in core.node.instances.values() if i.serves})
    raise AssertionError(f"not so within {seconds} s: {core.node.healing.now}")


def _grown(instance: Instance, leak: float) -> int:
    """What takes no requests does not leak."""
    return int((instance.vitals.memory or 30 * MB) + (leak if instance.role is Role.STABLE else 0))


def found(core: Core) -> bool:
    return core.node.healing.now is not None


def at_stage(*stages: Stage) -> Callable[[Core], bool]:
    return lambda core: found(core) and core.incident.stage in stages


def evident(core: Core) -> Core:
    """Let the growth be found and its evidence be there."""
    grow(core, found)
    grow(core, lambda core: core.incident.profiled)
    core.tell(MemoryProfiled(core.at, "shop", core.incident.instance, (SITE,)))
    return core


def leaking(wanted: NodeSpec | None = None) -> Core:
    """A node whose leak was found and profiled; the first rung was chosen."""
    return evident(running(wanted or spec(spares=1)))


def collected(core: Core, freed: int = 0) -> None:
    name = core.incident.instance
    used = core.instance(name).vitals.memory
    core.tell(GarbageCollected(core.at, "shop", name, used, used - freed, 12))


def shrunk(core: Core, freed: int = 0) -> None:
    name = core.incident.instance
    used = core.instance(name).vitals.memory
    core.tell(CachesShrunk(core.at, "shop", name, used, used - freed, "prices 100 -> 50 entries"))


def tuned(core: Core) -> Core:
    """Collecting and shrinking were tried, the memory grows on, and what follows was begun."""
    collected(core)
    grow(core, at_stage(Stage.ACTING))
    shrunk(core)
    grow(core, at_stage(Stage.ACTING, Stage.WAITING, Stage.NEEDS_PERSON))
    return core
