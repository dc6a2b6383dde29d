"""What is to run when the registry tells, and when only what runs can tell?"""

import json

import pytest

from noded.model.inputs import Observed
from noded.model.instance import Process
from noded.ports import Unavailable
from noded.runtime.known import by_what_runs, on_record
from tests.adapters.looped import looped
from tests.fakes.registry import FakeRegistry
from tests.fakes.releases import FakeReleases
from tests.runtime.nouns import spec

OLD, NEW, OTHER = (f"sha256:{letter * 64}" for letter in "abc")


def observed(instance: str, digest: str, running: bool = True) -> Observed:
    return Observed(instance, Process(1, 1, 1000, ""), digest, running)


def releases() -> FakeReleases:
    return FakeReleases({OLD: spec(), NEW: spec()})


def test_a_node_is_to_run_as_most_of_its_instances_do() -> None:
    seen = [observed("catalog.1", OLD), observed("catalog.2", NEW), observed("catalog.3", NEW)]
    (found,) = by_what_runs(seen, releases())
    assert (found.release.digest, found.release.origin, found.desired) == (NEW, "what runs", "running")


@pytest.mark.parametrize(
    "seen",
    [observed("catalog.1", OLD, running=False), observed("catalog.1", ""), observed("catalog.1", OTHER)],
    ids=["ended", "no release", "release gone"],
)
def test_what_cannot_tell_tells_nothing(seen: Observed) -> None:
    assert by_what_runs([seen], releases()) == ()


def test_a_release_of_another_node_is_not_believed() -> None:
    assert by_what_runs([observed("worker.1", OLD)], releases()) == ()


@looped
async def test_the_registry_tells_what_its_releases_can_run() -> None:
    registry = FakeRegistry()
    for name, digest in (("catalog", OLD), ("lost", OTHER)):
        value = {"version": "1.4.0", "digest": digest, "desired": "stopped"}
        await registry.put(f"nodes/{name}", json.dumps(value).encode())
    (found,) = await on_record(registry, releases())
    assert (found.spec.name, found.release.digest, found.desired) == ("catalog", OLD, "stopped")


@looped
async def test_a_registry_that_is_away_is_told() -> None:
    registry = FakeRegistry()
    await registry.close()
    with pytest.raises(Unavailable):
        await on_record(registry, releases())
