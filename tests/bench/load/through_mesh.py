"""The load through nodekit: what an author of a node writes, and its defaults."""

import asyncio
import sys
import time
from collections import deque
from itertools import islice

from nodekit import Context, Node, Receipt
from tests.bench.load import talk
from tests.bench.load.events import ACKS_PENDING, HEAD, TRACEPARENT, Job, Pace, Tally, source

BYTES = "application/octet-stream"


def publish(node: Node, job: Job) -> None:
    content = "" if job.format == "json" else BYTES
    events = source(job)
    receipts: deque[Receipt] = deque()

    @node.task
    async def load() -> None:
        talk.say("ready")
        await asyncio.to_thread(talk.await_word, "go")
        began, pace = time.monotonic_ns(), Pace(job.rate, job.total)
        while pace.left:
            for kind, data, traced in islice(events, pace.due()):
                if traced and content:
                    receipts.append(
                        node.publish_nowait(data, type=kind, content=content, traceparent=TRACEPARENT)
                    )
                else:
                    receipts.append(node.publish_nowait(data, type=kind, content=content))
            # So many are within what a node may have under way, so it is never told that its buffer is full.
            for _ in range(len(receipts) - ACKS_PENDING):
                await receipts.popleft()
            await asyncio.sleep(pace.wait())
        for receipt in receipts:
            await receipt
        await asyncio.to_thread(talk.tell, {"began": began})
        node.stop()


def consume(node: Node, job: Job) -> None:
    complete = asyncio.Event()
    tally = Tally(job, complete.set)
    for _, kind in job.flows:
        if job.format == "json":

            @node.on(kind)
            async def json_came(event: dict[str, int], ctx: Context) -> None:
                tally.take(event["flow"], event["place"], event["sent"])

        else:

            @node.on(kind)
            async def bytes_came(event: bytes, ctx: Context) -> None:
                tally.take(*HEAD.unpack_from(event))

    @node.task
    async def found() -> None:
        talk.say("ready")
        await talk.all_arrived(tally, complete)
        await asyncio.to_thread(talk.tell, tally.told())
        node.stop()


def stall(node: Node, job: Job) -> None:
    """Takes what it is given and never comes to an end with it."""
    for _, kind in job.flows:

        @node.on(kind, timeout=3600)
        async def came(event: object, ctx: Context) -> None:
            await asyncio.Event().wait()

    @node.task
    async def ready() -> None:
        talk.say("ready")


if __name__ == "__main__":
    this = Node()
    {"publish": publish, "consume": consume, "stall": stall}[sys.argv[1]](this, Job.read(sys.argv[2]))
    this.main()
