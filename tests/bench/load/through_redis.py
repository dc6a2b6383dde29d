"""The load through Redis Streams: a stream for each type, pipelines of 128, reads and acks of 256."""

import json
import sys
import time

from redis import Redis

from tests.bench.load import talk
from tests.bench.load.events import (
    HEAD,
    TRACEPARENT,
    Job,
    Pace,
    Tally,
    compact,
    contract,
    source,
)

PIPELINE = 128
READ = 256
BLOCK_MS = 1000


def publish(line: Redis, job: Job) -> None:
    as_json = job.format == "json"
    valid = contract() if as_json else None
    events = source(job)
    talk.say("ready")
    talk.await_word("go")
    began, pace = time.monotonic_ns(), Pace(job.rate, job.total)
    pipeline = line.pipeline(transaction=False)
    while pace.left:
        for _ in range(pace.due()):
            kind, data, traced = next(events)
            if valid:
                if wrong := valid(data):
                    raise ValueError(wrong)
                data = compact(data)
            elif traced:
                pipeline.xadd(kind, {"d": data, "traceparent": TRACEPARENT})
                continue
            pipeline.xadd(kind, {"d": data})
        if job.rate or len(pipeline) >= PIPELINE or not pace.left:
            pipeline.execute()
        if job.rate:
            time.sleep(pace.wait())
    talk.tell({"began": began})


def consume(line: Redis, job: Job) -> None:
    complete: list[bool] = []
    tally = Tally(job, lambda: complete.append(True))
    as_json = job.format == "json"
    streams = {kind: ">" for _, kind in job.flows}
    for kind in streams:
        line.xgroup_create(kind, job.name, id="0", mkstream=True)
    talk.say("ready")
    quiet = 0
    while not complete and quiet * BLOCK_MS / 1000 < talk.PATIENCE:
        found = line.xreadgroup(job.name, "one", streams, count=READ, block=BLOCK_MS)
        quiet = 0 if found else quiet + 1
        for kind, entries in found:
            for _, fields in entries:
                if as_json:
                    event = json.loads(fields[b"d"])
                    tally.take(event["flow"], event["place"], event["sent"])
                else:
                    tally.take(*HEAD.unpack_from(fields[b"d"]))
            line.xack(kind, job.name, *[number for number, _ in entries])
    talk.tell(tally.told())


if __name__ == "__main__":
    described = Job.read(sys.argv[2])
    {"publish": publish, "consume": consume}[sys.argv[1]](
        Redis(unix_socket_path=described.address), described
    )
