"""Are readings taken of what there is, and is a proxy that comes and goes noticed?"""

import asyncio
from dataclasses import replace

from noded.model.inputs import ProxyFound, ProxyLost, Reading, Sampled, TrafficCounted
from noded.model.instance import Phase, Vitals
from noded.model.state import HostState
from noded.runtime import monitors
from tests.adapters.looped import looped
from tests.adapters.sdk import wait
from tests.fakes.proxy import FakeProxy
from tests.fakes.sensors import FakeSensors
from tests.runtime.held import Held
from tests.runtime.nouns import host, instance, node, process, route


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
    held, proxy = Held(host(node(route=route("catalog", "catalog.1")), proxy="")), FakeProxy()
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
    held, proxy = Held(host(node(route=route("catalog", "catalog.1")), proxy="")), FakeProxy()
    async with held.watching(monitors.count_traffic, proxy):
        await wait(lambda: held.inbox.facts, "the proxy")
        held.state = replace(held.state, proxy=held.inbox.all(ProxyFound)[0].generation)
        await wait(lambda: held.inbox.all(TrafficCounted), "counts")
        proxy.restart()
        await wait(lambda: len(held.inbox.all(ProxyFound)) > 1, "the new generation")
    first, second = held.inbox.all(ProxyFound)[:2]
    assert first.generation != second.generation


@looped
async def test_counts_that_have_not_changed_are_told_only_while_every_one_is_waited_for() -> None:
    routed = node(route=route("catalog", "catalog.1"))
    held, proxy = Held(host(routed)), FakeProxy()
    held.state = replace(held.state, proxy=await proxy.generation())
    await proxy.install(route("catalog", "catalog.1"))
    async with held.watching(monitors.count_traffic, proxy):
        await wait(lambda: held.inbox.all(TrafficCounted), "counts")
        await asyncio.sleep(2.5 * monitors.TRAFFIC)
        assert len(held.inbox.all(TrafficCounted)) == 1
        draining = instance("catalog.1", phase=Phase.DRAINING)
        held.state = replace(held.state, nodes={"catalog": routed.having(draining)})
        await wait(lambda: len(held.inbox.all(TrafficCounted)) > 3, "every count")


@looped
async def test_where_nothing_is_routed_nothing_is_counted() -> None:
    held, proxy = Held(host(node())), FakeProxy()
    held.state = replace(held.state, proxy=await proxy.generation())
    async with held.watching(monitors.count_traffic, proxy):
        await asyncio.sleep(2.5 * monitors.TRAFFIC)
    assert held.inbox.all(TrafficCounted) == []


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
