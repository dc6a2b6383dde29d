"""Which programs are killed and stopped in the benches? Under noded and under its peers the same ones."""

IMPORTING = """
import time

def imported(seconds):
    # What imports cost is CPU time, so that is what is spent here.
    until = time.process_time() + seconds
    while time.process_time() < until:
        sum(range(1000))

imported({seconds})
"""

SERVES = (
    IMPORTING
    + """
import os
from nodekit import Node

node = Node()

@node.get("/")
def answer(request):
    return {{"pid": os.getpid()}}

@node.get("/block")
async def block(request):
    time.sleep(3600)

node.main()
"""
)
"""With the SDK. After a request for /block its event loop, and with it the accepting, stands still."""

THREADED = (
    IMPORTING
    + """
import json, os, sys, socketserver, threading
from http.server import BaseHTTPRequestHandler

lock = threading.Lock()

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        lock.acquire()
        if self.path == "/block":
            return  # and the lock is never given back: every thread from now on waits for it
        lock.release()
        body = json.dumps({{"pid": os.getpid()}}).encode()
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
    request_queue_size = 128

Server(sys.argv[1].removeprefix("unix:"), Handler).serve_forever()
"""
)
"""Without the SDK, a thread for each request. After /block each waits for a lock that nobody gives back."""


def serves(seconds: float) -> str:
    return SERVES.format(seconds=seconds)


def threaded(seconds: float) -> str:
    return THREADED.format(seconds=seconds)
