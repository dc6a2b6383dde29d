"""Which programs hang when they are told to, each in its own way, and how long until another serves?"""

import http.client
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.host import Host

ANSWER = """
import json, os, sys, threading, time
def answer():
    return json.dumps({"pid": os.getpid(), "instance": os.environ["NODED_INSTANCE"]}).encode()
"""
SDK = (
    ANSWER
    + """
from nodekit import Node
node = Node()
held = threading.Lock()

@node.get("/")
@node.get("/healthz")
def fine(request):
    return answer().decode()

@node.get("/busy")
def busy(request):
    while True:
        pass

@node.get("/lock")
def lock(request):
    held.acquire()
    held.acquire()

node.main()
"""
)
"""Hangs in a handler, and with it the event loop; the thread that beats does not."""

PLAIN = (
    ANSWER
    + """
import socketserver
from http.server import BaseHTTPRequestHandler
locks = threading.Lock(), threading.Lock()
first, second = locks
fault = ""

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def do_GET(self):
        global fault
        if self.path == "/accept":
            while True:
                time.sleep(60)
        if self.path == "/deadlock":
            threading.Thread(target=self.other, daemon=True).start()
            with first:
                time.sleep(0.2)
                with second:
                    pass
        if self.path == "/ill":
            fault = "ill"
        time.sleep(SLOW)
        with first, second:
            body = answer()
        self.send_response(503 if fault == "ill" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def other(self):
        with second:
            time.sleep(0.2)
            with first:
                pass

    def address_string(self):
        return "someone"

    def log_message(self, *words):
        pass

SLOW = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
class Threads(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
kind = socketserver.UnixStreamServer if "alone" in sys.argv else Threads
kind(sys.argv[1].removeprefix("unix:"), Handler).serve_forever()
"""
)
"""No SDK: a thread for each request, or with `alone` none at all."""

CHECK = "import os, sys; sys.exit(os.path.exists(os.path.join(os.environ['NODED_DATA'], 'ill')))"
DUTIFUL = (
    ANSWER
    + """
from nodekit import Node
node = Node()

@node.get("/")
def fine(request):
    return answer().decode()

@node.get("/ill")
def ill(request):
    open(os.path.join(node.data, "ill"), "w").close()

try:
    os.unlink(os.path.join(node.data, "ill"))
except FileNotFoundError:
    pass
node.main()
"""
)
"""Its own check says when it is ill."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int = 0
    pid: int = 0
    instance: str = ""


def ask(host: Host, port: int, path: str = "/", timeout: float = 0.5) -> Answer:
    """All zeros when nobody answers in time."""
    line = http.client.HTTPConnection("127.0.0.1", host.first_port + port - 1, timeout=timeout)
    try:
        line.request("GET", path)
        told = line.getresponse()
        body = told.read()
    except (OSError, http.client.HTTPException):
        return Answer()
    finally:
        line.close()
    with suppress(ValueError, TypeError):
        return Answer(told.status, **json.loads(body))
    return Answer(told.status)


def send(path: str) -> Callable[[Host, int, int], None]:
    """A request that will never be answered."""

    def cause(host: Host, port: int, pid: int) -> None:
        line = socket.create_connection(("127.0.0.1", host.first_port + port - 1), 5)
        line.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        # Kept open in the background, like a client that waits.
        threading.Thread(target=_wait, args=(line,), daemon=True).start()

    return cause


def stop(host: Host, port: int, pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)


def until_another_serves(host: Host, port: int, old: int, timeout: float) -> float:
    """Seconds until an answer comes from another process."""
    began = time.monotonic()
    while time.monotonic() < began + timeout:
        found = ask(host, port)
        if found.status == 200 and found.pid not in (0, old):
            return time.monotonic() - began
        time.sleep(0.01)
    raise TimeoutError(f"nobody but {old} served port {port} within {timeout:.0f} s")


def cpu_pressure() -> float:
    """Share of the last ten seconds in which something waited for a CPU; 0 when the kernel does not tell."""
    with suppress(OSError, IndexError, ValueError):
        return float(Path("/proc/pressure/cpu").read_text().split("avg10=")[1].split()[0]) / 100
    return 0.0


def _wait(line: socket.socket) -> None:
    with suppress(OSError), line:
        line.settimeout(60)
        line.recv(1)
