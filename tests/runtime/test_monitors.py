"""Are readings taken of what there is, and is a proxy that comes and goes noticed?"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from noded.model.inputs import InstanceReady, ProxyFound, ProxyLost, Reading, Sampled, TrafficCounted
from noded.model.instance import Phase, Role, Vitals
from noded.model.state import HostState
from noded.runtime import monitors
from nodespec.manifest import Health, Probe
from tests.adapters.looped import looped
from tests.adapters.sdk import wait
from tests.fakes.clock import FakeClock
from tests.fakes.inbox import FakeInbox
from tests.fakes.probes import FakeProbes
from tests.fakes.proxy import FakeProxy
from tests.fakes.sensors import FakeSensors
from tests.runtime.nouns import NEXT, host, instance, node, process, rollout, route, spec


class Held:
    def __init__(self, state: HostState) -> None:
        self.state = state
        self.clock, self.inbox = FakeClock(), FakeInbox()

    def view(self) -> HostState:
        return self.state

    @asynccontextmanager
    async def watching(
        self, monitor: Callable[..., Coroutine[Any, Any, None]], *more: object
    ) -> AsyncIterator[None]:
        task = asyncio.ensure_future(monitor(self.view, self.clock, self.inbox, *more))
        try:
            yield
            assert not task.done()
        finally:
            task.cancel()


@looped
async def test_all_instances_are_read_in_one_batch() -> None:
    one, two = Vitals(memory=1), Vitals(memory=2)
    nodes = (
        node("a", instance("a.1", process=process(11)), instance("a.2", process=process(12))),
        node("b", instance("b.1", process=process(13)), instance("b.2", process=None)),
    )
    held = Held(host(*nodes))
    async with held.watching(monitors.sample, FakeSensors({11: one, 13: two})):
        await wait(lambda: held.inbox.facts, "a sample")
    assert held.inbox.facts == [
        Sampled(held.clock.now(), (Reading("a.1", "a", one), Reading("b.1", "b", two)))
    ]


@looped
async def test_a_host_without_instances_is_sampled_too() -> None:
    held = Held(HostState())
    async with held.watching(monitors.sample, FakeSensors()):
        await wait(lambda: held.inbox.facts, "a sample")
    assert held.inbox.facts == [Sampled(held.clock.now())]


@looped
async def test_a_proxy_is_found_before_it_is_counted() -> None:
    held, proxy = Held(host(node(), proxy="")), FakeProxy()
    await proxy.install(route("catalog", "catalog.1"))
    async with held.watching(monitors.count_traffic, proxy):
        await wait(lambda: held.inbox.facts, "the proxy")
        (found,) = held.inbox.all(ProxyFound)
        held.state = replace(held.state, proxy=found.generation)
        await wait(lambda: held.inbox.all(TrafficCounted), "counts")
    assert [count.instance for count in held.inbox.all(TrafficCounted)[0].counts] == ["catalog.1"]
    assert held.inbox.all(ProxyLost) == []


@looped
async def test_a_proxy_that_was_restarted_is_found_anew() -> None:
    held, proxy = Held(host(node(), proxy="")), FakeProxy()
    async with held.watching(monitors.count_traffic, proxy):
        await wait(lambda: held.inbox.facts, "the proxy")
        held.state = replace(held.state, proxy=held.inbox.all(ProxyFound)[0].generation)
        await wait(lambda: held.inbox.all(TrafficCounted), "counts")
        proxy.restart()
        await wait(lambda: len(held.inbox.all(ProxyFound)) > 1, "the new generation")
    first, second = held.inbox.all(ProxyFound)[:2]
    assert first.generation != second.generation


@looped
async def test_a_proxy_that_is_away_is_told_once_it_was_there() -> None:
    held, proxy = Held(host(node(), proxy="p1")), FakeProxy()
    proxy.is_away = True
    async with held.watching(monitors.count_traffic, proxy):
        await wait(lambda: held.inbox.all(ProxyLost), "the loss")
        held.state = replace(held.state, proxy="")
        told = len(held.inbox.facts)
        proxy.is_away = False
        await wait(lambda: held.inbox.all(ProxyFound), "the proxy")
    assert len(held.inbox.all(ProxyLost)) == told


@looped
async def test_only_starting_instances_that_answer_over_http_are_asked() -> None:
    http = Health(Probe.HTTP, "/up")
    starting = {"phase": Phase.STARTING}
    asked = node(
        "a",
        instance("a.1", listen="unix:/a1", **starting),
        instance("a.2", listen="unix:/a2"),
        instance("a.3", listen="unix:/a3", process=None, **starting),
        spec=spec("a", health=http),
    )
    held = Held(host(asked, node("b", instance("b.1", listen="unix:/b1", **starting))))
    probes = FakeProbes()
    async with held.watching(monitors.probe_readiness, probes):
        await wait(lambda: len(probes.asked) > 1, "questions")
        assert held.inbox.facts == []
        probes.good.add(("unix:/a1", "/up"))
        await wait(lambda: held.inbox.facts, "readiness")
    assert held.inbox.facts[0] == InstanceReady(held.clock.now(), "a", "a.1", "GET /up")
    assert set(probes.asked) == {("unix:/a1", "/up")}


@looped
async def test_a_canary_is_asked_as_its_own_manifest_says() -> None:
    canary = instance(
        "catalog.2",
        digest=NEXT,
        role=Role.CANARY,
        phase=Phase.STARTING,
        listen="unix:/c",
        process=process(12),
    )
    rolling = rollout(spec=spec(version="1.5.0", health=Health(Probe.HTTP, "/new")))
    held, probes = Held(host(node("catalog", instance(), canary, rollout=rolling))), FakeProbes()
    probes.good.add(("unix:/c", "/new"))
    async with held.watching(monitors.probe_readiness, probes):
        await wait(lambda: held.inbox.facts, "readiness")
    assert held.inbox.facts[0] == InstanceReady(held.clock.now(), "catalog", "catalog.2", "GET /new")
