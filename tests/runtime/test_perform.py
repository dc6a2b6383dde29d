"""Is every action done with the right port, and its failure told as a fact?"""

import json
from dataclasses import replace

import pytest

from noded.launch import Launch
from noded.model import actions as a
from noded.model.inputs import (
    ActionFailed,
    CachesShrunk,
    GarbageCollected,
    InstanceExited,
    InstanceStarted,
    MemoryProfiled,
    Woken,
)
from noded.model.instance import Role
from noded.ports import NotFound, Refused
from nodespec.manifest import Listen, Protocol, Resources, Serves, Stop
from tests.adapters.looped import looped, until
from tests.runtime.bench import Bench
from tests.runtime.nouns import DIGEST, NEXT, process, route, spec, start

ONE = ("catalog", "catalog.1")


def regenerate() -> a.Regenerate:
    return a.Regenerate(
        "catalog",
        "catalog-1",
        "memory-growth",
        DIGEST,
        "1",
        "1+heal.1",
        1.0,
        2,
        (),
        ("collect: held",),
        "it grows",
    )


@looped
async def test_a_start_gives_the_program_all_it_needs() -> None:
    bench = Bench()
    bench.releases.specs[DIGEST] = spec(
        run=("python3", "-m", "catalog", "--bind={listen}", "{listen}"),
        env=(("LOG_LEVEL", "info"), ("LANG", "de")),
        user="shop",
        stop=Stop("TERM", 12.5),
        resources=Resources(2**28, 2**27, 0.5, 64, 200, 256),
        env_file="/etc/shop/env",
        secrets=(("KEY", "file:/etc/shop/key"),),
        write=("/srv/shop",),
    )
    await bench.perform(replace(start(), listen="unix:/run/s", active=False, role=Role.SPARE))
    (launch,) = bench.processes.launched
    assert launch.argv == ("python3", "-m", "catalog", "--bind=unix:/run/s", "unix:/run/s")
    assert launch.cwd == str(bench.releases.path(DIGEST))
    assert dict(launch.env) == {
        "PATH": "/usr/bin",
        "LANG": "de",
        "LOG_LEVEL": "info",
        "NODED_NODE": "catalog",
        "NODED_INSTANCE": "catalog.1",
        "NODED_VERSION": "1.4.0",
        "NODED_LISTEN": "unix:/run/s",
        "NODED_ACTIVE": "0",
        "NODED_ROLE": "spare",
        "NODED_STOP_TIMEOUT": "12.5",
        "NOTIFY_SOCKET": "/run/noded/notify/catalog.1.sock",
    }
    assert bench.processes.entrusted == [("catalog.1", "/run/noded/notify/catalog.1.sock")]
    limits = (launch.user, launch.memory, launch.cpu, launch.pids, launch.files, launch.data)
    assert limits == ("shop", 2**28, 0.5, 64, 256, True)
    assert (launch.memory_high, launch.io, launch.listen) == (2**27, 200, "")
    assert (launch.env_file, launch.write) == ("/etc/shop/env", ("/srv/shop",))
    assert launch.secrets == (("KEY", "file:/etc/shop/key"),)


@looped
async def test_a_held_socket_is_asked_for_by_its_address() -> None:
    bench = Bench()
    bench.releases.specs[DIGEST] = spec(
        run=("/bin/sleep", "300"), serves=Serves(8200, Protocol.TCP, Listen.FD)
    )
    await bench.perform(replace(start(), listen="fd:3"))
    (launch,) = bench.processes.launched
    assert (launch.listen, dict(launch.env)["NODED_LISTEN"]) == ("127.0.0.1:8200", "fd:3")
    assert bench.processes.held == {("catalog", "127.0.0.1:8200")}
    await bench.perform(a.CloseSocket("catalog", "nobody is to answer there"))
    assert not bench.processes.held


@looped
async def test_a_reload_is_a_signal() -> None:
    bench = Bench()
    await bench.perform(start())
    await bench.perform(a.ReloadInstance(*ONE, "HUP", "uid 0 ordered reload"))
    assert bench.processes.running["catalog.1"].ended == "signal 1"


@looped
async def test_a_started_instance_is_told_believed_and_watched() -> None:
    bench = Bench()
    bench.processes.degraded = ("no memory limit",)
    await bench.perform(start())
    running = bench.processes.running["catalog.1"].process
    assert bench.inbox.facts == [
        InstanceStarted(bench.clock.now(), *ONE, running, ("no memory limit",)),
    ]
    assert bench.nodes.lines["catalog.1"].uid == running.uid
    bench.processes.end("catalog.1", "code 1")
    assert bench.inbox.facts[1:] == [InstanceExited(bench.clock.now(), *ONE, "code 1")]


