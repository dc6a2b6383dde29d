"""Does a whole node, as a process of its own, live under noded as promised?"""

import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from nodekit import Node
from tests.nodekit.conftest import Start
from tests.nodekit.noded_side import DEADLINE, NODES, NodedSide
from tests.nodekit.trial import PLAIN, UnixConnection, ask

README = (NODES / "nodekit" / "README.md").read_text()


def stop(program: subprocess.Popen[str]) -> tuple[int, str, str]:
    program.send_signal(signal.SIGTERM)
    out, err = program.communicate(timeout=DEADLINE)
    return program.returncode, out, err


def test_a_life_from_ready_to_stop(noded: NodedSide, start: Start) -> None:
    program = start(PLAIN)
    noded.hear_line("READY=1")
    first = noded.hear_message("heartbeat")
    assert first.keys() == {"kind", "lag", "stuck", "oldest", "progress", "rss", "caches"}
    assert first["stuck"] < 1
    assert first["oldest"] == 0
    assert first["rss"] > 1 << 20
    for number in range(5):
        assert ask(noded, f"/keep/n{number}") == f"n{number}"
    second = noded.hear_message("heartbeat", progress=5)
    assert second["caches"] == [
        {"name": "pages", "entries": 5, "limit": 100, "hits": 0, "misses": 0},
        {"name": "double", "entries": 1, "limit": 10, "hits": 4, "misses": 1},
    ]
    code, out, err = stop(program)
    noded.hear_line("STOPPING=1")
    assert (code, out, err) == (0, "goodbye\n", "")
    with pytest.raises(FileNotFoundError):
        noded.say(b"{}")


def test_the_example_in_the_readme_is_a_node(noded: NodedSide, start: Start) -> None:
    program = start(README.split("```python\n")[1].split("```")[0])
    noded.hear_line("READY=1")
    assert ask(noded, "/price/a1") == '{"sku": "a1", "price": 12}'
    assert stop(program)[0] == 0


def test_every_order_is_answered(noded: NodedSide, start: Start) -> None:
    start(PLAIN)
    noded.hear_line("READY=1")
    for number in range(20):
        ask(noded, f"/keep/n{number}")
    assert noded.order("collect")["result"]["seconds"] > 0
    shrunk = noded.order("shrink", fraction=0.5)["result"]["caches"]
    assert shrunk == [
        {"name": "pages", "before": 20, "after": 10},
        {"name": "double", "before": 2, "after": 0},
    ]
    assert noded.hear_message("heartbeat")["caches"][0]["limit"] == 10
    assert noded.order("restore")["ok"]
    assert noded.order("profile_start", frames=1)["ok"]
    assert "sites" in noded.order("profile_stop", top=5)["result"]
    told = noded.order("describe")["result"]
    assert (told["node"], told["instance"], told["version"]) == ("trial", "trial.1", "1.2.3")
    assert (told["caches"][0]["limit"], told["progress"], told["active"]) == (100, 20, True)
    assert "not an order" in noded.order("dance")["error"]


def test_a_foreign_cache_is_shrunk_on_the_loop_or_not_at_all(noded: NodedSide, start: Start) -> None:
    start(
        """
        import threading, time
        from nodekit import Node
        node = Node()

        class Own(list):
            def shrink(self, entries):
                print(threading.current_thread() is threading.main_thread(), flush=True)
                del self[entries:]

        node.register(Own(range(100)), "own")

        @node.get("/block/{seconds}")
        def block(request, seconds):
            time.sleep(float(seconds))

        node.main()
        """
    )
    noded.hear_line("READY=1")
    assert noded.order("shrink", fraction=0.5)["result"]["caches"] == [
        {"name": "own", "before": 100, "after": 50}
    ]
    with ThreadPoolExecutor(1) as pool:
        connection = UnixConnection(noded.http)
        connection.request("GET", "/block/3")
        blocked = pool.submit(connection.getresponse)
        time.sleep(0.2)
        assert noded.order("shrink", fraction=0.5)["error"] == "the event loop was busy for 2 s"
        assert blocked.result().status == 204
        connection.close()
    told = noded.order("describe")["result"]
    assert told["caches"][0]["entries"] == 50, "an order that was refused must not be obeyed later"


def test_requests_in_flight_survive_the_stop(noded: NodedSide, start: Start) -> None:
    program = start(PLAIN)
    noded.hear_line("READY=1")
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, noded, "/slow") for _ in range(8)]
        time.sleep(0.2)
        code, _, err = stop(program)
        assert [answer.result() for answer in asked] == ["at last"] * 8
    assert (code, err) == (0, "")


