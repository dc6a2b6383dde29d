"""Which products are asked for most?

Every quote is counted once, however often its event comes: count, inbox and outbox are one transaction.
"""

import sqlite3
from pathlib import Path

from nodekit import Context, Node

OPENED, BESTSELLER = "catalog.quote.opened", "shop.bestseller"
STEP = 1000
"""Quotes of a product after which it is told that it sells well, again and again."""

node = Node()


def database(folder: str) -> sqlite3.Connection:
    """NORMAL: after a power failure the last counts may be missing, and so are their notes in the inbox."""
    db = sqlite3.connect(Path(folder, "trends.db"), isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("CREATE TABLE IF NOT EXISTS quotes (sku TEXT PRIMARY KEY, count INTEGER NOT NULL)")
    return db


db = database(node.data or ".")


@node.on(OPENED, concurrency=1)
async def count(event: dict[str, str], context: Context) -> None:
    async with context.transaction(db) as tx:
        add = "INSERT INTO quotes VALUES (?, 1) ON CONFLICT DO UPDATE SET count = count + 1 RETURNING count"
        ((quotes,),) = db.execute(add, (event["sku"],)).fetchall()
        if quotes % STEP == 0:
            tx.publish({"sku": event["sku"], "quotes": quotes}, type=BESTSELLER, subject=event["sku"])


if __name__ == "__main__":
    node.main()
