"""Is an instance believed only on its own socket, and does nothing it says do harm?"""

import asyncio
import json
import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from noded.adapters.node_socket import NodeSockets
from noded.model.inputs import InstanceReady
from noded.ports import NotFound, Refused, TimedOut, Unavailable
from noded.runtime import codec
from tests.adapters.looped import looped
from tests.adapters.sdk import Sdk, wait
from tests.fakes.clock import FakeClock
from tests.fakes.inbox import FakeInbox

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
UID = os.geteuid()
INSTANCE = "catalog.1"


@dataclass
class Place:
    folder: Path
    inbox: FakeInbox

    def sockets(self) -> NodeSockets:
        return NodeSockets(self.folder / "i", self.folder / "n", self.inbox, FakeClock())

    def open(self, uid: int = UID) -> tuple[NodeSockets, Sdk]:
        """noded's side, and an SDK that may talk to it."""
        made = self.sockets()
        notify = made.listen("catalog", INSTANCE)
        made.expect("catalog", INSTANCE, uid)
        return made, Sdk(notify, self.folder / f"i/{INSTANCE}/orders.sock")


@pytest.fixture
def place() -> Iterator[Place]:
    folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="nd"))
    folder.chmod(0o755)
    (folder / "n").mkdir()
    yield Place(folder, FakeInbox())
    shutil.rmtree(folder)


async def heard(sockets: NodeSockets, sdk: Sdk) -> None:
    """Everything said before was taken."""
    before = sockets.heartbeat(INSTANCE)
    number = int(before.progress if before else 0) + 1
    sdk.tell(kind="heartbeat", lag=0, progress=number)
    await wait(lambda: (now := sockets.heartbeat(INSTANCE)) and now.progress == number, "a heartbeat")


@looped
async def test_an_order_goes_out_as_json_with_a_number_of_its_own(place: Place) -> None:
    sockets, sdk = place.open()
    sdk.answers = {"collect": {"before": 1}, "shrink": {}}
    for _ in range(2):
        await sockets.order(INSTANCE, {"do": "shrink", "fraction": 0.5}, 5.0)
    await sockets.order(INSTANCE, {"do": "collect"}, 5.0)
    assert [order["do"] for order in sdk.heard] == ["shrink", "shrink", "collect"]
    assert sdk.heard[0]["fraction"] == 0.5
    assert len({order["order"] for order in sdk.heard}) == 3
    sdk.close()


@looped
async def test_answers_find_their_order_whatever_comes_first(place: Place) -> None:
    sockets, sdk = place.open()
    asked = [
        asyncio.ensure_future(sockets.order(INSTANCE, {"do": "describe", "n": n}, 5.0)) for n in range(5)
    ]
    await wait(lambda: len(sdk.heard) == 5, "five orders")
    for order in reversed(sdk.heard):
        sdk.tell(kind="done", order=order["order"], ok=True, result={"n": order["n"]})
    assert [(await one)["n"] for one in asked] == [0, 1, 2, 3, 4]
    sdk.close()


@looped
async def test_no_answer_in_time(place: Place) -> None:
    sockets, sdk = place.open()
    with pytest.raises(TimedOut, match=r"cannot have catalog\.1 collect: no answer in 0 s"):
        await sockets.order(INSTANCE, {"do": "collect"}, 0.05)
    order = sdk.heard[0]["order"]
    sdk.tell(kind="done", order=order, ok=True, result={})  # too late: nobody asks any more
    await heard(sockets, sdk)
    sdk.close()


@looped
async def test_who_does_not_read_its_orders_is_told_from_who_is_gone(place: Place) -> None:
    sockets, sdk = place.open()
    sdk.deaf()
    with pytest.raises(Unavailable, match="has not read the orders before"):
        for _ in range(5000):
            with pytest.raises(TimedOut):
                await sockets.order(INSTANCE, {"do": "collect"}, 0.0)
    sdk.close()
    with pytest.raises(NotFound, match="does not listen for orders"):
        await sockets.order(INSTANCE, {"do": "collect"}, 1.0)


