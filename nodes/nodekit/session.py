"""How does the node talk with noded? Datagrams both ways, in a thread of its own.

A thread, so that a node whose event loop is stuck still answers orders and says where it hangs. That the
thread beats proves nothing of the loop: each heartbeat tells how long the loop stands still now, and noded
counts from the loop's last turn. noded may be away at any time: what cannot be sent is dropped and counted,
and never an error of the node.
"""

import json
import logging
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from .listen import unlink_socket
from .orders import Refused, Result

LARGEST = 60 * 1024
MARGIN = 16
PERIOD = 1.0
# Heartbeats after which answers that did not change are told again: noded may be another one by now.
RETELL = 10
# An answer that finds noded's queue full is offered again; a heartbeat is not, the next one follows anyway.
ANSWER_TRIES = 20
ANSWER_PAUSE = 0.05
logger = logging.getLogger("nodekit")


class Session:
    """`report` gives the body of a heartbeat, `obey` the result of an order; both run in the thread."""

    def __init__(
        self,
        notify: str,
        orders: str,
        report: Callable[[], Result],
        obey: Callable[[Mapping[str, Any]], Result],
        period: float = PERIOD,
    ) -> None:
        self.notify_path = "\0" + notify[1:] if notify.startswith("@") else notify
        self.orders_path, self.report, self.obey, self.period = orders, report, obey, period
        self.away = self.closed = False
        self.heard: object = None
        """What noded has heard of the answers."""
        self.beats = 0
        self.dropped = self.refused = 0
        self.next_beat = float("inf")
        self.outgoing = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.outgoing.setblocking(False)
        self.wake_read, self.wake_write = os.pipe()
        self.incoming = open_orders(orders) if orders else None
        self.thread = threading.Thread(target=self.work, name="nodekit", daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.closed = True
        self.wake()
        self.thread.join(timeout=2 * self.period)
        if self.incoming:
            unlink_socket(self.orders_path)
        if not self.thread.is_alive():
            self.release()

    def release(self) -> None:
        self.outgoing.close()
        if self.incoming:
            self.incoming.close()
        os.close(self.wake_read)
        os.close(self.wake_write)

    def say_ready(self) -> None:
        """READY=1 now, and again whenever noded was away: it may have been started anew."""
        self.send("READY=1")
        self.next_beat = time.monotonic()
        self.wake()

    def beat_soon(self) -> None:
        """Not before the node is ready. Any thread may call this."""
        if self.next_beat < float("inf"):
            self.next_beat = time.monotonic()
            self.wake()

    def send(self, text: str) -> bool:
        """Any thread may call this; it never blocks."""
        if not self.notify_path:
            return False
        try:
            self.outgoing.sendto(text.encode("utf-8", "replace"), self.notify_path)
        except OSError:
            self.dropped += 1
            self.away = True
            return False
        return True

    def wake(self) -> None:
        os.write(self.wake_write, b"x")

    def work(self) -> None:
        poll = select.poll()
        poll.register(self.wake_read, select.POLLIN)
        if self.incoming:
            poll.register(self.incoming, select.POLLIN)
        while not self.closed:
            pause = self.next_beat - time.monotonic()
            for descriptor, _ in poll.poll(None if pause > 3600 else max(0.0, pause * 1000)):
                if descriptor == self.wake_read:
                    os.read(self.wake_read, 64)
                else:
                    self.take_order()
            if time.monotonic() >= self.next_beat:
                self.beat()

    def beat(self) -> None:
        self.next_beat = time.monotonic() + self.period
        said = self.report()
        answers = said.pop("answers", None)
        self.beats += 1
        if answers and (answers != self.heard or self.beats % RETELL == 0):
            said["answers"] = answers
        arrived = self.send(line({"kind": "heartbeat", **said}))
        # Told again when they change, and when what was told did not arrive.
        self.heard = answers if arrived else None
        if arrived and self.away:
            self.away = not self.send("READY=1")

    def take_order(self) -> None:
        assert self.incoming
        try:
            raw = self.incoming.recv(LARGEST + 1)
        except OSError:
            return
        order = read_order(raw)
        if order is None:
            self.refused += 1
            return
        answer = self.answer(order)
        if isinstance(order.get("order"), int):
            self.send_answer(line({"kind": "done", "order": order["order"], **answer}))

    def answer(self, order: Mapping[str, Any]) -> Result:
        try:
            return {"ok": True, "result": self.obey(order)}
        except Refused as refused:
            return {"ok": False, "error": str(refused)}
        # The node's own shrink() runs here: its faults must not end the session.
        except Exception as error:
            logger.exception("order %s failed", order.get("do"))
            return {"ok": False, "error": f"{type(error).__name__}: {error}"[:1000]}

    def send_answer(self, text: str) -> None:
        for _ in range(ANSWER_TRIES):
            if self.send(text) or self.closed:
                return
            time.sleep(ANSWER_PAUSE)


def open_orders(path: str) -> socket.socket | None:
    """None when the socket cannot be made: a node without orders is better than no node."""
    incoming = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        unlink_socket(path)
        incoming.bind(path)
        os.chmod(path, 0o660)
        incoming.setblocking(False)
    except OSError as error:
        logger.warning("cannot take orders at %s: %s", path, error)
        incoming.close()
        return None
    return incoming


def read_order(raw: bytes) -> Mapping[str, Any] | None:
    if len(raw) > LARGEST:
        return None
    try:
        order = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return order if isinstance(order, dict) else None


def line(message: Result) -> str:
    """`NODED={json}`, cut down to what a datagram carries."""
    text = "NODED=" + json.dumps(message, separators=(",", ":"))
    while len(text) > LARGEST and shorten(message):
        text = "NODED=" + json.dumps(message, separators=(",", ":"))
    return text


def shorten(message: Result) -> bool:
    """Halves the longest list or text in the message; lists begin with what matters most.

    False if all is short.
    """
    owners = [message, *(value for value in message.values() if isinstance(value, dict))]
    parts = [
        (len(v), owner, key) for owner in owners for key, v in owner.items() if isinstance(v, list | str)
    ]
    length, owner, key = max(parts, key=lambda part: part[0])
    owner[key] = owner[key][: length // 2]
    return length > MARGIN
