"""Is a planned change told key by key, and the memory it takes at most?"""

from typing import Any

import pytest

from noded.adapters.apply_plan import changes
from noded.model.capacity import peak
from nodespec.manifest import (
    Autonomy,
    Consumes,
    Healing,
    Health,
    Levels,
    Order,
    Probe,
    Resources,
    Rung,
    Serves,
)
from tests.runtime.nouns import instance, node, spec


def test_a_new_node_changes_nothing() -> None:
    assert changes(None, spec()) == ()
    assert changes(spec(), spec()) == ()


CHANGES: list[tuple[dict[str, Any], tuple[str, str, str]]] = [
    ({"version": "1.5.0"}, ("version", "1.4.0", "1.5.0")),
    ({"run": ("a", "b")}, ("run", "[python3, -m, catalog]", "[a, b]")),
    ({"instances": 3}, ("instances", "1", "3")),
    ({"env": (("A", "1"),)}, ("env", "[]", "[[A, 1]]")),
    (
        {"before": (("./migrate", "--check"), ("./warm",))},
        ("before", "[]", "[[./migrate, --check], [./warm]]"),
    ),
    ({"secrets": (("KEY", "file:/etc/key"),)}, ("secrets", "[]", "[[KEY, file:/etc/key]]")),
    ({"env_file": "/etc/env"}, ("env_file", "", "/etc/env")),
    ({"reload": "HUP"}, ("reload", "", "HUP")),
    ({"health": Health(liveness=Probe.NONE)}, ("health.liveness", "", "none")),
    ({"resources": Resources(memory=512)}, ("resources.memory", str(256 * 2**20), "512")),
    (
        {"healing": Healing(ladder=(Rung.COLLECT,))},
        ("healing.ladder", "[collect, shrink, replace, regenerate]", "[collect]"),
    ),
    ({"healing": Healing(autonomy=Levels(tune=Autonomy.ACT))}, ("healing.autonomy.tune", "advise", "act")),
    (
        {"consumes": (Consumes("shop.order", order_by=Order.SUBJECT), Consumes("shop.sale", "sale.json"))},
        ("consumes", "[]", "[shop.order subject, shop.sale sale.json]"),
    ),
    ({"serves": Serves(8101)}, ("serves.port", "8100", "8101")),
]


@pytest.mark.parametrize(("fields", "change"), CHANGES, ids=[change[0] for _, change in CHANGES])
def test_each_key(fields: dict[str, Any], change: tuple[str, str, str]) -> None:
    assert changes(spec(), spec(**fields)) == (change,)


def test_a_table_that_comes_or_goes() -> None:
    came = changes(spec(serves=None), spec())
    assert came == (
        ("serves.hosts", "", "[]"),
        ("serves.idempotent", "", "[GET, HEAD]"),
        ("serves.listen", "", "unix"),
        ("serves.port", "", "8100"),
        ("serves.protocol", "", "http"),
    )
    assert changes(spec(), spec(serves=None)) == tuple((key, new, old) for key, old, new in came)


M = 2**20


def test_a_new_node_needs_what_it_wants_and_a_second_spare() -> None:
    wanted = spec(instances=2, spares=1, resources=Resources(memory=100 * M))
    assert peak(None, wanted) == 400 * M


def test_a_rollout_needs_both_versions_at_once() -> None:
    running = node("catalog", spec=spec(spares=2))
    assert peak(running, spec(resources=Resources(memory=100 * M))) == (3 * 256 + 100) * M


def test_more_instances_than_before() -> None:
    assert peak(node("catalog", instance()), spec(instances=5)) == (1 + 5) * 256 * M


@pytest.mark.parametrize("limits", [(0, 100), (100, 0), (0, 0)])
def test_without_a_limit_nothing_can_be_said(limits: tuple[int, int]) -> None:
    before, after = (spec(resources=Resources(memory=limit)) for limit in limits)
    assert peak(node("catalog", instance(), spec=before), after) == 0
