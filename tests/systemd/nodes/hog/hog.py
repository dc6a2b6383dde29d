"""A node that takes memory without end once the file "eat" is in its data folder."""

import asyncio
import os
from pathlib import Path

from nodekit import Node

node = Node()
taken: list[bytes] = []


@node.task
async def eat() -> None:
    meal = Path(os.environ["NODED_DATA"]) / "eat"
    while True:
        await asyncio.sleep(0.1)
        if meal.exists():
            meal.unlink()
            break
    while True:
        taken.append(b"x" * 1024 * 1024)


node.main()
