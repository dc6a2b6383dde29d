"""Does a node's event side lose, double or reorder anything when the real mesh is killed under it?"""

import asyncio
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import grpc
import pytest

from nodeapi.v1 import mesh_pb2, mesh_pb2_grpc
from nodekit import Context, Receipt, Retry
from nodekit.events import Events
from tests.nodekit.mesh_side import living, until

ROOT = Path(__file__).resolve().parents[2]
CONF = """
[host]
name = "test"
[mesh]
socket = "{0}/mesh.sock"
state = "{0}/state"
listen = "off"
"""
COUNT = 4000


class RealMesh:
    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="nd"))
        (self.folder / "noded.toml").write_text(CONF.format(self.folder))
        self.control = self.folder / "control.sock"

    def start(self) -> None:
        self.control.unlink(missing_ok=True)
        path = os.pathsep.join(str(ROOT / each) for each in ("daemon", "proto", "nodes"))
        with (self.folder / "out").open("a") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "nodemesh", "--config", str(self.folder / "noded.toml")],
                env={**os.environ, "PYTHONPATH": path},
                stdout=out,
                stderr=out,
            )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder)

    def admit(self) -> None:
        table = mesh_pb2.Table(number=1, host="test")
        for node in ("seller", "buyer"):
            table.members.add(instance=f"{node}.1", node=node, version="1", uid=os.getuid())
        consumed = [mesh_pb2.Consumed(type="sold", ordered=True)]
        table.consumers.add(node="buyer", consumed=consumed, stable="1")
        table.contracts.add(type="sold", node="seller", version="1", mode=mesh_pb2.Contract.OFF)
        with grpc.insecure_channel(f"unix:{self.control}") as channel:
            mesh_pb2_grpc.MeshControlStub(channel).SetTable(table, timeout=10)


async def publish(events: Events) -> list[str]:
    receipts: list[Receipt] = []
    for number in range(COUNT):
        receipts.append(events.publish_nowait({"n": number}, type="sold", subject=f"s{number % 37}"))
        if number % 20 == 0:
            await asyncio.sleep(0.005)
    return [await receipt for receipt in receipts]


@pytest.mark.parametrize("transport", ["raw", "grpc"])
def test_nothing_is_lost_or_out_of_order_when_the_mesh_is_killed(transport: str) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    mesh = RealMesh()

    async def scenario() -> None:
        environ = {"NODED_MESH": f"unix:{mesh.folder}/mesh.sock", "NODED_MESH_TRANSPORT": transport}
        seller, buyer = (Events(node, f"{node}.1", "1", environ) for node in ("seller", "buyer"))
        seen: dict[str, list[int]] = {}
        failed: set[int] = set()

        @buyer.on("sold", attempts=20)
        async def bought(event: dict[str, int], ctx: Context) -> None:
            if dice.random() < 0.3:
                await asyncio.sleep(dice.random() * 0.005)
            if dice.random() < 0.02 and event["n"] not in failed:
                failed.add(event["n"])
                raise Retry(0.01)
            seen.setdefault(ctx.subject, []).append(event["n"])

        def all_seen() -> bool:
            return len({number for line in seen.values() for number in line}) == COUNT

        await asyncio.to_thread(mesh.start)
        await until(mesh.control.exists)
        await asyncio.to_thread(mesh.admit)
        async with asyncio.timeout(60), living(seller), living(buyer):
            publishing = asyncio.create_task(publish(seller))
            for _ in range(3):
                await asyncio.sleep(dice.uniform(0.1, 0.5))
                await asyncio.to_thread(mesh.kill)
                await asyncio.to_thread(mesh.start)
                await until(mesh.control.exists)
            assert len(set(await publishing)) == COUNT
            ended = time.monotonic() + 30
            while not all_seen():
                assert time.monotonic() < ended, "acknowledged events are missing"
                await asyncio.sleep(0.02)
        for line in seen.values():
            first = list(dict.fromkeys(line))
            assert first == sorted(first)
        assert failed

    try:
        asyncio.run(scenario())
    finally:
        mesh.close()
