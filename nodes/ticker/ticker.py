import asyncio

from nodekit import Node

node = Node()


@node.task
async def tick() -> None:
    await node.active()
    while True:
        print("tick", flush=True)
        node.progress()
        await asyncio.sleep(1.0)


node.main()
