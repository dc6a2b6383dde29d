"""Does every value of the model come back equal, and is text that does not fit refused?"""

import json
import math
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noded.model.actions import Action, KillInstance, StartInstance, WakeAt
from noded.model.inputs import Booted, Input, InstanceStarted, Reading, Sampled, Woken
from noded.model.instance import Process, Vitals
from noded.model.state import HostState, NodeState
from noded.model.trend import Trend
from noded.runtime import codec
from nodespec.manifest import NodeSpec
from tests.runtime.nouns import host, incident, instance, node, rollout
from tests.runtime.values import values

few = settings(max_examples=15, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("shape", get_args(Input), ids=lambda shape: shape.__name__)
@few
@given(st.data())
def test_every_input_comes_back_equal(shape: type, data: st.DataObject) -> None:
    comes_back(Input, data.draw(values(shape)))


@pytest.mark.parametrize("shape", get_args(Action), ids=lambda shape: shape.__name__)
@few
@given(st.data())
def test_every_action_comes_back_equal(shape: type, data: st.DataObject) -> None:
    comes_back(Action, data.draw(values(shape)))


def comes_back(union: Any, value: Any) -> None:
    text = codec.dump_tagged(value)
    back = codec.load_tagged(union, text)
    assert type(back) is type(value)
    assert back == value
    assert codec.dump_tagged(back) == text
    assert "\n" not in text
    text.encode()  # also what holds half a surrogate pair can be written to a file


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(values(HostState))
def test_every_state_comes_back_equal(state: HostState) -> None:
    text = codec.dump(state)
    assert codec.load(HostState, text) == state
    assert codec.dump(codec.load(HostState, text)) == text


def test_a_real_state_comes_back_equal() -> None:
    state = host(node("catalog", instance(), rollout=rollout()), node("ticker"))
    held = state.nodes["catalog"].healing.__class__(now=incident(), serial=1)
    state = state.holding(node("catalog", instance(trend=Trend()), healing=held, rollout=rollout()))
    back = codec.load(HostState, codec.dump(state))
    assert back == state
    assert list(back.nodes) == list(state.nodes)
    assert back.nodes["catalog"].instances["catalog.1"].trend.last == -math.inf


def test_a_new_field_with_a_default_may_be_missing_in_old_text() -> None:
    raw = json.loads(codec.dump(node()))
    del raw["restart_wanted"], raw["spec"]["tests"]
    assert codec.load(NodeState, json.dumps(raw)) == node()


def test_a_whole_number_is_a_fine_float() -> None:
    found = codec.load(WakeAt, '{"node":"a","at":5,"reason":""}')
    assert type(found.at) is float


BAD_SHAPES = [
    ("[]", "a list is no table"),
    ("null", "nothing"),
    ('"catalog"', "a text"),
    ("{}", "fields are missing"),
    ('{"pid":1,"start_time":2,"uid":3,"gid":4}', "an unknown field"),
    ('{"pid":"1","start_time":2,"uid":3}', "a text for a number"),
    ('{"pid":1.5,"start_time":2,"uid":3}', "a fraction for a whole number"),
    ('{"pid":true,"start_time":2,"uid":3}', "true for a number"),
    ('{"pid":null,"start_time":2,"uid":3}', "nothing for a number"),
    ('{"pid":1,"start_time":2,"uid":3,"memory_cgroup":7}', "a number for a text"),
    ('{"pid":1,"start_time":2,"uid":3', "cut off"),
    ("", "empty"),
]


@pytest.mark.parametrize(("text", "why"), BAD_SHAPES, ids=[why for _, why in BAD_SHAPES])
def test_a_value_that_does_not_fit_is_refused(text: str, why: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        codec.load(Process, text)


@pytest.mark.parametrize(
    "text",
    [
        '{"name":"a","version":"1","run":"python3"}',
        '{"name":"a","version":"1","run":{"0":"python3"}}',
        '{"name":"a","version":"1","run":["python3"],"env":[["PATH"]]}',
        '{"name":"a","version":"1","run":["python3"],"health":{"readiness":"guess"}}',
        '{"name":"a","version":"1","run":["python3"],"start_timeout":"30"}',
        '{"name":"a","version":"1","run":["python3"],"start_timeout":true}',
        '{"name":"a","version":"1","run":["python3"],"serves":[]}',
    ],
)
def test_a_nested_value_that_does_not_fit_is_refused(text: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        codec.load(NodeSpec, text)


BAD_TAGS = [
    "{}",
    "[]",
    '["Woken"]',
    '["Unheard",{}]',
    '[["Woken"],{}]',
    '["KillInstance",{}]',
    '["Woken",[]]',
    "x",
]


@pytest.mark.parametrize("text", BAD_TAGS)
def test_a_tag_that_is_none_is_refused(text: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        codec.load_tagged(Input, text)


READING = Reading("a.1", "a", Vitals(7, 0.25, 3, 2, 0.001, 0.5))


def test_readings_are_rows_without_names_and_come_back_equal() -> None:
    text = codec.dump_tagged(Sampled(1.0, (READING,)))
    assert text == '["Sampled",{"at":1.0,"readings":[["a.1","a",[7,0.25,3,2,0.001,0.5]]]}]'
    assert codec.load_tagged(Input, text) == Sampled(1.0, (READING,))


def test_readings_of_older_builds_are_read() -> None:
    """Tables with names, and rows from before a field was added at the end."""
    table = '{"instance":"a.1","node":"a","vitals":{"memory":7,"cpu":0.25}}'
    for text in (table, '["a.1","a",[7,0.25]]'):
        found = codec.load_tagged(Input, f'["Sampled",{{"at":1,"readings":[{text}]}}]')
        assert found == Sampled(1.0, (Reading("a.1", "a", Vitals(7, 0.25)),))


@pytest.mark.parametrize(
    "row", ["[]", '["a.1"]', '["a.1","a",[1,2,3,4,5,6,7,8,9]]', '["a.1","a",["7"]]', "7"]
)
def test_a_row_that_does_not_fit_is_refused(row: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        codec.load_tagged(Input, f'["Sampled",{{"at":1.0,"readings":[{row}]}}]')


def test_members_of_a_union_are_told_apart() -> None:
    assert codec.load_tagged(Input, codec.dump_tagged(Woken(1.0, "a"))) == Woken(1.0, "a")
    kill = KillInstance("a", "a.1", "why")
    assert codec.load_tagged(Action, codec.dump_tagged(kill)) == kill
    assert set(codec.members(Input)) >= {"Booted", "Sampled"}
    assert codec.members(Action)["StartInstance"] is StartInstance


def test_only_values_of_the_model_are_written() -> None:
    for value in ([1], {1}, object(), b"bytes"):
        with pytest.raises(TypeError, match="not a value of the model"):
            codec.dump_tagged(InstanceStarted(1.0, "a", "a.1", Process(1, 2, 3), value))  # type: ignore[arg-type]


def test_mappings_keep_their_order() -> None:
    state = host(node("b"), node("a"))
    assert list(codec.load(HostState, codec.dump(state)).nodes) == ["b", "a"]


def test_an_empty_booted_and_sampled() -> None:
    for fact in (Booted(1.0, host().host), Sampled(1.0)):
        assert codec.load_tagged(Input, codec.dump_tagged(fact)) == fact
