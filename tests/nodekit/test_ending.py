"""A thread of a `def` handler that publishes while its node ends: it is told, and holds up no end."""

import asyncio
import threading
from pathlib import Path

import pytest

from nodekit.events import NoMesh
from tests.nodekit.mesh_side import MeshSide, trial


@pytest.mark.parametrize("is_closed", [False, True])
def test_who_publishes_from_a_thread_when_the_loop_has_ended_is_told(is_closed: bool) -> None:
    heard: list[BaseException] = []
    may = threading.Event()

    async def scenario() -> threading.Thread:
        mesh = MeshSide()
        try:
            await mesh.open()
            events = trial(mesh)

            events.open(Path("/nonexistent"))

            def work() -> None:
                may.wait(10)
                try:
                    events.publish_nowait(b"late", type="shop.placed")
                except NoMesh as error:
                    heard.append(error)

            thread = threading.Thread(target=work, daemon=True)
            thread.start()
            await mesh.close()
            return thread
        finally:
            mesh.forget()

    loop = asyncio.new_event_loop()
    thread = loop.run_until_complete(scenario())
    if is_closed:
        loop.close()
    may.set()
    thread.join(10)
    assert not thread.is_alive() and len(heard) == 1 and "has ended" in str(heard[0])
    if not is_closed:
        loop.close()
