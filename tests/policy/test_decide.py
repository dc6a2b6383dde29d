"""The table of contents: every input is answered, in the right order, and nothing else is touched."""

import pytest

from noded.model import inputs
from noded.model.actions import ROUTINE, Answer, ForgetNode, InstallRoute, Note, StartInstance
from noded.model.incident import Report
from noded.model.inputs import (
    ActionFailed,
    CachesShrunk,
    GarbageCollected,
    Input,
    InstanceExited,
    InstanceReady,
    InstanceStarted,
    MemoryProfiled,
    RegenerationFailed,
    Woken,
)
from noded.runtime import codec
from tests.policy.build import Core, only, process, proposed, rolling, running, spec
from tests.policy.ladders import leaking, tuned

ABOUT_NOBODY: tuple[Input, ...] = (
    InstanceStarted(5.0, "ghost", "ghost.1", process(1)),
    InstanceReady(5.0, "ghost", "ghost.1", "it said so"),
    InstanceExited(5.0, "ghost", "ghost.1", "code 0"),
    GarbageCollected(5.0, "ghost", "ghost.1", 2, 1, 0),
    CachesShrunk(5.0, "ghost", "ghost.1", 2, 1, ""),
    MemoryProfiled(5.0, "ghost", "ghost.1", ()),
    proposed(5.0, "ghost-1", spec("1.1", name="ghost")),
    RegenerationFailed(5.0, "ghost", "ghost-1", Report("none", "")),
    Woken(5.0, "ghost"),
    ActionFailed(5.0, "StartInstance", "ghost", "ghost.1", "Refused", "no"),
)


@pytest.mark.parametrize("fact", ABOUT_NOBODY, ids=lambda fact: type(fact).__name__)
def test_facts_about_unknown_nodes_change_nothing(fact: Input) -> None:
    core = running()
    before = core.state
    assert core.tell(fact) == () and core.state == before


@pytest.mark.parametrize("fact", ABOUT_NOBODY, ids=lambda fact: type(fact).__name__)
def test_facts_nobody_waits_for_do_no_harm(fact: Input) -> None:
    """The same facts about a node that is well: late, double, or from another life."""
    core = running()
    before = core.state
    named = codec.dump_tagged(fact).replace("ghost.1", "shop.77").replace("ghost", "shop")
    assert core.tell(codec.load_tagged(inputs.Input, named)) == ()
    assert core.state == before


def test_a_fact_of_one_node_leaves_the_others_alone() -> None:
    core = running()
    core.apply(spec(name="till", port=8101))
    before = core.node
    core.comes_up("till.1")
    core.exits("till.1")
    assert core.node is before


def test_a_share_is_cut_before_anything_slower_is_begun() -> None:
    core = rolling()
    kinds = [type(a) for a in core.exits("shop.2") if not isinstance(a, Note)]
    assert kinds.index(InstallRoute) <= 1
    core = rolling(spec(spares=1), spec("1.1", spares=1))
    actions = core.exits("shop.1")
    routed = next(n for n, a in enumerate(actions) if isinstance(a, InstallRoute))
    started = next(n for n, a in enumerate(actions) if isinstance(a, StartInstance))
    assert routed < started


def test_the_state_given_is_not_changed() -> None:
    core = rolling()
    before = core.state
    text = codec.dump(before)
    core.exits("shop.1")
    core.order("stop")
    assert codec.dump(before) == text


def test_a_forgotten_node_is_forgotten_once() -> None:
    core = running()
    core.order("remove")
    core.leave()
    assert len(core.all_of(ForgetNode)) == 1
    assert core.tick(1.0) == ()


def test_every_action_has_a_reason_a_person_can_read() -> None:
    stories = [tuned(leaking(spec(spares=1))), rolling(spec(instances=2, spares=1))]
    stories[1].exits("shop.1")
    stories[1].order("finish")
    stories[1].order("remove")
    stories[1].leave()
    for core in stories:
        for action in core.done:
            reason = action.text if isinstance(action, Answer) else action.reason
            assert len(reason.split()) >= 2 or isinstance(action, ROUTINE), action


@pytest.mark.parametrize("build", [lambda: tuned(leaking()), lambda: rolling(spec(spares=1))])
def test_decisions_are_the_same_after_the_state_was_written_and_read(build: object) -> None:
    core: Core = build()  # type: ignore[operator]
    other = Core(core.at, codec.load(type(core.state), codec.dump(core.state)))
    assert other.state == core.state
    for one in (lambda c: c.exits("shop.1"), lambda c: c.tick(30.0), lambda c: c.order("stop")):
        assert one(core) == one(other)
    assert other.state == core.state
    assert only(core.order("remove"), Answer)
