"""What if somebody at the mesh stands still, reads nothing, talks nonsense, or comes a thousandfold?"""

import os
import random
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import pytest

from nodeapi.v1.mesh_pb2 import ConsumeRequest, DeadRequest, Frame, Head, Settle
from tests.e2e.ground import wait_for
from tests.faults.mesh_guest import DELIVERED, FRAME, GREETING, HEADER, REQUEST, Guest, Hung
from tests.faults.mesh_world import MeshWorld, Notes, Part, all_come, made

pytestmark = pytest.mark.e2e
MIB = 2**20
MANY = 1000
SHOP = Part("shop", ("shop.placed", "shop.paid"))
SHELF = Part("shelf", consumes={"shop.placed": False}, instances=2)
MUTE = Part("mute", consumes={"shop.placed": False}, instances=2)
STALL = Part("stall", ("shop.sold",), instances=MANY)
SILENT_FOR = 2.0
"""Seconds after which an event that nobody speaks of is given to another."""


@dataclass
class Shop:
    world: MeshWorld
    acked: Notes
    shelf: Notes

    def goes_on(self, more: int = 200) -> None:
        """New events reach the disk and are handled."""
        before = len(self.acked.read())
        wait_for(lambda: len(self.acked.read()) > before + more, "more events on disk", 30.0)
        all_come(self.shelf, lambda: self.acked.of("shop.placed"))


@pytest.fixture(scope="module", params=["raw", "grpc"])
def shop(request: pytest.FixtureRequest) -> Iterator[Shop]:
    with made(request.param) as world:
        world.start_mesh()
        world.declare(SHOP, SHELF, MUTE, STALL)
        world.start("shop.1", "publish", RATE="600")
        for instance in ("shelf.1", "shelf.2"):
            world.start(instance, "handle", TIMEOUT=str(SILENT_FOR))
        shop = Shop(world, world.notes("shop.acked"), world.notes("shelf"))
        shop.goes_on()
        yield shop
        shop.goes_on()
        for name in ("mesh", "shop.1", "shelf.1", "shelf.2"):
            assert world.is_alive(name), world.log(name)
        assert "Traceback" not in world.log("mesh")


def test_a_frozen_mesh_holds_up_events_and_loses_none(shop: Shop) -> None:
    handled = len(shop.shelf.read())
    with shop.world.frozen("mesh"):
        found = len(shop.acked.read())
        with suppress(TimeoutError):
            wait_for(lambda: len(shop.acked.read()) > found + 2000, "nothing", 3.0)
        assert len(shop.acked.read()) < found + 2000
    shop.goes_on()
    again = [line for line in shop.shelf.read()[handled:] if line[2] != "1"]
    assert len({line[0] for line in shop.shelf.read()[handled:]}) > 200
    # What took longer than its time because the mesh stood still may come again; nothing else does.
    assert len(again) < 600


def test_the_events_of_a_frozen_consumer_go_to_another(shop: Shop) -> None:
    with shop.world.frozen("shelf.1"):
        # Its sessions stay, and what it holds: after its time all that is handed out goes to the other one.
        shop.goes_on(600)
        last = shop.shelf.read()[-1]
        assert last[3] == "shelf.2"
    shop.goes_on()
    with shop.world.control() as control:
        assert control.ListDead(DeadRequest(node="shelf"), timeout=10).count == 0


def test_who_never_reads_takes_no_memory_and_no_time_of_others(shop: Shop) -> None:
    before = shop.world.rss("mesh")
    with ExitStack() as stack:
        for instance in ("mute.1", "mute.2"):
            guest = stack.enter_context(Guest(shop.world.socket))
            guest.subscribe(instance, 65_536)
        for _ in range(5):
            shop.goes_on(400)
        assert shop.world.rss("mesh") < before + 24 * MIB


def test_a_thousand_who_speak_leave_room_for_the_others(shop: Shop) -> None:
    with ExitStack() as stack:
        guests = [stack.enter_context(Guest(shop.world.socket)) for _ in range(MANY)]
        for number, guest in enumerate(guests, 1):
            guest.greet(f"stall.{number}")
        for guest in guests:
            guest.publish(b"{}", type="shop.sold")
        for guest in guests:
            while guest.published().through < 1:
                pass
        shop.goes_on()
    wait_for(lambda: descriptors(shop) < 200, "an end of all of them", 30.0)


