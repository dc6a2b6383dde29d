"""How does a test give many orders at once, and hear what became of them? See `tests/faults/orders.py`."""

import json
import subprocess

from tests.e2e.ground import ROOT
from tests.e2e.host import Host


class Clerk:
    def __init__(self, host: Host) -> None:
        command = [host.python, "-m", "tests.faults.orders", str(host.control)]
        env = {**host.env(), "PYTHONPATH": f"{host.env()['PYTHONPATH']}:{ROOT}"}
        self._process = subprocess.Popen(
            command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self._asked = 0

    def order(self, **order: str) -> None:
        """It goes on beside the test."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._asked += 1

    def answered(self) -> dict[str, str]:
        """What was said to each order since the last time."""
        said: dict[str, str] = {}
        while self._asked:
            assert self._process.stdout is not None
            answer = json.loads(self._process.stdout.readline())
            what = answer.get("folder", "").rpartition("/")[2] or f"{answer['verb']} {answer['node']}"
            said[what] = answer["said"]
            self._asked -= 1
        return said

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()
