"""What do tests on a real host share, in whichever folder? Who watches it, who asks it, what it said last."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.follow import Follower
from tests.e2e.host import Host
from tests.e2e.traffic import Traffic


@pytest.fixture(scope="module")
def follower(host: Host) -> Iterator[Follower]:
    following = Follower(host)
    yield following
    following.close()


@pytest.fixture
def traffic(host: Host, tmp_path: Path) -> Callable[..., Traffic]:
    """Requests to one of the host's ports, counted from 1."""

    def begin(port: int = 1, rate: float = 50.0) -> Traffic:
        return Traffic(tmp_path / f"load-{port}.jsonl", host.first_port + port - 1, rate)

    return begin


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """What its programs said last, beside a failed test."""
    report = yield
    made = getattr(item, "funcargs", {}).get("host")
    if report.failed and isinstance(made, Host):
        for name in ("noded", "launcher", "proxy", "mesh"):
            text = made.log(name) if (made.folder / f"out/{name}.log").exists() else ""
            report.sections.append((f"{name} of {made.folder.name}", text[-4000:]))
    return report
