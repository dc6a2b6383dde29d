"""Cheap HTTP servers in one process: what is measured is the proxy. `python many_servers.py FOLDER COUNT`

Each listens at FOLDER/<number>.sock, number 0 also at a port of 127.0.0.1 that is printed. The time of the
newest request of each, as CLOCK_MONOTONIC tells it to every process, stands in FOLDER/newest.
"""

import mmap
import selectors
import socket
import struct
import sys
import time
from pathlib import Path

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
END = b"\r\n\r\n"
TIME = struct.Struct("d")


class Servers:
    def __init__(self, folder: Path, count: int) -> None:
        self._waiting = selectors.EpollSelector()
        newest = folder / "newest"
        newest.write_bytes(bytes(TIME.size * count))
        with newest.open("r+b") as file:
            self._newest = mmap.mmap(file.fileno(), TIME.size * count)
        for number in range(count):
            listening = socket.socket(socket.AF_UNIX)
            listening.bind(str(folder / f"{number}.sock"))
            self._listen(listening, number)
        inet = socket.create_server(("127.0.0.1", 0))
        self._listen(inet, 0)
        self.port = int(inet.getsockname()[1])

    def _listen(self, listening: socket.socket, number: int) -> None:
        listening.listen(256)
        listening.setblocking(False)
        self._waiting.register(listening, selectors.EVENT_READ, (number, True))

    def run(self) -> None:
        while True:
            for key, _ in self._waiting.select():
                number, listens = key.data
                assert isinstance(key.fileobj, socket.socket)
                if listens:
                    self._accept(key.fileobj, number)
                else:
                    self._answer(key.fileobj, number)

    def _accept(self, listening: socket.socket, number: int) -> None:
        try:
            client, _ = listening.accept()
        except OSError:
            return
        client.setblocking(False)
        self._waiting.register(client, selectors.EVENT_READ, (number, False))

    def _answer(self, client: socket.socket, number: int) -> None:
        try:
            got = client.recv(65_536)
            if got:
                TIME.pack_into(self._newest, TIME.size * number, time.monotonic())
                client.send(ANSWER * got.count(END))
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._waiting.unregister(client)
        client.close()


if __name__ == "__main__":
    servers = Servers(Path(sys.argv[1]), int(sys.argv[2]))
    print(servers.port, flush=True)
    servers.run()
