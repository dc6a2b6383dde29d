"""Which nodes are to run: as the registry has it, or, with no registry to believe, as what runs tells?"""

import json
import logging
from collections import Counter
from collections.abc import Sequence

from noded.model.inputs import Known, Observed
from noded.model.release import Release
from noded.ports import PortError, Registry, Releases

log = logging.getLogger("noded")


async def on_record(registry: Registry, releases: Releases) -> tuple[Known, ...]:
    """As far as the releases are here. Raises PortError when the registry cannot be read."""
    records, _ = await registry.list("nodes/")
    found: list[Known] = []
    for record in records:
        value = json.loads(record.value)
        name = record.key.removeprefix("nodes/")
        try:
            spec = releases.spec(value["digest"])
        except PortError as error:
            log.error("%s is on record and cannot run: %s", name, error)
            continue
        release = Release(name, value["version"], value["digest"], "the registry")
        found.append(Known(spec, release, value["desired"]))
    return tuple(found)


def by_what_runs(observed: Sequence[Observed], releases: Releases) -> tuple[Known, ...]:
    """A node is to run when it runs: the release that most of its instances work in."""
    counts = Counter((o.instance.rpartition(".")[0], o.digest) for o in observed if o.running and o.digest)
    found: dict[str, Known] = {}
    for (name, digest), _ in counts.most_common():
        try:
            spec = releases.spec(digest)
        except PortError as error:
            log.error("%s runs and its release cannot be read: %s", name, error)
            continue
        if spec.name == name:
            release = Release(name, spec.version, digest, "what runs")
            found.setdefault(name, Known(spec, release, "running"))
    return tuple(found.values())
