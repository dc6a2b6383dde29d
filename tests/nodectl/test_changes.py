"""Is a changed key told as node.toml has it?"""

import pytest

from nodeapi.v1 import control_pb2 as pb
from nodectl.changes import rows

ROWS = [
    (("version", "1.0.0", "1.1.0"), ("node.version", "1.0.0", "1.1.0")),
    (("stop.timeout", "30.0", "90.0"), ("node.stop.timeout", "30s", "90s")),
    (("start_timeout", "0.5", "10.0"), ("node.start_timeout", "500ms", "10s")),
    (("rollout.dwell", "30.0", "600.0"), ("rollout.dwell", "30s", "10m")),
    (("rollout.soak", "5.0", "0.0"), ("rollout.soak", "5s", "0s")),
    (
        ("rollout.steps", "[0.1, 0.25, 0.5, 1.0]", "[0.005, 1.0]"),
        ("rollout.steps", "[10, 25, 50, 100]", "[0.5, 100]"),
    ),
    (("resources.memory", "268435456", "1073741824"), ("resources.memory", "256M", "1G")),
    (("resources.memory_high", "0", "1000"), ("resources.memory_high", "0", "1000")),
    (("serves.port", "", "8100"), ("serves.port", "-", "8100")),
    (("objectives.error_ratio", "0.0", "0.01"), ("objectives.error_ratio", "0.0", "0.01")),
    (("health.period", "", "0.25"), ("health.period", "-", "250ms")),
    (("consumes", "[]", "[shop.order]"), ("consumes", "[]", "[shop.order]")),
    (("rollout.dwell", "(operators see it)", "5.0"), ("rollout.dwell", "(operators see it)", "5s")),
    (("resources.memory", "(operators see it)", "5"), ("resources.memory", "(operators see it)", "5")),
    (("rollout.steps", "(operators see it)", ""), ("rollout.steps", "(operators see it)", "-")),
    (("of.another.noded", "1", "2"), ("of.another.noded", "1", "2")),
    (("node.spares", "", "1"), ("node.spares", "-", "1")),
]


@pytest.mark.parametrize(("told", "shown"), ROWS, ids=[f"{key} {after}" for (key, _, after), _ in ROWS])
def test_each_kind_of_value(told: tuple[str, str, str], shown: tuple[str, str, str]) -> None:
    key, before, after = told
    assert rows([pb.KeyChange(key=key, before=before, after=after)]) == [shown]
