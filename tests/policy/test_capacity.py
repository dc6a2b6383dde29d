"""What does not fit into the host's memory at its worst moment is refused whole."""

from dataclasses import replace

from noded.model import capacity
from noded.model.actions import Answer
from noded.model.state import HostState
from nodespec.manifest import Canary, Serves
from tests.policy.build import HOST, MB, Core, only, running, spec, starts

GB = 1024 * MB


def on(memory: int) -> Core:
    return Core(state=HostState(host=replace(HOST, memory=memory), proxy="first"))


def test_instances_spares_and_canaries_are_counted() -> None:
    wanted = spec(instances=2, spares=1, memory=100 * MB)
    assert capacity.peak(None, wanted) == 400 * MB
    assert capacity.peak(running(wanted).node, wanted) == 600 * MB
    assert capacity.peak(running(wanted).node, replace(wanted, instances=4)) == 800 * MB


def test_what_cannot_run_twice_is_counted_once() -> None:
    alone = spec(port=None, instances=2, memory=100 * MB)
    assert capacity.peak(running(alone).node, alone) == 200 * MB
    beside = replace(alone, rollout=replace(alone.rollout, canary=Canary.INSTANCES))
    assert capacity.peak(running(alone).node, beside) == 400 * MB
    assert capacity.peak(running(alone).node, replace(alone, serves=Serves(8100))) == 400 * MB


def test_spares_of_both_versions_are_there_when_one_is_promoted() -> None:
    wanted = spec(instances=2, spares=2, memory=100 * MB)
    core = running(wanted)
    counted = capacity.peak(core.node, wanted)
    core.comes_up(*starts(core.apply(replace(wanted, version="1.1"))))
    core.order("finish")
    core.comes_up(*starts(core.tick(1.0)))
    assert len(core.node.instances) * 100 * MB == counted == 800 * MB


def test_no_limit_no_figure() -> None:
    assert capacity.peak(None, spec(memory=0)) == 0
    assert capacity.peak(running(spec(memory=0)).node, spec(memory=100 * MB)) == 0


def test_a_node_without_a_limit_cannot_bring_in_one_that_does_not_fit() -> None:
    core = on(4 * GB)
    core.apply(spec(memory=0))
    core.comes_up("shop.1")
    assert only(core.apply(spec("1.1", memory=64 * GB)), Answer).kind == "conflict"


def test_a_stopped_node_starts_only_where_there_is_room() -> None:
    core = on(4 * GB)
    core.apply(spec(memory=2 * GB))
    core.comes_up("shop.1")
    core.order("stop")
    core.exits("shop.1", "code 0")
    assert only(core.apply(spec(name="other", port=8101, memory=3 * GB)), Answer).kind == ""
    answer = only(core.order("start"), Answer)
    assert answer.kind == "refused" and "2,048 MiB" in answer.text


def test_the_canaries_of_others_count_while_they_roll_out() -> None:
    core = on(4 * GB)
    core.apply(spec(memory=1 * GB))
    core.comes_up("shop.1")
    core.apply(spec("1.1", memory=1 * GB))
    other = spec(name="other", port=8101, memory=2 * GB)
    assert only(core.apply(other), Answer).kind == "conflict"
    core.order("abort")
    assert only(core.apply(other), Answer).kind == ""


def test_what_does_not_fit_is_refused_with_the_sum() -> None:
    core = on(2 * GB)
    answer = only(core.apply(spec(memory=1900 * MB)), Answer)
    assert answer.kind == "conflict"
    for part in ("1,900 MiB", "256 MiB", "2,048 MiB", "lower [resources] memory"):
        assert part in answer.text
    assert not core.state.nodes


def test_other_nodes_count_while_they_are_to_run() -> None:
    core = on(4 * GB)
    core.apply(spec(memory=3 * GB))
    other = spec(name="other", port=8101, memory=1 * GB)
    assert only(core.apply(other), Answer).kind == "conflict"
    core.comes_up("shop.1")
    core.order("stop")
    assert only(core.apply(other), Answer).kind == ""


def test_a_rollout_needs_room_for_the_canary_too() -> None:
    core = on(4 * GB)
    core.apply(spec(memory=2 * GB))
    core.comes_up("shop.1")
    answer = only(core.apply(spec("1.1", memory=2 * GB)), Answer)
    assert answer.kind == "conflict" and "4,096 MiB at its peak" in answer.text
    assert only(core.apply(spec("1.1", memory=1 * GB)), Answer).kind == ""


def test_a_host_that_does_not_know_its_memory_refuses_nothing() -> None:
    assert only(on(0).apply(spec(memory=100 * GB)), Answer).kind == ""


def test_a_long_rollout_needs_room_for_a_fresh_old_instance_too() -> None:
    core = running(spec(memory=256 * MB))
    assert capacity.peak(core.node, spec("1.1", memory=256 * MB)) == 512 * MB
    assert capacity.peak(core.node, spec("1.1", memory=256 * MB, soak=1800.0)) == 768 * MB
