"""Which small programs do the tests run as nodes, and how are they laid out?"""

import json
import re
import shutil
from pathlib import Path

from tests.e2e.ground import readable
from tests.e2e.host import Host

WEB = """
import os, signal
from nodekit import Node

node = Node()

def answer(request, **parts):
    return {"instance": node.instance, "version": node.version, "pid": os.getpid()}

for path in ("/", "/healthz", "/products", "/products/{sku}", "/quote/{sku}", "/search"):
    node.get(path)(answer)
    node.post(path)(answer)
node.main()
"""
"""Answers every request of the load."""

FAILING = WEB.replace('    return {"instance"', '    raise KeyError("broken")\n    return {"instance"')

FORGETFUL = """
import asyncio, os
from nodekit import Node

node = Node()
kept = node.cache("pages", limit=1_000_000)

def page():
    return [os.urandom(8) * 50 for line in range(200)]

@node.task
async def grow():
    number = 0
    while True:
        for _ in range(3):
            number += 1
            kept[number] = page()
        await asyncio.sleep(0.1)

node.main()
"""
"""A registered cache whose limit bounds nothing: about 3 MB a second.

Its pages are of small pieces: Python gives the memory of those back to the kernel in whole arenas. Larger
ones come from malloc, whose holes fill up again after a shrink, so that memory rises for a while.
"""

PLAIN_HTTP = """
import os, socketserver, sys
from http.server import BaseHTTPRequestHandler

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = f"{os.environ['NODED_INSTANCE']} {os.environ['NODED_VERSION']}\\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "someone"

    def log_message(self, *words):
        pass

class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

Server(sys.argv[1].removeprefix("unix:"), Handler).serve_forever()
"""
"""No SDK: standard library only, told where to listen by {listen}."""

SAYS_READY = """
import os, socket, time
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
while True:
    time.sleep(60)
"""

SLEEPS = """
import time
print("awake", flush=True)
while True:
    time.sleep(60)
"""


def lay(
    host: Host,
    name: str,
    version: str = "1.0.0",
    program: str = WEB,
    *,
    port: int = 0,
    run: tuple[str, ...] = ("python3", "main.py"),
    head: str = "",
    tables: str = "",
) -> Path:
    """A node's folder, ready for `nodectl apply`. `port` counts from the host's first one, beginning at 1."""
    folder = host.folder / "nodes" / f"{name}-{version}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "main.py").write_text(program)
    (folder / "node.toml").write_text(manifest(host, name, version, port, run, head) + tables)
    readable(folder)
    return folder


def manifest(host: Host, name: str, version: str, port: int, run: tuple[str, ...], head: str) -> str:
    serves = f"\n[serves]\nport = {host.first_port + port - 1}\n" if port else ""
    return f'[node]\nname = "{name}"\nversion = "{version}"\nrun = {json.dumps(run)}\n{head}\n{serves}\n'


def change(folder: Path, pattern: str, by: str) -> None:
    """In the manifest; the pattern must be there."""
    path = folder / "node.toml"
    text, count = re.subn(pattern, by, path.read_text())
    assert count, f"no {pattern} in {path}"
    path.write_text(text)
