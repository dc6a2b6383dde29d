"""What does the mesh hold in memory when nothing happens, and while a consumer stands still?"""

import time
from dataclasses import dataclass

from tests.bench.carried import LONGEST, single
from tests.bench.own_mesh import Mesh

SETTLED = 2.0
"""Seconds after the start."""


@dataclass(frozen=True, slots=True)
class Memory:
    idle_mb: float
    stalled_mb: float
    """The most there ever was while so many waited."""
    waiting: int
    missing: int
    """Of those that waited, after another instance had taken over."""


def remembered(mesh: Mesh, events: int) -> Memory:
    """Events pile up behind a consumer that takes its share and never comes to an end with it."""
    publishing, consuming = single(events).jobs(mesh.address)
    mesh.admit(publishing, consuming)
    time.sleep(SETTLED)
    idle = mesh.daemon.resident()
    stalled = mesh.program("stall", consuming[0])
    try:
        stalled.expect("ready", 30.0)
        mesh.await_consumers(consuming)
        publisher = mesh.program("publish", publishing[0])
        try:
            publisher.expect("ready", 30.0)
            publisher.tell("go")
            publisher.expect("done", LONGEST)
            publisher.told()
        finally:
            publisher.end()
        time.sleep(SETTLED)
        most = mesh.daemon.resident("VmHWM")
    finally:
        stalled.end(within=0.0)
    consumer = mesh.program("consume", consuming[0])
    try:
        consumer.expect("ready", 30.0)
        consumer.expect("done", LONGEST)
        missing = consumer.told()["missing"]
    finally:
        consumer.end()
    assert isinstance(missing, int)
    return Memory(idle / 1e6, most / 1e6, events, missing)
