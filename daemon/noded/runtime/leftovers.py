"""When is it looked for what belongs to nothing any more, and what does belong to something?"""

import asyncio
import json
import logging
from typing import Protocol

from noded.model.state import HostState
from noded.ports import PortError, Registry
from noded.runtime.monitors import View

log = logging.getLogger("noded")
FIRST = 60.0
AGAIN = 3600.0


class Leftovers(Protocol):
    async def sweep(self, releases: frozenset[str], incidents: frozenset[str]) -> None:
        """Remove releases that are none of these, and old evidence of all but these incidents."""
        ...


async def watch(view: View, registry: Registry, leftovers: Leftovers, first: float = FIRST) -> None:
    await asyncio.sleep(first)
    while True:
        try:
            records, _ = await registry.list("releases/")
            on_record = {str(json.loads(record.value)["digest"]) for record in records}
            state = view()
            await leftovers.sweep(frozenset(on_record | in_use(state)), looked_into(state))
        except PortError as error:
            log.warning("what is left over stays for now: %s", error)
        await asyncio.sleep(AGAIN)


def in_use(state: HostState) -> set[str]:
    """Digests of all releases that a node knows or runs."""
    found: set[str] = set()
    for node in state.nodes.values():
        found |= {node.release.digest} | {release.digest for release in node.releases}
        found |= {instance.digest for instance in node.instances.values()}
        if node.rollout is not None:
            found.add(node.rollout.release.digest)
    return found


def looked_into(state: HostState) -> frozenset[str]:
    incidents = (node.healing.now for node in state.nodes.values())
    return frozenset(incident.id for incident in incidents if incident is not None)
