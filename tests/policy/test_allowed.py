"""The administrator's caps hold whatever a manifest says; PAUSE stops all but keeping alive."""

from noded.model.inputs import PolicyRead
from noded.model.state import HostState
from nodespec.manifest import LIMITLESS, Autonomy, Levels
from tests.policy.build import Core, running, spec, starts

CAREFUL = Levels(Autonomy.ACT, Autonomy.ACT, Autonomy.ADVISE, Autonomy.APPROVE, Autonomy.OFF)


def read(core: Core, caps: Levels = LIMITLESS, held: bool = False, **of: Levels) -> None:
    core.tell(PolicyRead(core.at, caps, held, tuple(of.items())))


def test_the_more_careful_of_manifest_and_cap_holds() -> None:
    core = running(spec(levels=Levels(tune=Autonomy.OBSERVE, replace=Autonomy.ACT, regenerate=Autonomy.ACT)))
    read(core, CAREFUL)
    assert core.node.autonomy == Levels(
        Autonomy.ACT, Autonomy.ACT, Autonomy.OBSERVE, Autonomy.APPROVE, Autonomy.OFF
    )
    read(core)
    assert core.node.autonomy.replace is Autonomy.ACT


def test_a_node_may_have_a_cap_of_its_own_beside_that_of_all() -> None:
    core = running(spec())
    read(core, CAREFUL, shop=Levels(restart=Autonomy.OBSERVE, tune=Autonomy.ACT))
    assert core.node.autonomy.restart is Autonomy.OBSERVE
    assert core.node.autonomy.tune is Autonomy.ADVISE
    core.apply(spec(name="other", port=8101))
    assert core.state.nodes["other"].autonomy.restart is Autonomy.ACT


def test_a_new_node_is_under_the_caps_from_its_first_moment() -> None:
    core = Core()
    read(core, CAREFUL)
    core.apply(spec())
    assert core.node.autonomy.regenerate is Autonomy.OFF


def test_a_cap_on_restarts_leaves_down_what_ended() -> None:
    core = running(spec())
    read(core, Levels(restart=Autonomy.ADVISE))
    assert not starts(core.exits("shop.1"))
    assert starts(core.order("start"))


def test_the_file_pause_stops_rollouts_and_not_restarts() -> None:
    core = running(spec())
    read(core, held=True)
    core.apply(spec("1.1"))
    core.comes_up("shop.2")
    core.tick(60.0, counts={"shop.1": (500, 0), "shop.2": (500, 0)})
    assert core.node.rollout is not None and core.node.rollout.at_step == -1
    assert starts(core.exits("shop.1"))
    read(core)
    core.tick(1.0)
    assert core.node.rollout is not None


def test_caps_survive_in_the_state() -> None:
    core = running(spec())
    read(core, CAREFUL)
    assert HostState(caps=CAREFUL).caps == core.state.caps
