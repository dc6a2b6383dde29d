"""The SDK's end of an instance's two sockets, as simple as can be: it answers what the test says."""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path


class Sdk:
    """`answers` maps each `do` to a result, to the text of an error, or to None to say nothing."""

    def __init__(self, notify: str, orders: Path) -> None:
        self.heard: list[Mapping[str, object]] = []
        self.answers: dict[str, Mapping[str, object] | str | None] = {}
        self._notify = notify
        self._out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._in = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        orders.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            orders.unlink()
        self._in.bind(str(orders))
        asyncio.get_running_loop().add_reader(self._in, self._order)

    def say(self, text: str | bytes) -> None:
        self._out.sendto(text.encode() if isinstance(text, str) else text, self._notify)

    def tell(self, **message: object) -> None:
        self.say("NODED=" + json.dumps(message))

    def say_with_file(self, text: str) -> None:
        """Passes an open file along, as programs may that keep files at systemd."""
        handle = os.open("/dev/null", os.O_RDONLY)
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as out:
            out.connect(self._notify)
            socket.send_fds(out, [text.encode()], [handle] * 8)
        os.close(handle)

    def deaf(self) -> None:
        """It lives and does not read its orders any more."""
        asyncio.get_running_loop().remove_reader(self._in)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._in)
        self._in.close()
        self._out.close()

    def _order(self) -> None:
        order = json.loads(self._in.recv(65536))
        self.heard.append(order)
        answer = self.answers.get(order["do"])
        done: dict[str, object] = {"kind": "done", "order": order["order"]}
        if isinstance(answer, str):
            self.tell(**done, ok=False, error=answer)
        elif answer is not None:
            self.tell(**done, ok=True, result=answer)


async def wait(condition: Callable[[], object], what: str) -> None:
    try:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - what is waited for may be anything
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"waited in vain for {what}") from None
