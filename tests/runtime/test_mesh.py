"""Is the mesh told the newest table and no older one, and is one that comes and goes noticed?"""

import asyncio
from dataclasses import replace

from noded.model import actions as a
from noded.model.inputs import MeshFound, MeshLost, TableTaken
from noded.model.mesh import Mesh, Part, Speaker
from noded.model.state import HostState
from noded.runtime import monitors
from noded.runtime.lanes import Lanes
from nodespec.manifest import Consumes
from tests.adapters.looped import looped
from tests.adapters.sdk import wait
from tests.fakes.mesh import FakeMesh
from tests.runtime.bench import Bench
from tests.runtime.held import Held
from tests.runtime.nouns import DIGEST, host, node, route, spec, start

INSTALL, RENEW = a.InstallTable("catalog", 3, "it speaks"), a.RenewTable("", 3, "shares hold on")


def told(number: int) -> HostState:
    speaking = node(part=Part((Speaker("catalog.1", "1.4.0", 64200),)))
    return replace(host(speaking), mesh=Mesh("mesh.1", number))


@looped
async def test_a_table_is_told_as_it_is_by_then_and_counts_when_it_is_held() -> None:
    bench = Bench()
    bench.state = told(5)
    await bench.perform(INSTALL)
    assert bench.mesh.table == bench.state.table
    assert bench.inbox.facts == [TableTaken(bench.clock.now(), 5)]


@looped
async def test_a_table_that_went_with_a_newer_one_is_not_told_again() -> None:
    bench = Bench()
    bench.state = told(5)
    for number in (3, 4, 5):
        await bench.perform(replace(INSTALL, number=number))
    assert bench.mesh.told == [5]
    bench.state = told(6)
    await bench.perform(replace(INSTALL, number=6))
    assert bench.mesh.told == [5, 6]


@looped
async def test_a_lease_is_told_however_often() -> None:
    bench = Bench()
    bench.state = told(3)
    await bench.perform(INSTALL)
    await bench.perform(RENEW)
    await bench.perform(RENEW)
    assert bench.mesh.told == [3, 3, 3]


@looped
async def test_a_mesh_that_is_away_is_told_as_a_failure_and_the_next_table_goes_out() -> None:
    bench = Bench()
    bench.state = told(3)
    bench.mesh.is_away = True
    await bench.perform(INSTALL)
    failed = bench.failure()
    assert (failed.action, failed.node, failed.kind) == ("InstallTable", "catalog", "Unavailable")
    bench.mesh.is_away = False
    await bench.perform(INSTALL)
    assert bench.mesh.told == [3]


@looped
async def test_who_speaks_finds_the_mesh_in_its_environment_and_nobody_else_does() -> None:
    bench = Bench()
    await bench.perform(start())
    bench.releases.specs[DIGEST] = spec(run=("/bin/sleep", "300"), consumes=(Consumes("shop.placed"),))
    await bench.perform(replace(start(), instance="catalog.2"))
    first, second = (dict(launch.env) for launch in bench.processes.launched)
    assert "NODED_MESH" not in first
    assert second["NODED_MESH"] == "unix:/run/noded-mesh/mesh.sock"


@looped
async def test_no_route_waits_for_the_mesh() -> None:
    done: list[str] = []
    away = asyncio.Event()

    async def perform(action: a.Action) -> None:
        if isinstance(action, a.InstallTable):
            await away.wait()
        done.append(type(action).__name__)

    async with asyncio.TaskGroup() as group:
        lanes = Lanes(group, perform, lambda action, why: None)
        lanes.submit(INSTALL)
        lanes.submit(replace(INSTALL, node="other", number=4))
        lanes.submit(a.InstallRoute("catalog", route("catalog", "catalog.1"), (), "it serves"))
        lanes.submit(start())
        await wait(lambda: len(done) == 2, "route and start")
        away.set()
    assert sorted(done[:2]) == ["InstallRoute", "StartInstance"]
    assert done[2:] == ["InstallTable", "InstallTable"]


# Monitors


@looped
async def test_a_mesh_is_found_with_the_table_it_holds_and_told_once() -> None:
    held, mesh = Held(HostState()), FakeMesh()
    await mesh.install(told(4).table)
    async with held.watching(monitors.watch_mesh, mesh):
        await wait(lambda: held.inbox.facts, "the mesh")
        assert held.inbox.facts == [MeshFound(held.clock.now(), "mesh.1", 4)]
        held.state = replace(held.state, mesh=Mesh("mesh.1", 4))
        await asyncio.sleep(1.5 * monitors.TICK)
        assert len(held.inbox.facts) == 1
        mesh.restart()
        await wait(lambda: len(held.inbox.facts) == 2, "the next process")
    assert held.inbox.facts[1] == MeshFound(held.clock.now(), "mesh.2", 4)


@looped
async def test_a_mesh_that_holds_more_than_is_remembered_is_found_anew() -> None:
    held, mesh = Held(told(3)), FakeMesh()
    await mesh.install(told(9).table)
    async with held.watching(monitors.watch_mesh, mesh):
        await wait(lambda: held.inbox.facts, "the mesh")
    assert held.inbox.facts[0] == MeshFound(held.clock.now(), "mesh.1", 9)


@looped
async def test_a_loss_is_told_once_and_the_return_at_once() -> None:
    held, mesh = Held(told(3)), FakeMesh()
    mesh.is_away = True
    async with held.watching(monitors.watch_mesh, mesh):
        await wait(lambda: held.inbox.all(MeshLost), "the loss")
        held.state = replace(held.state, mesh=Mesh("", 3))
        await asyncio.sleep(2.5 * monitors.MESH_LOST)
        assert len(held.inbox.facts) == 1
        mesh.is_away = False
        await wait(
            lambda: held.inbox.all(MeshFound),
            "the mesh",
        )
