"""Releases that would hurt are refused before they start: the demo's part about them."""

import json
from typing import TYPE_CHECKING

from tests.e2e import host as hosts

if TYPE_CHECKING:
    from tests.e2e.demo import Demo

NODE, OTHER = "catalog", "trends"
LOST, BREAKS = "1.1.0", "2.0.0"
DIFFERENCES = 3
"""nodectl's exit code for what is in the way."""


def refused(demo: "Demo") -> None:
    """One that would undo what the machine repaired, and one that another node could not read."""
    demo.act("a person applies a release that was made before the repair: it would bring the leak back")
    old = demo.lay_out("old", hosts.ROOT / "nodes" / NODE, {"version": LOST})
    lost = demo.show("apply", str(old))
    demo.act("and one that changes what another node reads: both are stopped before they start")
    breaks = demo.lay_out("breaks", demo.active(), {"version": BREAKS})
    contract = breaks / "contracts/quote.opened.json"
    schema = json.loads(contract.read_text())
    schema["properties"]["quantity"] = {"type": "string"}
    contract.chmod(0o644)
    contract.write_text(json.dumps(schema))
    told = demo.show("apply", str(breaks))
    demo.report["conflicts"] = {
        "lost_change_refused": lost.returncode == DIFFERENCES and "--supersede" in lost.stdout + lost.stderr,
        "breaking_contract_refused": told.returncode == DIFFERENCES and OTHER in told.stdout + told.stderr,
        "rollouts_begun": len(demo.status()["past_rollouts"]) - demo.known,
    }
