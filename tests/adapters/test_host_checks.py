"""Is what this host lacks told, with what to do, and does one check that fails hinder no other?"""

import asyncio
import re
import resource
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from nodeapi.v1 import control_pb2 as pb
from nodeapi.v1 import mesh_pb2
from noded.adapters import host_checks
from noded.adapters.control_desk import Desk
from noded.adapters.roles import Members
from noded.model.mesh import Mesh, Part
from noded.ports import Unavailable
from nodespec.host import NodesPart, Paths, ProxyPart
from tests.adapters.looped import looped
from tests.adapters.office import Office, offices, opened
from tests.adapters.running_haproxy import running
from tests.fakes.clock import FakeClock
from tests.fakes.mesh import FakeDesk
from tests.runtime.nouns import host, instance, node

NAMES = """launcher proxy kernel pidfd cgroups pressure clock limits sandbox ports""".split()


@pytest.fixture
def office() -> Iterator[Office]:
    yield from offices()


@pytest.fixture
def port() -> Iterator[int]:
    """One that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


async def found(desk: Desk) -> dict[str, pb.Check]:
    return {check.name: check for check in await host_checks.checked(desk)}


def settings(office: Office, **parts: Any) -> Any:
    return replace(office.settings, **parts)


@looped
async def test_every_check_is_told_over_the_socket_in_one_of_three_words(office: Office) -> None:
    async with opened(office) as stub:
        checks = (await stub.CheckHost(pb.CheckHostRequest(), timeout=10)).checks
    assert {check.name for check in checks} >= set(NAMES)
    assert {check.result for check in checks} <= {"ok", "warning", "failed"}
    assert [check.name for check in checks if check.result == "ok" and check.advice] == []
    assert [check.name for check in checks if check.result != "ok" and not check.advice] == []
    assert [check.name for check in checks if not check.found] == []


@looped
async def test_a_launcher_that_answers_and_one_that_is_away(office: Office) -> None:
    async def away() -> dict[str, object]:
        raise Unavailable("cannot hello: no launcher at /run/l.sock (No such file or directory)")

    assert (await found(office.desk))["launcher"].found == "answers, wire version 1"
    check = (await found(replace(office.desk, hello=away)))["launcher"]
    assert (check.result, check.found[:26]) == ("failed", "cannot hello: no launcher ")
    assert "systemctl start noded-launcher" in check.advice


@looped
async def test_what_hangs_is_told_and_hinders_nobody(office: Office) -> None:
    async def hangs() -> dict[str, object]:
        await asyncio.Event().wait()
        return {}

    told = await host_checks.checked(replace(office.desk, hello=hangs), longest=0.3)
    checks = {check.name: check for check in told}
    assert (checks["launcher"].result, checks["launcher"].found) == ("failed", "no answer within 0.3 s")
    assert checks["kernel"].found


@looped
async def test_a_proxy_that_is_away(office: Office) -> None:
    part = ProxyPart(socket=str(office.folder / "none.sock"))
    check = (await found(replace(office.desk, settings=settings(office, proxy=part))))["proxy"]
    assert check.result == "failed"
    assert "cannot reach HAProxy" in check.found
    assert "systemctl start noded-proxy" in check.advice


@looped
async def test_ports_that_nobody_has_bound_and_those_that_others_have(office: Office, port: int) -> None:
    proxy = ProxyPart(ports=((port, port),))
    nodes = NodesPart(ports=(port, port))
    desk = replace(office.desk, settings=settings(office, proxy=proxy))
    assert (await found(desk))["ports"].found == "all 1 of the proxy are bound"
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, and nobody listens
        alone = unused.getsockname()[1]
        desk = replace(office.desk, settings=settings(office, proxy=ProxyPart(ports=((alone, alone),))))
        check = (await found(desk))["ports"]
        assert (check.result, check.found) == ("failed", f"nobody listens on {alone}")
    desk = replace(office.desk, settings=settings(office, nodes=nodes))
    assert (await found(desk))["instance ports"].found == f"others listen on {port} of {port}-{port}"
    office.state = host(node("catalog", instance(address=f"127.0.0.1:{port}")))
    assert (await found(desk))["instance ports"].result == "ok"


@looped
async def test_ports_that_an_outgoing_connection_may_take(office: Office) -> None:
    nodes = NodesPart(ports=(40_000, 40_099), sockets=((8200, 8231),))
    check = (await found(replace(office.desk, settings=settings(office, nodes=nodes))))["outgoing ports"]
    assert (check.result, "40000-40099" in check.found, "8200" in check.found) == ("warning", True, False)
    assert "ip_local_reserved_ports=40000-40099" in check.advice


@looped
async def test_users_and_groups_that_are_not_there(office: Office) -> None:
    office.members = Members(("*",), ("user:nobody-of-that-name", "uid:77"), ("group:root",))
    checks = [check for check in await host_checks.checked(office.desk) if check.name == "roles"]
    assert [(check.result, check.found) for check in checks] == [
        ("warning", "operator: user nobody-of-that-name does not exist"),
        ("ok", "admin: group root"),
    ]
    assert f"change [roles] in {office.folder}/policy.toml" in checks[0].advice


@looped
async def test_a_clock_that_was_set(office: Office) -> None:
    desk = replace(office.desk, clock=FakeClock(time.time() - 100))
    check = (await found(desk))["clock"]
    assert check.result == "warning"
    assert check.found.startswith("set by +100.")
    desk = replace(office.desk, clock=FakeClock(time.time()))
    assert (await found(desk))["clock"].result == "ok"


@looped
async def test_what_the_host_cannot_do_and_what_is_wrong_with_it(office: Office) -> None:
    facts = replace(office.desk.facts(), alarms=("the audit cannot be written",))
    checks = await found(replace(office.desk, facts=lambda: facts))
    assert (checks["cgroups"].result, checks["cgroups"].found) == (
        "warning",
        "hybrid, not v2: limits are weaker",
    )
    assert (checks["degraded"].result, checks["degraded"].found) == ("warning", "no io limits")
    assert (checks["alarm"].result, checks["alarm"].found) == ("failed", "the audit cannot be written")


@looped
async def test_open_files(office: Office) -> None:
    check = (await found(office.desk))["limits"]
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert check.found.startswith(f"{soft} open files" if soft >= host_checks.FILES else f"at most {soft}")


@looped
async def test_a_folder_that_is_gone(office: Office) -> None:
    paths = Paths(state=str(office.folder / "gone"), logs=str(office.folder))
    check = (await found(replace(office.desk, settings=settings(office, paths=paths))))["disks"]
    assert (check.result, "No such file or directory" in check.found) == ("failed", True)


@looped
async def test_a_real_proxy(office: Office) -> None:
    with running() as proxy:
        await proxy.ready()
        part = ProxyPart(socket=str(proxy.socket), ports=((proxy.first, proxy.last),))
        checks = await found(replace(office.desk, settings=settings(office, proxy=part)))
    assert (checks["proxy"].result, checks["ports"].result) == ("ok", "ok")
    assert re.fullmatch(r"HAProxy \d\S+ answers", checks["proxy"].found)


@looped
async def test_a_mesh_is_asked_for_where_a_node_has_events(office: Office) -> None:
    check = (await found(office.desk))["mesh"]
    assert (check.result, check.found) == ("ok", "not there, and no node has events")
    office.state = host(node("catalog", part=Part()))
    check = (await found(office.desk))["mesh"]
    assert (check.result, check.advice) == ("failed", "systemctl start noded-mesh")
    assert "catalog has events" in check.found
    fake = FakeDesk()
    async with fake.serving(office.folder / "control.sock"):
        desk = office.desk
        assert (await found(desk))["mesh"].found == "noded-mesh answers and holds table 0"
        for lost, name in ((12, "7.db"), (0, "index.db")):
            fake.damaged.append(mesh_pb2.Damaged(file=f"/s/aside/{name}", lost=lost, why="a page is torn"))
        check = (await found(desk))["mesh"]
        first, seven, index = check.found.splitlines()
        assert check.result == "warning"
        assert "2 damaged files are kept in /s/aside: 12 frames of events are lost, or more" in first
        assert seven == "7.db: 12 frames lost: a page is torn" and index.startswith("index.db: 0 frames")
        assert "rm /s/aside/*" in check.advice and "published again" in check.advice
        office.state = replace(office.state, mesh=Mesh("mesh.1", 3, 2, problem="too long"))
        check = (await found(desk))["mesh"]
        assert (check.result, check.found) == ("failed", "did not take table 3: too long")
        await desk.mesh.close()
