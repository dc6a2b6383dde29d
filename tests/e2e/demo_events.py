"""Two nodes that share events and nothing else: the demo's part about them."""

import json
import sqlite3
import time
from typing import TYPE_CHECKING, Any

from tests.e2e.ground import wait_for

if TYPE_CHECKING:
    from tests.e2e.demo import Demo

FIRST, SECOND = "catalog", "trends"
OPENED, BESTSELLER = "catalog.quote.opened", "shop.bestseller"
POISON = '{"sku": "NONE", "quotes": 1}'
"""It keeps its contract, and no catalogue knows what it speaks of."""


def away(demo: "Demo") -> None:
    demo.act("the second node is taken down; the first goes on and does not know")
    wait_for(lambda: handled(demo) > 100, "the first events", 30)
    demo.show("stop", SECOND)


def back(demo: "Demo") -> None:
    waited = flow(demo, OPENED)
    demo.act(f"the second node comes back: {waited['lag']} events have waited for it")
    demo.show("map")
    before = handled(demo)
    began = time.monotonic()
    demo.show("start", SECOND)
    wait_for(lambda: handled(demo) >= before + waited["lag"], "what has waited", 60)
    demo.report["events"] = {
        "waited": waited["lag"],
        "caught_up_s": round(time.monotonic() - began, 1),
    }


def poison(demo: "Demo") -> None:
    demo.act("an event comes that the catalogue cannot handle: it is set aside, with its reason")
    demo.show("events", "publish", BESTSELLER, POISON)
    wait_for(lambda: len(dead(demo)) > 0, "the dead letter", 30)
    demo.show("events", "dead", "list", FIRST)


def count(demo: "Demo") -> None:
    """With the load over: everything that was published was handled, once."""
    wait_for(lambda: flow(demo, OPENED)["lag"] == 0, "the last events", 60)
    published = int(flow(demo, OPENED)["published"])
    counted = handled(demo)
    told = demo.report["events"]
    told |= {
        "published": published,
        "counted": counted,
        "lost": published - counted,
        "dead": len(dead(demo)),
    }
    demo.show("map")


def handled(demo: "Demo") -> int:
    """What the second node has in its own database."""
    path = demo.host.state / f"data/{SECOND}/trends.db"
    if not path.exists():
        return 0
    line = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return int(line.execute("SELECT coalesce(sum(count), 0) FROM quotes").fetchone()[0])
    except sqlite3.OperationalError:
        return 0  # It is being made.
    finally:
        line.close()


def flow(demo: "Demo", type: str) -> dict[str, Any]:
    flows = json.loads(demo.host.nodectl("map", "-o", "json").stdout)["flows"]
    return next(each for each in flows if each["type"] == type)


def dead(demo: "Demo") -> list[dict[str, Any]]:
    told = demo.host.nodectl("events", "dead", "list", FIRST, "-o", "json").stdout
    found: list[dict[str, Any]] = json.loads(told)
    return found
