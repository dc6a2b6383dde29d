"""Is every fact said in a sentence that names what it is about?"""

from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noded.model.inputs import (
    ActionFailed,
    ApplyRequested,
    CachesShrunk,
    GarbageCollected,
    Input,
    InstanceExited,
    InstanceStarted,
    ProxyLost,
)
from noded.runtime.words import words
from tests.runtime.nouns import applied, booted, ordered, process, release, spec
from tests.runtime.values import values


@pytest.mark.parametrize("shape", get_args(Input), ids=lambda shape: shape.__name__)
@settings(max_examples=5)
@given(st.data())
def test_every_fact_has_its_words(shape: type, data: st.DataObject) -> None:
    assert words(data.draw(values(shape)))


SAID = [
    (booted(), "noded started and found 0 instances alive, 0 nodes on record"),
    (applied(), "uid 1000 applied catalog 1.4.0"),
    (ApplyRequested(1.0, 1, spec(), release(), plan_only=True), "uid 1000 asked for a plan of catalog 1.4.0"),
    (ordered("stop"), "uid 0 ordered stop catalog"),
    (ordered("pause", node=""), "uid 0 ordered pause of the host"),
    (
        InstanceStarted(
            1.0, "catalog", "catalog.1", process(7), ("memory limit not applied", "cpu limit not applied")
        ),
        "catalog.1 runs as pid 7, uid 64200; memory limit not applied; cpu limit not applied",
    ),
    (InstanceExited(1.0, "catalog", "catalog.1", "code 3"), "catalog.1 exited: code 3"),
    (ProxyLost(1.0, "no socket"), "the proxy does not answer: no socket"),
    (
        GarbageCollected(1.0, "catalog", "catalog.1", 3 * 2**20, 2**20, 7),
        "catalog.1 collected garbage: 3.0 -> 1.0 MiB, 7 objects",
    ),
    (
        CachesShrunk(1.0, "catalog", "catalog.1", 2**20, 2**20, "prices 10 -> 5 entries"),
        "catalog.1 shrank its caches: 1.0 -> 1.0 MiB; prices 10 -> 5 entries",
    ),
    (
        ActionFailed(1.0, "StartInstance", "catalog", "catalog.1", "Refused", "no such file"),
        "StartInstance failed (Refused): no such file",
    ),
]


@pytest.mark.parametrize(("fact", "said"), SAID, ids=[type(fact).__name__ for fact, _ in SAID])
def test_what_is_said(fact: Input, said: str) -> None:
    assert words(fact) == said
