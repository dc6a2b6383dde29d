"""Hosts for fault tests: one for each module."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import host as hosts
from tests.e2e.follow import Follower
from tests.e2e.host import Host
from tests.e2e.traffic import Traffic

TOLD = pytest.StashKey[dict[str, str]]()


@pytest.fixture(scope="session")
def told(pytestconfig: pytest.Config) -> dict[str, str]:
    """What is told at the end of the run, also when all is well: seeds above all."""
    return pytestconfig.stash.setdefault(TOLD, {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for name, text in config.stash.get(TOLD, {}).items():
        terminalreporter.write_line(f"{name}: {text}")


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    made = hosts.make("ndf")
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def follower(host: Host) -> Iterator[Follower]:
    following = Follower(host)
    yield following
    following.close()


@pytest.fixture
def traffic(host: Host, tmp_path: Path) -> Callable[..., Traffic]:
    """Requests to one of the host's ports, counted from 1."""

    def begin(port: int = 1, rate: float = 30.0) -> Traffic:
        return Traffic(tmp_path / f"load-{port}.jsonl", host.first_port + port - 1, rate)

    return begin


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """What noded said last, beside a failed test."""
    report = yield
    made = getattr(item, "funcargs", {}).get("host")
    if report.failed and isinstance(made, Host):
        for name in ("noded", "launcher"):
            report.sections.append((f"{name} of {made.folder.name}", made.log(name)[-4000:]))
    return report
