"""A client of the mesh that says what it wants, well formed or not, and reads only when told to."""

import contextlib
import socket
import struct
import time
from pathlib import Path

from nodeapi.v1.mesh_pb2 import ConsumeRequest, Frame, Head, Published, Settle, Subscribe, Wish

GREETING = b"NODED-MESH/1\n"
FRAME, PUBLISHED, REQUEST, DELIVERED, REASON, BEAT = range(1, 7)
HEADER = struct.Struct("<IB")
SECONDS = 20.0


class Hung(Exception):
    """The mesh closed the connection; why, if it said so."""


class Guest:
    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(SECONDS)
        self.socket.connect(str(path))

    def __enter__(self) -> "Guest":
        self.socket.sendall(GREETING)
        assert self._read(len(GREETING)) == GREETING
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def say(self, kind: int, body: bytes) -> None:
        with contextlib.suppress(ConnectionError):  # the reason can still be read
            self.socket.sendall(HEADER.pack(len(body) + 1, kind) + body)

    def hear(self, wanted: int) -> bytes:
        while True:
            length, kind = HEADER.unpack(self._read(HEADER.size))
            body = self._read(length - 1)
            if kind == wanted:
                return body
            if kind == REASON:
                raise Hung(body.decode())

    def hangs_up(self) -> str:
        """Why."""
        try:
            while True:
                self.hear(0)
        except Hung as hung:
            return str(hung)

    def greet(self, instance: str) -> None:
        stream = f"{instance}-{time.monotonic_ns():x}"
        node = instance.partition(".")[0]
        self.stream, self.source, self.next = stream, f"/{node}", 1
        head = Head(source=self.source, stream=stream, instance=instance, checked=True)
        self.say(FRAME, Frame(head=head).SerializeToString())
        assert self.published().through == 0

    def publish(self, *data: bytes, type: str = "shop.placed") -> None:
        head = Head(source=self.source, stream=self.stream, first=self.next, count=len(data), types=[type])
        head.at = int(time.time() * 1e6)
        self.next += len(data)
        self.say(FRAME, Frame(head=head, data=data).SerializeToString())

    def published(self) -> Published:
        return Published.FromString(self.hear(PUBLISHED))

    def subscribe(self, instance: str, granted: int, type: str = "shop.placed") -> None:
        said = Subscribe(instance=instance, granted=granted, wishes=[Wish(type=type, timeout=3600)])
        self.say(REQUEST, ConsumeRequest(subscribe=said).SerializeToString())

    def settle(self, through: int, granted: int) -> None:
        said = Settle(through=through, granted=granted)
        self.say(REQUEST, ConsumeRequest(settle=said).SerializeToString())

    def delivered(self) -> Frame:
        return Frame.FromString(self.hear(DELIVERED))

    def _read(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            try:
                part = self.socket.recv(size - len(found))
            except ConnectionError as error:
                raise Hung(str(error)) from error
            if not part:
                raise Hung("")
            found += part
        return found
