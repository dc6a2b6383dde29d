"""Clients that ask at an even rate until their input ends: `python steady_clients.py PORT CLIENTS RATE`.

The last line tells how many requests were answered with 200, and how many were not.
"""

import select
import socket
import sys
import time

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def run(port: int, clients: int, rate: float) -> tuple[int, int]:
    """Whoever still waits for an answer when its turn comes is left out: the rate is the most."""
    connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(clients)]
    idle = list(connections)
    answered = failed = 0
    turn = time.monotonic()
    while True:
        now = time.monotonic()
        while turn <= now:
            turn += 1 / rate
            if idle:
                idle.pop(0).send(REQUEST)
        wait = max(0.0, turn - time.monotonic())
        ready, _, _ = select.select([sys.stdin, *connections], [], [], wait)
        for one in ready:
            if one is sys.stdin:
                return answered, failed
            good = one.recv(65_536).startswith(b"HTTP/1.1 200 ")
            answered, failed = answered + good, failed + (not good)
            if good:
                idle.append(one)
            else:
                one.close()
                connections.remove(one)
                connections.append(socket.create_connection(("127.0.0.1", port)))
                idle.append(connections[-1])


if __name__ == "__main__":
    print(*run(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])), flush=True)
