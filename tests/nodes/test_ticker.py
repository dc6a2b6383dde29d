"""Does the smallest node live?"""

import signal
import subprocess
import sys

from tests.nodekit.noded_side import DEADLINE, NODES, NodedSide, environ


def test_it_ticks_once_active_and_stops() -> None:
    noded = NodedSide()
    env = environ(**{**noded.environ, "NODED_LISTEN": "", "NODED_ACTIVE": "0"})
    program = subprocess.Popen(
        [sys.executable, "ticker.py"], cwd=NODES / "ticker", env=env, stdout=subprocess.PIPE, text=True
    )
    try:
        noded.hear_line("READY=1")
        assert noded.order("describe")["result"]["progress"] == 0
        assert noded.order("activate")["ok"]
        assert program.stdout
        assert program.stdout.readline() == "tick\n"
        noded.hear_message("heartbeat", progress=1)
        program.send_signal(signal.SIGTERM)
        program.communicate(timeout=DEADLINE)
        assert program.returncode == 0
    finally:
        program.kill()
        program.wait()
        noded.close()