def descriptors(shop: Shop) -> int:
    return len(os.listdir(f"/proc/{shop.world.pid('mesh')}/fd"))


def hello(**more: object) -> bytes:
    said = {"source": "/shop", "stream": "shop.1-x", "instance": "shop.1", "checked": True, **more}
    return Frame(head=Head(**said)).SerializeToString()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "body", "why"),
    [
        (FRAME, b"\xff" * 40, "parse|message|frame|Frame"),
        (FRAME, hello(instance="nobody.1" * 200), "head.instance|instance"),
        (FRAME, hello(stream=""), "stream"),
        (FRAME, hello(source="x" * 5000), "source"),
        (REQUEST, b"\xff" * 40, "ConsumeRequest"),
        (REQUEST, b"", "subscription"),
        (REQUEST, ConsumeRequest(settle=Settle(through=2**63)).SerializeToString(), "subscription"),
        (DELIVERED, b"", "kind"),
        (77, b"", "kind"),
    ],
)
def test_nonsense_is_answered_with_a_reason(shop: Shop, kind: int, body: bytes, why: str) -> None:
    with Guest(shop.world.socket) as guest:
        guest.say(kind, body)
        reason = guest.hangs_up()
    assert any(word in reason for word in why.split("|")), reason


@pytest.mark.parametrize("length", [0, 2**31, 2**32 - 1, 70_000])
def test_a_length_that_cannot_be_ends_the_connection_at_once(shop: Shop, length: int) -> None:
    with Guest(shop.world.socket) as guest:
        guest.socket.sendall(struct.pack("<IB", length, FRAME) + b"x" * 16)
        assert "expected a message of 1 to" in guest.hangs_up()


def test_what_is_cut_off_anywhere_harms_nobody(shop: Shop, told: dict[str, str]) -> None:
    dice = seeded(told, "cut off")
    head = Head(source="/stall", stream="stall.7-cut", instance="stall.7", checked=True)
    first = Frame(head=head).SerializeToString()
    events = Head(source="/stall", stream="stall.7-cut", first=1, count=3, types=["shop.sold"])
    second = Frame(head=events, data=[b"{}"] * 3).SerializeToString()
    whole = GREETING + b"".join(HEADER.pack(len(each) + 1, FRAME) + each for each in (first, second))
    for _ in range(60):
        talk(shop, whole[: dice.randrange(len(whole))], dice.random() < 0.5)
    shop.goes_on()


def test_garbage_of_every_kind_harms_nobody(shop: Shop, told: dict[str, str]) -> None:
    dice = seeded(told, "garbage")
    starts = (b"", GREETING, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", GREETING[:7])
    for _ in range(60):
        noise = dice.randbytes(dice.choice((1, 5, 64, 4096, 200_000)))
        talk(shop, dice.choice(starts) + noise, dice.random() < 0.5)
        talk(shop, dice.choice(starts) + noise, dice.random() < 0.5, "control.sock")
    shop.goes_on()


def test_frames_with_changed_bytes_harm_nobody(shop: Shop, told: dict[str, str]) -> None:
    """They may be taken as something else that is whole; they are never the end of the mesh."""
    dice = seeded(told, "changed bytes")
    for number in range(60):
        with Guest(shop.world.socket) as guest, suppress(Hung):
            guest.greet(f"stall.{1 + number}")
            head = Head(source="/stall", stream=guest.stream, first=1, count=3, types=["shop.sold", "b"])
            good = Frame(head=head, data=[b"{}"] * 3)
            good.columns.type.extend([0, 1, 0])
            good.columns.subject.extend(["a", "b", "c"])
            body = bytearray(good.SerializeToString())
            for _ in range(dice.randint(1, 4)):
                body[dice.randrange(len(body))] = dice.randrange(256)
            guest.say(FRAME, bytes(body))
            guest.published()
    shop.goes_on()


def talk(shop: Shop, said: bytes, waits: bool, name: str = "mesh.sock") -> None:
    with socket.socket(socket.AF_UNIX) as guest, suppress(OSError):
        guest.settimeout(0.05)
        guest.connect(str(shop.world.folder / "run" / name))
        guest.sendall(said)
        if waits:
            guest.recv(4096)


def seeded(told: dict[str, str], what: str) -> random.Random:
    seed = int(os.environ.get("NODED_SEED") or random.SystemRandom().randrange(10**6))
    told[f"seed of the mesh's {what}"] = f"NODED_SEED={seed}"
    return random.Random(seed)
