"""Does everything hold on cgroup2, with the kernel and the systemd of Debian 12?

One run of one guest; each test looks at a part of what it reported.
"""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.systemd import guest
from tests.systemd.conftest import copy_nodes

pytestmark = pytest.mark.systemd
ACTIVE = "active active active active"


@pytest.fixture(scope="module")
def told(debs: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    nodes = tmp_path_factory.mktemp("guest") / "nodes"
    copy_nodes(nodes)
    found = guest.report(debs, nodes)
    print("\n".join(f"{name} {value}" for name, value in found.items()))
    return {name: value.strip() for name, value in found.items()}


def test_boots_with_everything_in_order(told: Mapping[str, str]) -> None:
    assert told["boot"] == ACTIVE
    assert told["failed"] == "."
    assert told["filesystem"] == "cgroup2fs"
    began = list(map(int, told["order"].split()))
    assert len(began) == 4
    assert began == sorted(began)


def test_says_that_it_is_cgroup2_and_that_nothing_is_missing(told: Mapping[str, str]) -> None:
    assert told["cgroups"] == "v2"
    assert told["degraded"] == '"degraded": [],'


def test_the_tree_is_delegated(told: Mapping[str, str]) -> None:
    assert told["delegated"] == "yes"
    assert told["top"] == ".", "a group with processes cannot hand controllers down"
    assert {"cpu", "memory", "pids"} <= set(told["handed_down"].split())


def test_limits_are_those_of_the_manifest(told: Mapping[str, str]) -> None:
    assert told["hog"].split() == [str(48 * 1024**2), "1", "40", "50000", "100000"]
    assert told["ticker"] == str(64 * 1024**2)
    assert told["pressure"].startswith("some avg10=")


def test_a_node_inherits_nothing_it_must_not(told: Mapping[str, str]) -> None:
    words = told["status"].split()
    found = dict(zip(words[::2], words[1::2], strict=True))
    assert found == {"Umask:": "0007", "CapEff:": "0000000000000000", "NoNewPrivs:": "1", "Seccomp:": "0"}
    assert told["namespaces"] == "same"
    assert told["oom_score"] == "0"


@pytest.mark.parametrize(
    "end",
    [*(f"{how}-{unit}" for how in ("restart", "kill", "stop") for unit in ("noded-launcher", "noded")),
     "reload", "after", "sleeper"],
)  # fmt: skip
def test_no_end_of_a_service_ends_a_node(told: Mapping[str, str], end: str) -> None:
    assert told["before"]
    assert told[end] == told["before"]


def test_all_is_back_afterwards(told: Mapping[str, str]) -> None:
    assert told["services"] == ACTIVE
    assert told["still"] == "active"


def test_memory_high_and_kill_of_a_group_work_in_the_tree(told: Mapping[str, str]) -> None:
    assert int(told["high"].split()[1]) > 0
    assert told["killed"] == "137"


def test_out_of_memory_is_told_as_such_and_harms_nobody_else(told: Mapping[str, str]) -> None:
    assert int(told["oom"]) > 0
    assert told["others"] == "same"
    assert told["holder"] == "active"


def test_stopping_the_holder_stops_all_and_it_starts_again(told: Mapping[str, str]) -> None:
    assert told["stopped"] == "inactive inactive active inactive"
    assert told["left"] == "."
    assert told["again"] == ACTIVE
