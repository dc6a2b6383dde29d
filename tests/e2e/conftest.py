"""Hosts for end-to-end tests: one for each module, and stories that go on beside them from the start.

What takes long by its nature (a leak, a minute of work, a lease that ends) runs on hosts of its own
from the first end-to-end test on, and is judged by the last modules.
"""

import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e import host as hosts
from tests.e2e.background import Leaks, Quiet, Story
from tests.e2e.host import Host
from tests.e2e.orphans import Orphans
from tests.e2e.rightless import Rightless
from tests.e2e.stage import follower, pytest_runtest_makereport, traffic

__all__ = ["follower", "pytest_runtest_makereport", "traffic"]
"""Fixtures and hooks are found by their names here."""

EARLY = ("apply", "lifecycle", "control", "rollout", "survival")
LATE = ("orphans", "degraded", "healing", "memory", "journal")
"""Modules that judge what ran beside the others come last; the journal's look at everything is the end."""
STORIES: dict[str, Callable[[], Story]] = {
    "healing": Leaks,
    "memory": Quiet,
    "orphans": Orphans,
    "degraded": Rightless,
}
LANES = (("healing",), ("memory",), ("orphans", "degraded"))
"""Stories of one lane come one after the other."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    if item.get_closest_marker("e2e") is None:
        return 0
    subject = item.path.stem.removeprefix("test_")
    if subject in EARLY:
        return 1 + EARLY.index(subject)
    between = len(EARLY) + 1
    return between + 1 + LATE.index(subject) if subject in LATE else between


@dataclass
class Rings:
    """Journals of hosts that are gone."""

    folder: Path
    kept: list[Path] = field(default_factory=list)

    def keep(self, host: Host, name: str) -> None:
        """noded must have ended: the last lines are on disk then."""
        target = self.folder / f"{name}-{len(self.kept)}"
        shutil.copytree(host.state / "ring", target)
        self.kept.append(target)


FIGURES = pytest.StashKey[dict[str, str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = {}


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> dict[str, str]:
    """What was measured, told at the end of the run also when all is well."""
    return pytestconfig.stash[FIGURES]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for name, text in config.stash[FIGURES].items():
        terminalreporter.write_line(f"{name}: {text}")


@pytest.fixture(scope="session")
def rings(tmp_path_factory: pytest.TempPathFactory) -> Rings:
    return Rings(tmp_path_factory.mktemp("rings"))


@pytest.fixture(scope="session", autouse=True)
def beside(request: pytest.FixtureRequest, rings: Rings) -> Iterator[dict[str, Story]]:
    """The stories that the collected tests judge, begun before the first test."""
    judged = (item for item in request.session.items if item.get_closest_marker("e2e") is not None)
    subjects = {item.path.stem.removeprefix("test_") for item in judged}
    stories = {name: story() for name, story in STORIES.items() if name in subjects}
    lanes = [[stories[name] for name in lane if name in stories] for lane in LANES]
    threads = [threading.Thread(target=_tell, args=(lane,), daemon=True) for lane in lanes]
    for thread in threads:
        thread.start()
    try:
        yield stories
    finally:
        for story in stories.values():
            story.close()
        for thread in threads:
            thread.join(30)


def _tell(lane: list[Story]) -> None:
    for story in lane:
        story.run()


@pytest.fixture(scope="module")
def host(request: pytest.FixtureRequest, rings: Rings) -> Iterator[Host]:
    made = hosts.make()
    try:
        made.start()
        yield made
        made.stop("noded")
        rings.keep(made, request.path.stem)
    finally:
        made.close()
