"""The load through JetStream: file storage, pipelined publish acks, push consumers, explicit acks."""

import asyncio
import json
import sys
import time

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, StorageType

from tests.bench.load import talk
from tests.bench.load.events import (
    ACKS_PENDING,
    HEAD,
    TRACEPARENT,
    Job,
    Pace,
    Tally,
    compact,
    contract,
    source,
)

TRACED = {"traceparent": TRACEPARENT}


async def publish(line: Client, job: Job) -> None:
    stream = line.jetstream(publish_async_max_pending=ACKS_PENDING)
    as_json = job.format == "json"
    valid = contract() if as_json else None
    events = source(job)
    talk.say("ready")
    await asyncio.to_thread(talk.await_word, "go")
    began, pace = time.monotonic_ns(), Pace(job.rate, job.total)
    acks: list[asyncio.Future[object]] = []
    while pace.left:
        for _ in range(pace.due()):
            kind, data, traced = next(events)
            if valid:
                if wrong := valid(data):
                    raise ValueError(wrong)
                data = compact(data)
            headers = TRACED if traced and not as_json else None
            acks.append(await stream.publish_async(kind, data, headers=headers))
        await asyncio.sleep(pace.wait())
    for ack in acks:
        await ack
    await asyncio.to_thread(talk.tell, {"began": began})


async def consume(line: Client, job: Job) -> None:
    stream = line.jetstream()
    await stream.add_stream(name="bench", subjects=["bench.>"], storage=StorageType.FILE)
    complete = asyncio.Event()
    tally = Tally(job, complete.set)

    async def bytes_came(message: Msg) -> None:
        tally.take(*HEAD.unpack_from(message.data))
        await message.ack()

    async def json_came(message: Msg) -> None:
        event = json.loads(message.data)
        tally.take(event["flow"], event["place"], event["sent"])
        await message.ack()

    for domain in job.domains:
        await stream.subscribe(
            f"{domain}.*",
            durable=f"{job.name}-{domain.replace('.', '-')}",
            cb=json_came if job.format == "json" else bytes_came,
            manual_ack=True,
            config=ConsumerConfig(max_ack_pending=ACKS_PENDING),
        )
    talk.say("ready")
    await talk.all_arrived(tally, complete)
    await line.flush()
    await asyncio.to_thread(talk.tell, tally.told())


async def main(role: str, job: Job) -> None:
    line = await nats.connect(job.address)
    await {"publish": publish, "consume": consume}[role](line, job)
    await line.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Job.read(sys.argv[2])))
