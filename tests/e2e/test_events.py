"""Do events reach their nodes whatever ends in between, and does noded keep the mesh told?"""

import http.client
import json
import os
import re
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from nodeapi.v1 import mesh_pb2
from nodeapi.v1.mesh_pb2_grpc import MeshControlStub
from tests.e2e.follow import Follower, Node, ready, whole
from tests.e2e.ground import wait_for
from tests.e2e.host import Host
from tests.e2e.programs import change, lay

pytestmark = pytest.mark.e2e

ORDERS = """
import asyncio, json, os
from pathlib import Path
from nodekit import Node

node = Node()
acked = Path(os.environ["NODED_DATA"], "acked")
first = 1 + int(acked.read_text().split()[-1]) if acked.exists() else 1

@node.post("/order/{number}")
async def order(request, number):
    return {"id": await node.publish({"number": int(number)}, type="shop.placed", subject=number)}

@node.task
async def many():
    with acked.open("a") as file:
        number = first
        while True:
            await node.publish({"number": number}, type="shop.placed", subject=str(number % 7))
            print(number, file=file, flush=True)
            number += 1
            await asyncio.sleep(0.02)

node.main()
"""
"""Publishes numbers without end, and writes down which of them are on disk."""

PAYMENT = """
import os
from pathlib import Path
from nodekit import Node

node = Node()
handled = Path(os.environ["NODED_DATA"], "handled").open("a")

@node.on("shop.placed")
async def capture(event, ctx):
    print(event["number"], node.instance, file=handled, flush=True)

node.main()
"""

BILLING = PAYMENT.replace("node.main()", 'node.get("/")(lambda request: "paid")\nnode.main()')
"""Serves too: only such a node has a canary."""

PLACED = '[[publishes]]\ntype = "shop.placed"\nschema = "placed.json"\n'
CONSUMES = '[[consumes]]\ntype = "shop.placed"\norder_by = "subject"\n'
SCHEMA = {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]}
ALONE = 10_000_000
"""Numbers from here on are ordered one by one."""


def orders(host: Host, name: str = "orders", port: int = 1) -> Path:
    folder = lay(host, name, program=ORDERS, port=port, tables=PLACED)
    (folder / "placed.json").write_text(json.dumps(SCHEMA))
    (folder / "placed.json").chmod(0o644)
    return folder


def numbers(host: Host, node: str, name: str) -> list[int]:
    path = host.state / f"data/{node}/{name}"
    lines = path.read_text().splitlines() if path.exists() else []
    return [int(line.split()[0]) for line in lines if line]


def order(host: Host, number: int) -> str:
    """Id of the event, which is on disk by then."""
    line = http.client.HTTPConnection("127.0.0.1", host.first_port, timeout=20)
    try:
        line.request("POST", f"/order/{number}")
        answer = line.getresponse()
        text = answer.read()
    finally:
        line.close()
    assert answer.status == 200, text
    return str(json.loads(text)["id"])


def arrives(host: Host, number: int) -> None:
    wait_for(lambda: number in numbers(host, "payment", "handled"), f"event {number}", 30.0)


def all_arrive(host: Host) -> None:
    """What was on disk before now is handled soon."""
    acked = set(numbers(host, "orders", "acked"))
    assert acked
    wait_for(lambda: acked <= set(numbers(host, "payment", "handled")), "all that is on disk", 40.0)


def goes_on(host: Host) -> None:
    """Numbers that are published from now on are handled."""
    count = len(numbers(host, "orders", "acked"))
    wait_for(lambda: len(numbers(host, "orders", "acked")) > count + 10, "more events on disk", 40.0)
    all_arrive(host)


@pytest.fixture
def mesh(host: Host) -> Iterator[MeshControlStub]:
    """The mesh as administrators ask it: through noded."""
    with grpc.insecure_channel(f"unix:{host.control}", [("grpc.use_local_subchannel_pool", 1)]) as line:
        yield MeshControlStub(line)


def flow(mesh: MeshControlStub) -> mesh_pb2.MapReply:
    return mesh.GetMap(mesh_pb2.MapRequest(), timeout=10)


def main_pid(node: Node) -> int:
    (one,) = ready(node)
    return int(one["pid"])