@looped
async def test_one_that_ends_at_once_is_told_as_started_first() -> None:
    bench = Bench()
    bench.releases.specs[DIGEST] = spec(run=("/bin/sh", "-c", "exit 2"))
    await bench.perform(start())
    assert [type(fact) for fact in bench.inbox.facts] == [InstanceStarted, InstanceExited]


@looped
async def test_a_start_that_fails_leaves_nothing() -> None:
    bench = Bench()
    bench.releases.specs[DIGEST] = spec(run=("/missing/program",))
    await bench.perform(start())
    failed = bench.failure()
    assert (failed.action, failed.node, failed.instance, failed.kind) == ("StartInstance", *ONE, "Refused")
    assert "/missing/program" in failed.cause
    assert bench.nodes.lines == {}


@looped
async def test_a_release_that_is_not_here_is_told() -> None:
    bench = Bench()
    await bench.perform(replace(start(), digest=NEXT))
    assert bench.failure().kind == "NotFound"
    assert bench.processes.launched == []


@looped
async def test_an_adopted_instance_is_believed_and_watched() -> None:
    bench = Bench()
    await bench.processes.start(Launch("catalog", "catalog.1", ("/bin/sleep", "300"), "/", (), "dynamic"))
    await bench.perform(a.AdoptInstance(*ONE, DIGEST, process(), True, "it lived on"))
    assert bench.processes.entrusted == [("catalog.1", "/run/noded/notify/catalog.1.sock")]
    assert bench.nodes.lines["catalog.1"].uid == process().uid
    assert [type(fact) for fact in bench.inbox.facts] == [InstanceExited]  # there is none of that number


@looped
async def test_stop_kill_and_remove() -> None:
    bench = Bench()
    for number in (1, 2):
        await bench.perform(start(number=number))
    await bench.perform(a.StopInstance(*ONE, "TERM", "why"))
    await bench.perform(a.KillInstance("catalog", "catalog.2", "why"))
    ends = [(fact.instance, fact.status) for fact in bench.inbox.all(InstanceExited)]
    assert ends == [("catalog.1", "signal 15"), ("catalog.2", "signal 9")]
    await bench.perform(a.RemoveInstance(*ONE, "it exited"))
    assert set(bench.processes.running) == {"catalog.2"}
    assert set(bench.nodes.lines) == {"catalog.2"}
    await bench.perform(a.RemoveInstance(*ONE, "again"))
    assert bench.inbox.all(ActionFailed) == []


@looped
async def test_orders_to_the_sdk_bring_facts() -> None:
    bench = Bench()
    bench.nodes.listen(*ONE)
    everything = ("collect", "shrink", "restore", "profile_start", "profile_stop", "activate")
    bench.nodes.lines["catalog.1"].answers = {do: {} for do in everything}
    for action in (
        a.ActivateInstance(*ONE, ""),
        a.BeginProfile(*ONE, ""),
        a.EndProfile(*ONE, ""),
        a.CollectGarbage(*ONE, ""),
        a.ShrinkCaches(*ONE, 0.5, ""),
        a.RestoreCaches(*ONE, ""),
    ):
        await bench.perform(action)
    assert [type(fact) for fact in bench.inbox.facts] == [MemoryProfiled, GarbageCollected, CachesShrunk]
    assert len(bench.nodes.orders) == 6


@looped
async def test_an_order_that_fails_is_told() -> None:
    bench = Bench()
    bench.nodes.listen(*ONE)
    bench.nodes.lines["catalog.1"].answers = {"collect": Refused("catalog.1 answered: no")}
    await bench.perform(a.CollectGarbage(*ONE, ""))
    assert bench.failure() == ActionFailed(
        bench.clock.now(), "CollectGarbage", *ONE, "Refused", "catalog.1 answered: no"
    )


@looped
async def test_routes_go_to_the_proxy() -> None:
    bench = Bench()
    await bench.perform(a.InstallRoute("catalog", route(), (), "new"))
    await bench.perform(a.RenewShare("catalog", route(), "the lease"))
    assert bench.proxy.installed == [route(), route()]
    await bench.perform(a.RemoveRoute("catalog", route("catalog"), "removed"))
    assert bench.proxy.routes == {}
    bench.proxy.is_away = True
    await bench.perform(a.RemoveRoute("catalog", route("catalog"), "removed"))
    assert (bench.failure().action, bench.failure().kind) == ("RemoveRoute", "Unavailable")