def test_the_stop_timeout_cuts_off_what_does_not_end(noded: NodedSide, start: Start) -> None:
    program = start(PLAIN.replace("sleep(0.5)", "sleep(60)"), NODED_STOP_TIMEOUT="0.5")
    noded.hear_line("READY=1")
    connection = UnixConnection(noded.http)
    connection.request("GET", "/slow")
    time.sleep(0.2)
    code, out, err = stop(program)
    connection.close()
    assert code == 1
    assert "requests cut off at the stop timeout of 0.5 s: 1" in err
    assert out == "goodbye\n", "on_stop has its own part of the time"


def test_a_spare_waits_until_it_is_made_active(noded: NodedSide, start: Start) -> None:
    program = start(
        """
        from nodekit import Node
        node = Node()

        @node.task
        async def act():
            print("waiting", node.is_active, flush=True)
            await node.active()
            print("acting", node.is_active, flush=True)
            node.progress(7)
            node.status("on  my\\nway")

        node.main()
        """,
        NODED_ACTIVE="0",
    )
    noded.hear_line("READY=1")
    assert noded.order("describe")["result"]["active"] is False
    assert noded.order("activate")["ok"]
    noded.hear_message("heartbeat", progress=7)
    assert "STATUS=on my way" in noded.said
    assert noded.order("describe")["result"]["active"] is True
    assert stop(program) == (0, "waiting False\nacting True\n", "")


def test_without_noded_there_is_no_thread(noded: NodedSide, start: Start) -> None:
    program = start(PLAIN, NOTIFY_SOCKET="", NODED_ORDERS="")
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            assert ask(noded, "/threads") == "1"
            break
        except FileNotFoundError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert stop(program)[0] == 0


def test_noded_gone_the_node_serves_on(noded: NodedSide, start: Start) -> None:
    program = start(PLAIN)
    noded.hear_line("READY=1")
    noded.shut()
    for number in range(20):
        assert ask(noded, f"/keep/n{number}")
        time.sleep(0.02)
    assert stop(program)[0] == 0


def test_a_killed_node_can_be_started_again_in_its_place(noded: NodedSide, start: Start) -> None:
    first = start(PLAIN)
    noded.hear_line("READY=1")
    first.kill()
    first.wait(DEADLINE)
    start(PLAIN)
    noded.hear_line("READY=1")
    assert ask(noded, "/keep/again") == "again"
    assert noded.order("describe")["ok"]


def test_a_task_that_fails_fails_the_node(noded: NodedSide, start: Start) -> None:
    program = start(
        """
        from nodekit import Node
        node = Node()

        @node.task
        async def act():
            raise RuntimeError("no more")

        node.main()
        """
    )
    _, err = program.communicate(timeout=DEADLINE)
    assert program.returncode == 1
    assert "RuntimeError: no more" in err


def test_a_start_that_fails_is_never_ready(noded: NodedSide, start: Start) -> None:
    program = start(
        """
        from nodekit import Node
        node = Node()

        @node.on_start
        def prepare():
            raise OSError("no database")

        node.main()
        """
    )
    _, err = program.communicate(timeout=DEADLINE)
    assert program.returncode == 1
    assert "node trial cannot go on" in err
    assert "OSError: no database" in err
    assert noded.inbox
    noded.inbox.setblocking(False)
    with pytest.raises(BlockingIOError):
        noded.inbox.recv(1)


def test_routes_without_a_place_to_listen(noded: NodedSide, start: Start) -> None:
    program = start(PLAIN, NODED_LISTEN="")
    _, err = program.communicate(timeout=DEADLINE)
    assert program.returncode == 1
    assert "NODED_LISTEN is not set: start the node with noded or with `nodekit run`" in err


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("NODED_STOP_TIMEOUT", "soon", "NODED_STOP_TIMEOUT: expected seconds such as 25, got 'soon'"),
        ("NODED_STOP_TIMEOUT", "-1", "expected seconds"),
        ("NODED_STOP_TIMEOUT", "nan", "expected seconds"),
        ("NODED_LISTEN", "here", "NODED_LISTEN: expected"),
    ],
)
def test_a_bad_environment_is_refused(key: str, value: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Node({key: value})


def test_another_server_may_listen_instead(noded: NodedSide, start: Start) -> None:
    program = start(
        """
        import asyncio
        from nodekit import Node
        node = Node()

        async def hello(reader, writer):
            await reader.readuntil(b"\\r\\n\\r\\n")
            writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\nhello")
            node.progress()
            writer.close()

        @node.on_start
        async def serve():
            node.server = await asyncio.start_unix_server(hello, sock=node.listen.bind())

        @node.on_stop
        def end():
            node.server.close()

        node.main()
        """
    )
    noded.hear_line("READY=1")
    assert ask(noded, "/") == "hello"
    noded.hear_message("heartbeat", progress=1)
    assert stop(program)[0] == 0