def test_the_first_start_of_a_consumer_waits_until_the_mesh_knows_it(host: Host, follower: Follower) -> None:
    host.nodectl("apply", "--no-wait", str(lay(host, "payment", program=PAYMENT, tables=CONSUMES)))
    waits = follower.until("payment", lambda node: "subscriptions" in node.get("detail", ""), "why it waits")
    assert waits.get("instances", []) == []
    assert "its first instance waits" in host.nodectl("explain", "payment").stdout
    assert any("noded-mesh does not answer" in text for text in follower.host_state()["alarms"])
    assert "mesh" in host.nodectl("doctor", check=False).stdout
    host.start_mesh()
    follower.until("payment", whole(), "the consumer")


def test_events_reach_their_node(host: Host, follower: Follower, mesh: MeshControlStub) -> None:
    host.nodectl("apply", str(orders(host)))
    follower.until("orders", whole(), "the publisher")
    assert re.fullmatch(r"orders\.\d+-[0-9a-f]+\.\d+", order(host, ALONE + 1))
    arrives(host, ALONE + 1)
    goes_on(host)
    (one,) = flow(mesh).flows
    assert (one.type, one.publisher, one.consumer, one.sessions) == ("shop.placed", "orders", "payment", 1)
    with urllib.request.urlopen(f"http://127.0.0.1:{host.metrics_port}/metrics", timeout=10) as answer:
        assert "noded_mesh_up 1.0" in answer.read().decode()


def test_a_type_has_one_owner(host: Host) -> None:
    done = host.nodectl("apply", str(orders(host, "thief", port=2)), check=False)
    assert done.returncode != 0
    assert "shop.placed is published by orders 1.0.0" in done.stderr + done.stdout


def test_a_killed_mesh_loses_nothing_and_ends_no_node(host: Host, follower: Follower) -> None:
    before = {name: main_pid(follower.now(name)) for name in ("orders", "payment")}
    for _ in range(3):
        host.kill("mesh")
        # What is published meanwhile waits in its node.
        follower.until_all({name: whole() for name in before}, "both nodes")
        host.start_mesh()
        goes_on(host)
    assert {name: main_pid(follower.now(name)) for name in before} == before


def test_a_killed_consumer_gets_what_it_had_not_handled(host: Host, follower: Follower) -> None:
    pid = main_pid(follower.now("payment"))
    os.kill(pid, signal.SIGKILL)
    after = follower.until("payment", lambda node: whole()(node) and main_pid(node) != pid, "the next one")
    assert main_pid(after) != pid
    goes_on(host)


def test_events_wait_for_a_node_that_is_stopped(host: Host, follower: Follower) -> None:
    host.nodectl("stop", "payment")
    follower.until("payment", lambda node: not node["instances"], "the end of the consumer")
    order(host, ALONE + 2)
    host.nodectl("start", "payment")
    arrives(host, ALONE + 2)
    goes_on(host)


def test_events_go_on_without_noded(host: Host, follower: Follower, mesh: MeshControlStub) -> None:
    table = flow(mesh).table
    host.kill("noded")
    goes_on(host)
    host.start_noded()
    follower.until_all({"orders": whole(), "payment": whole()}, "both nodes")
    wait_for(lambda: flow(mesh).table > table, "a newer table", 20.0)
    goes_on(host)


def test_both_killed_at_once(host: Host, follower: Follower, mesh: MeshControlStub) -> None:
    table = flow(mesh).table
    host.kill("noded")
    host.kill("mesh")
    host.start_mesh()
    # It has its table from disk.
    goes_on(host)
    host.start_noded()
    wait_for(lambda: flow(mesh).table > table, "a newer table", 20.0)
    follower.until_all({"orders": whole(), "payment": whole()}, "both nodes")


def test_a_restart_of_a_consumer_does_not_wait_for_the_mesh(host: Host, follower: Follower) -> None:
    host.kill("mesh")
    pid = main_pid(follower.now("payment"))
    os.kill(pid, signal.SIGKILL)
    follower.until("payment", lambda node: whole()(node) and main_pid(node) != pid, "the next one")
    host.start_mesh()
    goes_on(host)


