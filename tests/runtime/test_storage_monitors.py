"""Is a disk that fills and a registry that lost everything told, once each?"""

from dataclasses import replace

from noded.model.inputs import DiskFilled, DiskFreed, RegistryRenewed
from noded.model.state import HostState
from noded.runtime import monitors
from tests.adapters.looped import looped
from tests.adapters.sdk import wait
from tests.fakes.releases import FakeReleases
from tests.runtime.nouns import host, node, spec
from tests.runtime.test_monitors import Held


class Disk:
    def __init__(self, told: str) -> None:
        self.told = told
        self.asked = 0

    def lacking(self) -> str:
        self.asked += 1
        return self.told


class Renewed:
    def __init__(self, *why: str) -> None:
        self.why = list(why)
        self.asked = 0

    def begun_anew(self) -> str:
        self.asked += 1
        return self.why.pop(0) if self.why else ""


@looped
async def test_a_disk_is_told_when_it_fills_and_when_it_has_room_again() -> None:
    for full, lacking, told in (
        ("", "0 free", [DiskFilled]),
        ("0 free", "0 free", []),
        ("0 free", "", [DiskFreed]),
        ("", "", []),
    ):
        held = Held(replace(HostState(), full=full))
        disk = Disk(lacking)
        async with held.watching(monitors.watch_disk, disk):
            await wait(lambda disk=disk: disk.asked, "a look")
        assert [type(fact) for fact in held.inbox.facts] == told


@looped
async def test_a_registry_that_begins_anew_is_told_with_what_lies_on_disk() -> None:
    held, registry = Held(host(node())), Renewed("it was damaged")
    async with held.watching(monitors.watch_registry, registry, FakeReleases({"sha256:1": spec()})):
        await wait(lambda: held.inbox.facts, "the news")
    (fact,) = held.inbox.facts
    assert isinstance(fact, RegistryRenewed) and fact.cause == "it was damaged"
    assert [(release.node, release.digest) for release in fact.releases] == [("catalog", "sha256:1")]


@looped
async def test_an_empty_registry_of_an_empty_host_is_no_news() -> None:
    held, registry = Held(HostState()), Renewed("it was not there")
    async with held.watching(monitors.watch_registry, registry, FakeReleases()):
        await wait(lambda: registry.asked, "a look")
    assert held.inbox.facts == []
