"""Is what a node answers taken by type and bounded, whatever it is?"""

import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noded.adapters.control_status import node_status
from noded.model.actions import (
    ActivateInstance,
    BeginProfile,
    CollectGarbage,
    EndProfile,
    RestoreCaches,
    ShrinkCaches,
)
from noded.model.incident import Record, Site
from noded.model.inputs import CachesShrunk, GarbageCollected, MemoryProfiled
from noded.ports import NotFound, PortError, Refused, TimedOut
from noded.runtime import codec, orders
from tests.adapters.looped import looped
from tests.fakes.clock import FakeClock
from tests.fakes.inbox import FakeInbox
from tests.fakes.nodes import FakeNodes
from tests.runtime.nouns import incident, node

CLOCK = FakeClock()
NAME = ("catalog", "catalog.1")


def nodes(**answers: Mapping[str, object] | PortError) -> FakeNodes:
    made = FakeNodes(FakeInbox(), CLOCK)
    made.listen(*NAME)
    made.lines["catalog.1"].answers = dict(answers)
    return made


@looped
async def test_each_order_in_the_words_of_the_wire() -> None:
    said = nodes(collect={}, shrink={}, restore={}, profile_start={}, profile_stop={}, activate={})
    await orders.activate(said, ActivateInstance(*NAME, "ready"))
    await orders.begin_profile(said, BeginProfile(*NAME, "it grows"))
    await orders.end_profile(said, CLOCK, EndProfile(*NAME, "seen enough"))
    await orders.collect(said, CLOCK, CollectGarbage(*NAME, "first rung"))
    await orders.shrink(said, CLOCK, ShrinkCaches(*NAME, 0.5, "second rung"))
    await orders.restore(said, RestoreCaches(*NAME, "no use"))
    assert [order for _, order in said.orders] == [
        {"do": "activate"},
        {"do": "profile_start", "frames": 1},
        {"do": "profile_stop", "top": 15},
        {"do": "collect"},
        {"do": "shrink", "fraction": 0.5},
        {"do": "restore"},
    ]
    assert {instance for instance, _ in said.orders} == {"catalog.1"}


@looped
async def test_results_become_facts() -> None:
    site = {"file": "a/b.py", "line": 41, "function": "f", "bytes": 900, "count": 3}
    said = nodes(
        collect={"before": 10, "after": 4, "objects": 7, "seconds": 0.1},
        shrink={"before": 9, "after": 5, "caches": [{"name": "prices", "before": 120, "after": 60}]},
        profile_stop={"seconds": 1.0, "sites": [site]},
    )
    at = CLOCK.now()
    assert await orders.collect(said, CLOCK, CollectGarbage(*NAME, "")) == GarbageCollected(
        at, *NAME, 10, 4, 7
    )
    assert await orders.shrink(said, CLOCK, ShrinkCaches(*NAME, 0.5, "")) == CachesShrunk(
        at, *NAME, 9, 5, "prices 120 -> 60 entries"
    )
    assert await orders.end_profile(said, CLOCK, EndProfile(*NAME, "")) == MemoryProfiled(
        at, *NAME, (Site("a/b.py", 41, "f", 900, 3),)
    )


@looped
async def test_a_node_without_caches_is_told_as_that() -> None:
    for result in ({}, {"caches": []}, {"caches": {}}, {"caches": "many"}, {"caches": [1, None]}):
        shrunk = await orders.shrink(nodes(shrink=result), CLOCK, ShrinkCaches(*NAME, 0.5, ""))
        assert shrunk.detail == "the node has no registered cache"


@looped
async def test_many_caches_and_sites_are_cut() -> None:
    caches = [{"name": "n" * 999, "before": 1, "after": 1}] * 50
    shrunk = await orders.shrink(nodes(shrink={"caches": caches}), CLOCK, ShrinkCaches(*NAME, 0.5, ""))
    assert len(shrunk.detail) < 10 * 250
    sites = [{"file": "f" * 999, "line": 1}] * 50
    profiled = await orders.end_profile(nodes(profile_stop={"sites": sites}), CLOCK, EndProfile(*NAME, ""))
    assert len(profiled.sites) == 15
    assert len(profiled.sites[0].file) == 200


ODD = [None, True, "7", [], {}, math.nan, math.inf, -math.inf, 2**60, -(2**60), 10**400]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: str(odd)[:9])
@looped
async def test_an_odd_number_is_none(odd: Any) -> None:
    result = {"before": odd, "after": odd, "objects": odd}
    found = await orders.collect(nodes(collect=result), CLOCK, CollectGarbage(*NAME, ""))
    assert (found.before, found.after, found.objects) in ((0, 0, 0), (1, 1, 1))


@looped
async def test_a_text_is_printable() -> None:
    site = {"file": "a\n\x1b[31m\ud800b", "function": 7, "line": 1.9}
    found = await orders.end_profile(nodes(profile_stop={"sites": [site]}), CLOCK, EndProfile(*NAME, ""))
    assert found.sites == (Site("a[31mb", 1, "", 0, 0),)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=10,
)
KEYS = st.sampled_from("sites caches file line function bytes count before after objects name".split())
ANSWERS = st.dictionaries(
    KEYS, JSON | st.lists(st.dictionaries(KEYS, JSON, max_size=5), max_size=3), max_size=6
)


@given(ANSWERS)
def test_no_answer_does_harm(answer: Mapping[str, object]) -> None:
    @looped
    async def ask() -> None:
        said = nodes(collect=answer, shrink=answer, profile_stop=answer)
        facts = [
            await orders.collect(said, CLOCK, CollectGarbage(*NAME, "")),
            await orders.shrink(said, CLOCK, ShrinkCaches(*NAME, 0.5, "")),
            await orders.end_profile(said, CLOCK, EndProfile(*NAME, "")),
        ]
        for fact in facts:
            assert "NaN" not in codec.dump_tagged(fact)

    ask()


@pytest.mark.parametrize("line", [-1, 2**31, 2**40, -(2**50)])
@looped
async def test_a_line_that_no_file_has_does_not_hide_the_status(line: int) -> None:
    answer = {"sites": [{"file": "a.py", "line": line, "bytes": -5, "count": -5}]}
    found = await orders.end_profile(nodes(profile_stop=answer), CLOCK, EndProfile(*NAME, ""))
    open_now = Record(incident(sites=found.sites))
    assert node_status(node(healing=open_now), 300.0).incident.sites[0].file == "a.py"


@looped
async def test_a_program_without_sdk_needs_no_word_to_act() -> None:
    await orders.activate(nodes(), ActivateInstance(*NAME, "ready"))
    with pytest.raises(TimedOut):
        await orders.activate(nodes(activate=TimedOut("no answer")), ActivateInstance(*NAME, "ready"))


@pytest.mark.parametrize("error", [NotFound("no SDK"), TimedOut("no answer"), Refused("it cannot")])
@looped
async def test_a_refusal_is_passed_on(error: PortError) -> None:
    with pytest.raises(type(error)):
        await orders.collect(nodes(collect=error), CLOCK, CollectGarbage(*NAME, ""))
