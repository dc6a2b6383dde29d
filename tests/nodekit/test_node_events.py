"""Does a whole node, as a process of its own, publish and consume as promised?"""

import asyncio
import json
import signal

import pytest

from nodekit import wire
from tests.nodekit.conftest import Start
from tests.nodekit.mesh_side import MeshSide, run, until
from tests.nodekit.noded_side import DEADLINE, NODES, NodedSide
from tests.nodekit.trial import UnixConnection

SHOP = """
    import asyncio
    from nodekit import Node
    node = Node()

    @node.on("ping", concurrency=2)
    async def ping(event, ctx):
        await asyncio.sleep(event.get("wait", 0))
        await node.publish({"answer": event["n"]}, type="pong")

    @node.post("/buy")
    async def buy(request):
        return await node.publish({"bought": True}, type="sold", subject="s")

    @node.on_stop
    async def bye():
        node.publish_nowait({"bye": True}, type="bye")

    node.main()
"""
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def buy(noded: NodedSide) -> tuple[int, str]:
    connection = UnixConnection(noded.http)
    connection.request("POST", "/buy", headers={"traceparent": PARENT})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_a_life_with_events(noded: NodedSide, start: Start) -> None:
    async def scenario(mesh: MeshSide) -> None:
        program = start(SHOP, **mesh.environ)
        await asyncio.to_thread(noded.hear_line, "READY=1")
        await until(lambda: mesh.subscribes)
        assert mesh.subscribes[0].instance == "trial.1"
        mesh.deliver([b'{"n":1}', b'{"n":2}'], types=("ping",))
        await until(lambda: mesh.through == 1)
        status, text = await asyncio.to_thread(buy, noded)
        assert (status, text) == (200, f"{mesh.hellos[0].stream}.3")
        assert mesh.frames[-1].extra[0].trace.hex() == PARENT[3:35]
        await asyncio.to_thread(noded.hear_message, "heartbeat", progress=3)
        mesh.deliver([b'{"n":3,"wait":0.3}', b'{"n":4,"wait":0.3}', b'{"n":5}'], types=("ping",))
        await asyncio.sleep(0.1)
        program.send_signal(signal.SIGTERM)
        out, err = await asyncio.to_thread(program.communicate, timeout=DEADLINE)
        assert (program.returncode, out, err) == (0, "", "")
        await until(lambda: mesh.through == 2)
        assert [(each.delivery, each.event) for each in mesh.failed] == [(2, 2)]
        said = [json.loads(data) for data in mesh.data]
        assert said[-3:] == [{"answer": 3}, {"answer": 4}, {"bye": True}]

    run(scenario)


@pytest.mark.parametrize("role", ["", "canary"])
def test_a_spare_consumes_when_it_is_active_and_a_canary_at_once(
    noded: NodedSide, start: Start, role: str
) -> None:
    async def scenario(mesh: MeshSide) -> None:
        start(SHOP, NODED_ACTIVE="0", NODED_ROLE=role, **mesh.environ)
        await asyncio.to_thread(noded.hear_line, "READY=1")
        if not role:
            await asyncio.to_thread(noded.hear_message, "heartbeat")
            assert mesh.connections == 0
            assert (await asyncio.to_thread(noded.order, "activate"))["ok"]
        await until(lambda: mesh.subscribes)

    run(scenario)


def test_a_node_without_events_leaves_the_mesh_alone(noded: NodedSide, start: Start) -> None:
    async def scenario(mesh: MeshSide) -> None:
        start("from nodekit import Node\nNode().main()\n", **mesh.environ)
        await asyncio.to_thread(noded.hear_line, "READY=1")
        await asyncio.to_thread(noded.hear_message, "heartbeat")
        assert mesh.connections == 0

    run(scenario)


def test_what_could_not_be_published_is_told_at_the_end(noded: NodedSide, start: Start) -> None:
    async def scenario(mesh: MeshSide) -> None:
        await mesh.close()
        program = start(SHOP, NODED_STOP_TIMEOUT="0.5", **mesh.environ)
        await asyncio.to_thread(noded.hear_line, "READY=1")
        program.send_signal(signal.SIGTERM)
        _, err = await asyncio.to_thread(program.communicate, timeout=DEADLINE)
        assert program.returncode == 1
        assert "events published and not yet on disk when the stop timeout ended: 1" in err
        assert err.count("cannot be reached") == 1, "it is said once and not at every try"

    run(scenario)


def test_the_example_in_the_readme_is_a_node(noded: NodedSide, start: Start) -> None:
    async def scenario(mesh: MeshSide) -> None:
        start(
            (NODES / "nodekit" / "README.md").read_text().split("```python\n")[2].split("```")[0],
            **mesh.environ,
        )
        await until(lambda: mesh.subscribes)
        mesh.deliver(
            [b'{"order_id":"7","total":1}', b'{"order_id":"8","total":-1}'], types=("shop.order.placed",)
        )
        await until(lambda: mesh.through == 1)
        assert mesh.data == [b'{"order_id":"7"}']
        assert mesh.failed == [wire.Failed(1, 1, wire.REJECT, 0.0, "a total below 0")]

    run(scenario)