@looped
async def test_an_order_does_not_follow_a_link(place: Place) -> None:
    sockets, sdk = place.open()
    orders = place.folder / f"i/{INSTANCE}/orders.sock"
    orders.rename(orders.with_name("elsewhere"))
    orders.symlink_to(orders.with_name("elsewhere"))
    with pytest.raises(Refused, match="is not a socket that uid"):
        await sockets.order(INSTANCE, {"do": "collect"}, 1.0)
    assert sdk.heard == []
    sdk.close()


@looped
async def test_one_that_is_forgotten_while_it_is_asked(place: Place) -> None:
    sockets, sdk = place.open()
    asked = asyncio.ensure_future(sockets.order(INSTANCE, {"do": "collect"}, 10.0))
    await wait(lambda: sdk.heard, "the order")
    sockets.forget(INSTANCE)
    with pytest.raises(NotFound, match=r"catalog\.1 is gone"):
        await asked
    assert list((place.folder / "n").iterdir()) == []
    sdk.close()


@looped
async def test_an_answer_of_an_odd_shape_is_an_answer_without_result(place: Place) -> None:
    sockets, sdk = place.open()
    for result in (None, [], "done", 7):
        asked = asyncio.ensure_future(sockets.order(INSTANCE, {"do": "collect"}, 5.0))
        count = len(sdk.heard)
        await wait(lambda count=count: len(sdk.heard) > count, "the order")
        sdk.tell(kind="done", order=str(sdk.heard[-1]["order"]), ok=True, result=result)
        assert await asked == {}
    asked = asyncio.ensure_future(sockets.order(INSTANCE, {"do": "collect"}, 5.0))
    await wait(lambda: len(sdk.heard) == 5, "the order")
    sdk.tell(kind="done", order=sdk.heard[-1]["order"], ok="yes", error={"a": 1})
    with pytest.raises(Refused, match=r"answered: \{'a': 1\}"):
        await asked
    sdk.close()


@looped
async def test_an_error_is_one_short_printable_line_that_can_be_written_down(place: Place) -> None:
    sockets, sdk = place.open()
    sdk.answers = {"collect": "a\nb\x1b[31m \ud800 " + "x" * 5000}
    with pytest.raises(Refused) as refusal:
        await sockets.order(INSTANCE, {"do": "collect"}, 5.0)
    text = str(refusal.value)
    assert text.isprintable()
    assert len(text) < 230
    codec.dump_tagged(InstanceReady(1.0, "catalog", INSTANCE, text)).encode()
    text.encode()
    sdk.close()


GARBAGE = [
    b"",
    b"\0",
    b"\xff\xfe\xfd",
    b"READY=0",
    b"READY=10",
    b"XREADY=1",
    b"NODED=",
    b"NODED={",
    b"NODED=[]",
    b'NODED="heartbeat"',
    b"NODED=7",
    b"NODED=null",
    b"NODED={}",
    b'NODED={"kind":7}',
    b'NODED={"kind":"done"}',
    b'NODED={"kind":"done","order":{}}',
    b'NODED={"kind":"done","order":"x","ok":true}',
    b'NODED={"kind":"done","order":999,"ok":true}',
    b'NODED={"kind":"unheard","order":1}',
    b"NODED=" + b"[" * 30_000,
    b'NODED={"kind":"done","order":' + b"9" * 5000 + b"}",
    b"\n" * 60_000,
]


@pytest.mark.parametrize("said", GARBAGE, ids=lambda said: str(said[:24]))
@looped
async def test_garbage_is_passed_by(place: Place, said: bytes, caplog: pytest.LogCaptureFixture) -> None:
    sockets, sdk = place.open()
    with caplog.at_level(logging.DEBUG):
        sdk.say(said)
        await heard(sockets, sdk)
    assert [fact.told_by for fact in place.inbox.all(InstanceReady)] == ["its heartbeat"]
    assert caplog.records == []
    sdk.close()


