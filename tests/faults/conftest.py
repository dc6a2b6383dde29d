"""Hosts for fault tests: one for each module."""

from collections.abc import Iterator

import pytest

from tests.e2e import host as hosts
from tests.e2e.host import Host
from tests.e2e.stage import follower, pytest_runtest_makereport, traffic

__all__ = ["follower", "pytest_runtest_makereport", "traffic"]
"""Fixtures and hooks are found by their names here."""

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