def test_a_new_version_takes_over_the_events(host: Host, follower: Follower) -> None:
    """Beside the old one, which hands over what it has: a share of the events at first, then all."""
    plan = '[rollout]\nsteps = [50, 100]\ndwell = "10m"\nsoak = "1s"\n'
    folder = lay(host, "payment", "1.1.0", program=PAYMENT, tables=CONSUMES + plan)
    host.nodectl("apply", "--no-wait", str(folder))
    follower.until("payment", lambda node: (node.get("rollout") or {}).get("share") == 0.5, "its half")
    goes_on(host)
    host.nodectl("rollout", "promote", "payment")
    follower.until(
        "payment",
        lambda node: [one["version"] for one in ready(node)] == ["1.1.0"] and whole()(node),
        "1.1.0",
    )
    goes_on(host)


def test_a_canary_gets_its_share_of_events(host: Host, follower: Follower, mesh: MeshControlStub) -> None:
    def folder(version: str) -> Path:
        tables = CONSUMES + "[rollout]\nsteps = [50, 100]\ndwell = 60\nsoak = 60\n"
        return lay(host, "billing", version, program=BILLING, port=3, tables=tables)

    def delivered() -> dict[str, int]:
        flows = [one for one in flow(mesh).flows if one.consumer == "billing"]
        return {count.version: count.acked for one in flows for count in one.versions}

    host.nodectl("apply", "--no-wait", str(folder("1.0.0")))
    wait_for(lambda: delivered().get("1.0.0", 0) > 5, "events for the first version", 30.0)
    host.nodectl("apply", "--no-wait", str(folder("2.0.0")))
    before = wait_for(lambda: delivered().get("2.0.0", 0) > 5 and delivered(), "events for the canary", 30.0)
    wait_for(lambda: delivered()["1.0.0"] > before["1.0.0"] + 5, "events for the first version", 30.0)
    host.nodectl("rollout", "abort", "billing")
    follower.until("billing", lambda node: whole()(node) and not node.get("rollout"), "the end of it")
    counts = delivered()
    wait_for(lambda: delivered()["1.0.0"] > counts["1.0.0"] + 20, "events for the first version", 30.0)
    assert delivered()["2.0.0"] == counts["2.0.0"]
    seen = numbers(host, "billing", "handled")
    wait_for(lambda: set(seen) <= set(numbers(host, "payment", "handled")), "the other consumer", 20.0)


def test_administrators_ask_the_mesh_through_noded(host: Host, mesh: MeshControlStub) -> None:
    name = order(host, ALONE + 3)
    event = mesh.Show(mesh_pb2.ShowRequest(id=name), timeout=10)
    assert (event.type, json.loads(event.data)) == ("shop.placed", {"number": ALONE + 3})
    tail = mesh.Tail(mesh_pb2.TailRequest(types=["shop.placed"], limit=3), timeout=20)
    assert [one.type for one in tail] == ["shop.placed"] * 3
    trace = mesh.GetTrace(mesh_pb2.TraceRequest(id=name), timeout=20)
    assert name in [one.id for one in trace.events]
    with pytest.raises(grpc.RpcError) as refused:
        mesh.SetTable(mesh_pb2.Table(number=10**9), timeout=10)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    audit = host.nodectl("audit", "-n", "20").stdout
    assert f"read the event {name}" in audit and "read events shop.placed" in audit


def test_a_broken_contract_is_refused_where_the_folder_is(host: Host) -> None:
    folder = orders(host, "broken")
    change(folder, 'schema = "placed.json"', 'schema = "missing.json"')
    done = host.nodectl("validate", str(folder), check=False)
    assert done.returncode != 0
    told = done.stderr + done.stdout
    assert "publishes[0].schema: expected a file of the release, got no file missing.json" in told


def test_for_a_removed_node_nothing_waits(host: Host, follower: Follower, mesh: MeshControlStub) -> None:
    host.nodectl("remove", "--yes", "payment")
    wait_for(lambda: [f.consumer for f in flow(mesh).flows] == ["billing"], "a map without it", 30.0)
    assert "payment" not in {node["name"] for node in follower.nodes()}