ODD_NUMBERS = ["NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 400, '"5"', "null", "[]", "{}", "true"]


@pytest.mark.parametrize("number", ODD_NUMBERS, ids=lambda number: number[:9])
@looped
async def test_numbers_are_bounded(place: Place, number: str, caplog: pytest.LogCaptureFixture) -> None:
    sockets, sdk = place.open()
    keys = ("lag", "progress", "stuck", "oldest")
    sdk.say('NODED={"kind":"heartbeat",' + ",".join(f'"{key}":{number}' for key in keys) + "}")
    await wait(lambda: sockets.heartbeat(INSTANCE), "a heartbeat")
    beat = sockets.heartbeat(INSTANCE)
    assert beat is not None
    assert (beat.lag, beat.progress, beat.stuck, beat.oldest) in ((0.0, 0, 0.0, 0.0), (1.0, 1, 1.0, 1.0))
    assert caplog.records == []
    sdk.close()


@looped
async def test_a_loop_does_not_turn_in_the_future(place: Place) -> None:
    sockets, sdk = place.open()
    sdk.tell(kind="heartbeat", lag=0.5, progress=3, stuck=-7.0, oldest=-1)
    await wait(lambda: sockets.heartbeat(INSTANCE), "a heartbeat")
    beat = sockets.heartbeat(INSTANCE)
    assert beat is not None
    assert (beat.stuck, beat.oldest) == (0.0, 0.0)
    sdk.close()


@looped
async def test_ready_among_other_lines(place: Place) -> None:
    _, sdk = place.open()
    sdk.say("STATUS=starting\nREADY=1\nWATCHDOG=1\n")
    await wait(lambda: place.inbox.facts, "readiness")
    sdk.close()


@looped
async def test_a_message_that_is_too_large_or_passes_files_is_dropped(place: Place) -> None:
    sockets, sdk = place.open()
    before = len(os.listdir("/proc/self/fd"))
    sdk.say("READY=1\n" + "x" * 70_000)
    sdk.say_with_file("READY=1")
    await heard(sockets, sdk)
    assert [fact.told_by for fact in place.inbox.all(InstanceReady)] == ["its heartbeat"]
    assert len(os.listdir("/proc/self/fd")) == before
    sdk.close()


@looped
async def test_a_flood_leaves_the_loop_to_others(place: Place) -> None:
    sockets, sdk = place.open()
    flood = subprocess.Popen(
        [
            "/usr/bin/python3",
            "-c",
            "import socket, sys\ns = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
            'while True: s.sendto(b\'NODED={"kind":"heartbeat","progress":1}\', sys.argv[1])',
            str(place.folder / f"n/{INSTANCE}.sock"),
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        await wait(lambda: sockets.heartbeat(INSTANCE), "the flood")
        turns = 0
        deadline = asyncio.get_running_loop().time() + 0.3
        while asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0)
            turns += 1
        assert turns > 20
    finally:
        flood.kill()
        flood.wait()
    assert len(place.inbox.facts) == 1
    sdk.close()


SAY = """
import socket, sys
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(sys.argv[2].encode(), sys.argv[1])
"""


@needs_root
@looped
async def test_what_another_user_says_is_ignored(place: Place) -> None:
    sockets, sdk = place.open(uid=64201)
    (place.folder / f"n/{INSTANCE}.sock").chmod(0o666)  # as where the launcher cannot give it to the node

    def as_uid(uid: int, text: str) -> None:
        switch = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
        path = str(place.folder / f"n/{INSTANCE}.sock")
        subprocess.run([*switch, "/usr/bin/python3", "-c", SAY, path, text], check=True, timeout=20)

    with pytest.raises(Refused, match="is not a socket that uid 64201 made"):
        await sockets.order(INSTANCE, {"do": "collect"}, 1.0)
    os.chown(place.folder / f"i/{INSTANCE}/orders.sock", 64201, 64201)
    order = asyncio.ensure_future(sockets.order(INSTANCE, {"do": "collect"}, 20.0))
    await wait(lambda: sdk.heard, "the order")
    done = {"kind": "done", "order": sdk.heard[0]["order"], "ok": True, "result": {"by": 0}}
    for text in ("READY=1", f"NODED={json.dumps(done)}", 'NODED={"kind":"heartbeat"}'):
        as_uid(64202, text)
        sdk.say(text)  # nor root, which is not the instance's user
    as_uid(64201, f"NODED={json.dumps({**done, 'result': {'by': 64201}})}")
    assert await order == {"by": 64201}
    assert place.inbox.facts == []
    assert sockets.heartbeat(INSTANCE) is None
    as_uid(64201, "READY=1")
    await wait(lambda: place.inbox.facts, "readiness")
    sdk.close()


@looped
async def test_its_socket_is_closed_to_others_from_the_moment_it_is_there(place: Place) -> None:
    before = os.umask(0)
    try:
        _, sdk = place.open()
    finally:
        os.umask(before)
    found = (place.folder / f"n/{INSTANCE}.sock").stat()
    assert (found.st_mode & 0o777, found.st_uid) == (0o600, UID)
    sdk.close()


@needs_root
@looped
async def test_a_user_with_a_very_high_number_is_believed(place: Place) -> None:
    uid = 2**32 - 2
    place.open(uid=uid)[1].close()
    switch = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    path = str(place.folder / f"n/{INSTANCE}.sock")
    os.chown(path, uid, -1)
    subprocess.run([*switch, "/usr/bin/python3", "-c", SAY, path, "READY=1"], check=True, timeout=20)
    await wait(lambda: place.inbox.facts, "readiness")


@looped
async def test_nobody_is_believed_before_it_is_known_who_may_speak(place: Place) -> None:
    sockets = place.sockets()
    sdk = Sdk(sockets.listen("catalog", INSTANCE), place.folder / f"i/{INSTANCE}/orders.sock")
    sdk.say("READY=1")
    await asyncio.sleep(0.02)
    assert place.inbox.facts == []
    sockets.expect("catalog", INSTANCE, UID)  # what it said meanwhile waited in the kernel
    await wait(lambda: place.inbox.facts, "readiness")
    sdk.close()


@looped
async def test_after_a_restart_of_noded_the_same_path_is_bound_anew(place: Place) -> None:
    sockets, sdk = place.open()
    await heard(sockets, sdk)
    asyncio.get_running_loop().remove_reader(sockets._lines[INSTANCE].notify)
    sockets._lines[INSTANCE].notify.close()  # a kill: the file stays
    with pytest.raises(ConnectionRefusedError):
        sdk.say("READY=1")
    again = place.sockets()
    again.listen("catalog", INSTANCE)
    again.expect("catalog", INSTANCE, UID)
    await heard(again, sdk)
    assert [fact.told_by for fact in place.inbox.all(InstanceReady)] == ["its heartbeat"] * 2
    sdk.answers = {"collect": {"before": 1}}
    assert await again.order(INSTANCE, {"do": "collect"}, 5.0) == {"before": 1}
    sdk.close()


@looped
async def test_a_path_that_cannot_be_bound_is_told(place: Place) -> None:
    deep = place.folder / ("x" * 100)
    deep.mkdir()
    with pytest.raises(Unavailable, match=r"cannot listen to catalog\.1 on .*: AF_UNIX path too long"):
        NodeSockets(place.folder / "i", deep, place.inbox, FakeClock()).listen("catalog", INSTANCE)
    with pytest.raises(Unavailable, match="No such file"):
        NodeSockets(place.folder / "i", place.folder / "none", place.inbox, FakeClock()).listen("a", "a.1")
    (place.folder / "n" / f"{INSTANCE}.sock").mkdir()
    with pytest.raises(Unavailable, match="directory"):
        place.sockets().listen("catalog", INSTANCE)
