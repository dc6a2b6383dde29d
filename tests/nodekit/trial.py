"""A small node that keeps, waits and blocks as it is told, and how it is asked."""

import http.client
import socket

from tests.nodekit.noded_side import DEADLINE, NodedSide

PLAIN = """
    import functools, threading, time
    from nodekit import Node
    node = Node()
    pages = node.cache("pages", limit=100)

    @node.register
    @functools.lru_cache(maxsize=10)
    def double(number):
        return number * 2

    @node.get("/keep/{name}")
    def keep(request, name):
        pages[name] = "x" * 100
        double(len(name))
        return name

    @node.get("/slow")
    async def slow(request):
        import asyncio
        await asyncio.sleep(0.5)
        return "at last"

    @node.get("/block/{seconds}")
    def block(request, seconds):
        time.sleep(float(seconds))
        return "done"

    @node.get("/threads")
    def threads(request):
        return str(threading.active_count())

    @node.get("/active")
    def active(request):
        return str(node.is_active)

    @node.on_stop
    async def goodbye():
        print("goodbye", flush=True)

    node.main()
"""


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("trial", timeout=DEADLINE)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(DEADLINE)
        self.sock.connect(self.path)


def ask(noded: NodedSide, target: str) -> str:
    connection = UnixConnection(noded.http)
    try:
        connection.request("GET", target)
        answer = connection.getresponse()
        text = answer.read().decode()
        assert answer.status == 200, text
        return text
    finally:
        connection.close()
