"""Is everything that a node knows, runs or looks into named before something is swept away?"""

import asyncio
import json

from noded.ports import Unavailable
from noded.runtime import leftovers
from tests.adapters.looped import looped
from tests.adapters.sdk import wait
from tests.fakes.registry import FakeRegistry
from tests.runtime.nouns import NEXT, host, instance, node, release


class Sweeper:
    def __init__(self, trouble: str = "") -> None:
        self.trouble = trouble
        self.swept: list[tuple[frozenset[str], frozenset[str]]] = []

    async def sweep(self, releases: frozenset[str], incidents: frozenset[str]) -> None:
        self.swept.append((releases, incidents))
        if self.trouble:
            raise Unavailable(self.trouble)


@looped
async def test_what_is_on_record_or_in_use_stays() -> None:
    registry, sweeper = FakeRegistry(), Sweeper()
    await registry.put("releases/gone/1", json.dumps({"digest": "sha256:recorded"}).encode())
    state = host(node("catalog", instance("catalog.1", digest="sha256:running")))
    task = asyncio.ensure_future(leftovers.watch(lambda: state, registry, sweeper, first=0.0))
    await wait(lambda: sweeper.swept, "a look")
    task.cancel()
    ((releases, incidents),) = sweeper.swept
    assert {"sha256:recorded", "sha256:running", state.nodes["catalog"].release.digest} <= releases
    assert incidents == frozenset()


@looped
async def test_trouble_is_told_and_no_end(caplog: object) -> None:
    sweeper = Sweeper("cannot remove it")
    state = host(node())
    task = asyncio.ensure_future(leftovers.watch(lambda: state, FakeRegistry(), sweeper, first=0.0))
    await wait(lambda: sweeper.swept, "a look")
    assert not task.done()
    task.cancel()


def test_a_canary_and_all_releases_a_node_remembers_are_in_use() -> None:
    held = node("catalog")
    assert release().digest in leftovers.in_use(host(held))
    assert NEXT not in leftovers.in_use(host(held))
