"""Does the node answer over its socket, and does it stop when it is told to?"""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEADLINE = 10.0


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("catalog", timeout=DEADLINE)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(DEADLINE)
        self.sock.connect(self.path)


class ServiceTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = tempfile.TemporaryDirectory(prefix="nd")
        path = os.path.join(cls.folder.name, "http.sock")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("NODED_", "NOTIFY_"))}
        environ = {**kept, "NODED_LISTEN": f"unix:{path}"}
        cls.program = subprocess.Popen([sys.executable, "-m", "catalog"], cwd=ROOT, env=environ)
        cls.connection = UnixConnection(path)
        deadline = time.monotonic() + DEADLINE
        while not os.path.exists(path):
            if cls.program.poll() is not None or time.monotonic() > deadline:
                raise AssertionError("the node did not come up")
            time.sleep(0.01)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.connection.close()
        cls.program.send_signal(signal.SIGTERM)
        try:
            status = cls.program.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            cls.program.kill()
            cls.program.wait()
            raise
        finally:
            cls.folder.cleanup()
        if status != 0:
            raise AssertionError(f"the node ended with {status}")

    def ask(self, target: str) -> tuple[int, str]:
        self.connection.request("GET", target)
        response = self.connection.getresponse()
        return response.status, response.read().decode()

    def test_good_questions(self) -> None:
        self.assertEqual(self.ask("/healthz"), (200, "ok\n"))
        self.assertEqual(len(json.loads(self.ask("/products")[1])["products"]), 120)
        self.assertIn("<h1>oak lamp</h1>", self.ask("/products/LA0000?currency=PLN")[1])
        self.assertEqual(json.loads(self.ask("/search?q=oak+lamp")[1])["products"][0]["sku"], "LA0000")
        status, text = self.ask("/quote/LA0000?customer=acme&quantity=12")
        self.assertEqual(status, 200)
        self.assertIn("12 x oak lamp", text)

    def test_bad_questions(self) -> None:
        for target, status in (
            ("/nothing", 404),
            ("/products/NONE", 404),
            ("/products/LA0000?currency=XXX", 400),
            ("/quote/LA0000", 400),
            ("/quote/LA0000?customer=acme&quantity=0", 400),
            ("/quote/LA0000?customer=acme&quantity=many", 400),
            ("/quote/LA0000?customer=a%20b&quantity=1", 400),
            ("/quote/NONE?customer=acme&quantity=1", 404),
            ("/search", 400),
        ):
            with self.subTest(target):
                self.assertEqual(self.ask(target)[0], status)


if __name__ == "__main__":
    unittest.main()