@looped
async def test_a_route_leads_only_to_sockets_that_were_published() -> None:
    bench = Bench()
    for number in (1, 2):
        await bench.perform(start(number=number))
        bench.processes.sockets.add(f"catalog.{number}")
    bench.inbox.facts.clear()
    wanted = route("catalog", "catalog.1", "catalog.2")
    for _ in range(2):
        await bench.perform(a.InstallRoute("catalog", wanted, (), "new"))
    assert bench.proxy.installed == [wanted, wanted]
    assert bench.processes.published == ["catalog.1", "catalog.2"]  # once is enough
    assert bench.inbox.facts == []


@looped
async def test_a_server_that_cannot_be_published_is_left_out_and_told() -> None:
    bench = Bench()
    for number in (1, 2):
        await bench.perform(start(number=number))
        bench.processes.sockets.add(f"catalog.{number}")
    bench.processes.imposters.add("catalog.2")
    bench.inbox.facts.clear()
    await bench.perform(a.InstallRoute("catalog", route("catalog", "catalog.1", "catalog.2"), (), "new"))
    assert bench.proxy.installed == [route("catalog", "catalog.1")]
    failed = bench.failure()
    assert (failed.action, failed.instance, failed.kind) == ("PublishSocket", "catalog.2", "Refused")


@looped
async def test_a_server_that_is_not_there_yet_is_asked_for_again() -> None:
    bench = Bench()
    await bench.perform(a.InstallRoute("catalog", route("catalog", "catalog.1"), (), "new"))
    assert bench.proxy.installed == [route("catalog")]
    assert (bench.failure().action, bench.failure().kind) == ("InstallRoute", "NotFound")


@looped
async def test_a_release_is_recorded_once_and_never_with_other_content() -> None:
    bench = Bench()
    record = a.RecordRelease("catalog", "1.4.0", DIGEST, "uid 0", "", "applied")
    await bench.perform(record)
    await bench.perform(record)
    held = await bench.registry.get("releases/catalog/1.4.0")
    assert held is not None
    assert held.revision == 1
    assert json.loads(held.value) == {
        "node": "catalog",
        "version": "1.4.0",
        "digest": DIGEST,
        "origin": "uid 0",
        "signature": "",
        "at": bench.clock.now(),
    }
    await bench.perform(replace(record, digest=NEXT))
    assert (bench.failure().action, bench.failure().kind) == ("RecordRelease", "Conflict")
    assert await bench.registry.get("releases/catalog/1.4.0") == held


@looped
async def test_a_node_is_recorded_and_forgotten() -> None:
    bench = Bench()
    for version, desired in (("1.4.0", "running"), ("1.5.0", "stopped")):
        await bench.perform(a.RecordNode("catalog", version, DIGEST, desired, "applied"))
    held = await bench.registry.get("nodes/catalog")
    assert held is not None
    assert json.loads(held.value) == {"version": "1.5.0", "digest": DIGEST, "desired": "stopped"}
    for _ in range(2):
        await bench.perform(a.ForgetNode("catalog", "removed"))
    assert await bench.registry.get("nodes/catalog") is None
    assert bench.inbox.facts == []


@looped
async def test_regeneration_alarms_answers_and_notes() -> None:
    bench = Bench()
    await bench.perform(regenerate())
    await bench.perform(a.CancelRegeneration("catalog", "catalog-1", "enough"))
    assert bench.workshop.begun == [regenerate()]
    assert bench.workshop.cancelled == ["catalog-1"]
    await bench.perform(a.Answer(7, "catalog", "refused", "no", "none"))
    assert bench.answers.given == [(7, "refused", "no", "none")]
    await bench.perform(a.Note("catalog", "catalog-1", "it leaks"))
    await bench.perform(a.WakeAt("catalog", 0.0, "now"))

    async def woken() -> bool:
        return bench.inbox.facts == [Woken(bench.clock.now(), "catalog")]

    await until(woken)


@looped
async def test_what_was_dropped_is_told() -> None:
    bench = Bench()
    bench.perform.dropped(start(), "the route is new")
    failed = bench.failure()
    assert (failed.action, failed.instance, failed.kind) == ("StartInstance", "catalog.1", "Cancelled")
    assert failed.cause == "not begun: the route is new"


@looped
async def test_a_mistake_of_ours_is_not_taken_for_a_refusal() -> None:
    bench = Bench()
    bench.releases.specs[DIGEST] = None  # type: ignore[assignment]
    with pytest.raises(AttributeError):
        await bench.perform(start())
    assert bench.inbox.facts == []
    with pytest.raises(NotFound):
        bench.nodes.expect("catalog", "catalog.9", 1)
