"""Can a stranger on the host silence a node, or a restart of noded have its work done twice at a time?"""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.follow import Follower, ready
from tests.e2e.ground import wait_for
from tests.e2e.host import Host
from tests.e2e.programs import lay
from tests.launcher.lab import PYTHON

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(os.geteuid() != 0, reason="users of their own need root")]
STRANGER = 12345
FLOOD = """
import socket, sys, time
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as out:
    end = time.monotonic() + 4
    sent = 0
    told = set()
    while time.monotonic() < end:
        try:
            out.sendto(b"x", sys.argv[1])
            sent += 1
        except OSError as error:
            told.add(error.strerror)
            time.sleep(0.005)
print(sent, *told)
"""
"""Longer than a node may be silent."""


def flooded(path: Path) -> str:
    command = [PYTHON, "-c", FLOOD, str(path)]
    floods = [
        subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, user=STRANGER, group=STRANGER, extra_groups=[]
        )
        for _ in range(3)
    ]
    return " ".join(flood.communicate(timeout=30)[0].strip() for flood in floods)


def test_nobody_else_can_speak_in_a_nodes_place(host: Host, follower: Follower) -> None:
    host.nodectl("apply", "--no-wait", str(lay(host, "flooded", port=1)))
    (before,) = follower.until("flooded", ready, "the node")["instances"]
    path = host.folder / f"run/notify/{before['id']}.sock"
    assert flooded(path) == " ".join(["0 Permission denied"] * 3)
    host.kill("noded")
    host.start_noded()
    inode = path.stat().st_ino
    wait_for(lambda: path.stat().st_uid >= 64200, "the new socket to be the node's")
    assert flooded(path) == " ".join(["0 Permission denied"] * 3)
    (after,) = follower.until("flooded", ready, "the node")["instances"]
    assert (after["id"], after["pid"], path.stat().st_ino) == (before["id"], before["pid"], inode)
    assert "KillInstance" not in host.log("noded")
    assert "can silence" not in host.nodectl("status").stdout


MIGRATION = 'echo start $$ >>"$NODED_DATA/trace"; sleep 4; echo end $$ >>"$NODED_DATA/trace"'


def test_a_restart_of_noded_never_has_two_migrations_at_once(host: Host, follower: Follower) -> None:
    before = f"before = {json.dumps([['sh', '-c', MIGRATION]])}"
    host.nodectl("apply", "--no-wait", str(lay(host, "migrated", port=2, head=before)))
    trace = host.folder / "state/data/migrated/trace"
    wait_for(trace.exists, "the migration to begin")
    host.kill("noded")
    host.start_noded()
    follower.until("migrated", ready, "the node", 40)
    told = [line.split() for line in trace.read_text().splitlines()]
    assert [word for word, _ in told] == ["start", "start", "end"]
    assert told[1][1] == told[2][1] != told[0][1]
