"""Is every quote counted once, whatever happens to the node and to its events?"""

import asyncio
import os
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = tempfile.TemporaryDirectory(prefix="nd")
os.environ["NODED_DATA"] = FOLDER.name
sys.path.insert(0, str(ROOT))

import trends  # noqa: E402 - it opens its database where NODED_DATA says
from nodekit import testing  # noqa: E402 - beside it


class TrendsTest(unittest.TestCase):
    def test_each_quote_counts_once(self) -> None:
        trends.STEP = 50
        mesh = testing.Mesh(trends.node, seed=5, duplicates=0.3, crashes=0.02, reorder=True, release=ROOT)
        for number in range(2 * trends.STEP):
            mesh.publish(trends.OPENED, {"sku": f"LA{number % 2}", "quantity": 1})
        asyncio.run(mesh.run(timeout=60))
        counts = dict(trends.db.execute("SELECT sku, count FROM quotes").fetchall())
        self.assertEqual(counts, {"LA0": trends.STEP, "LA1": trends.STEP})
        self.assertEqual(mesh.dead, [])
        told = sorted((event.type, event.subject) for event in mesh.published)
        self.assertEqual(told, [(trends.BESTSELLER, "LA0"), (trends.BESTSELLER, "LA1")])


if __name__ == "__main__":
    unittest.main()
