"""What does Prometheus see of the mesh, and can nobody who asks harm it?"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from nodeapi.v1 import mesh_pb2
from nodemesh.adapters.metrics import Facts, text
from nodemesh.adapters.metrics_port import CONNECTIONS, FRESH, serving
from nodemesh.ports import LATENCIES, Refused, Unavailable
from tests.adapters.looped import looped
from tests.ports import free_ports


def facts() -> Facts:
    flow = mesh_pb2.Flow(type="t", publisher="a", consumer="b", published=9, lag=2, dead=1)
    flow.versions.add(version="1", delivered=7, acked=6, failed=1)
    peer = mesh_pb2.PeerState(name="eu", connected=True, sent=5, received=4)
    took = [0] * (len(LATENCIES) + 1)
    took[0], took[2], took[-1] = 3, 1, 1
    return Facts(mesh_pb2.MapReply(flows=[flow], peers=[peer]), took, 2.5, False, 12)


def test_all_is_told() -> None:
    lines = text(facts()).decode().splitlines()
    assert 'noded_mesh_commit_seconds_bucket{le="0.00025"} 3.0' in lines
    assert 'noded_mesh_commit_seconds_bucket{le="0.001"} 4.0' in lines
    assert 'noded_mesh_commit_seconds_bucket{le="1.0"} 4.0' in lines
    assert 'noded_mesh_commit_seconds_bucket{le="+Inf"} 5.0' in lines
    assert "noded_mesh_commit_seconds_sum 2.5" in lines
    assert "noded_mesh_lost_frames_total 12.0" in lines
    assert 'noded_mesh_peer_up{peer="eu"} 1.0' in lines
    assert 'noded_mesh_peer_sent_events_total{peer="eu"} 5.0' in lines
    assert 'noded_mesh_peer_received_events_total{peer="eu"} 4.0' in lines
    assert 'noded_mesh_lag_events{node="b"} 2.0' in lines


class Times:
    time = 0.0

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return self.time


class Mesh:
    def __init__(self) -> None:
        self.asked = 0
        self.is_away = False
        self.clock = Times()

    async def text(self) -> bytes:
        if self.is_away:
            raise Unavailable("the index cannot be read")
        self.asked += 1
        return b"asked %d\n" % self.asked


@asynccontextmanager
async def port(mesh: Mesh) -> AsyncIterator[int]:
    number = free_ports()
    async with serving(mesh.text, f"127.0.0.1:{number}", mesh.clock):
        yield number


async def asked(number: int, question: bytes = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", number)
    try:
        writer.write(question)
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


@looped
async def test_it_is_read_off_once_a_second_however_many_ask() -> None:
    mesh = Mesh()
    async with port(mesh) as number:
        answers = await asyncio.gather(*(asked(number) for _ in range(CONNECTIONS // 2)))
        assert all(answer.endswith(b"\r\n\r\nasked 1\n") for answer in answers)
        mesh.clock.time += FRESH
        assert (await asked(number)).endswith(b"asked 2\n")
        mesh.clock.time += FRESH
        mesh.is_away = True
        assert (await asked(number)).endswith(b"asked 2\n")


@looped
async def test_who_says_nothing_takes_few_places_and_not_for_ever() -> None:
    mesh = Mesh()
    async with port(mesh) as number:
        idle = [await asyncio.open_connection("127.0.0.1", number) for _ in range(CONNECTIONS)]
        assert await asked(number) == b""
        idle.pop()[1].close()
        async with asyncio.timeout(5):
            while not (await asked(number)).endswith(b"asked 1\n"):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
        async with asyncio.timeout(20):
            for reader, writer in idle:
                with suppress(ConnectionError):
                    assert await reader.read() == b""
                writer.close()


@looped
async def test_what_is_no_question_gets_no_metrics() -> None:
    mesh = Mesh()
    async with port(mesh) as number:
        assert b" 404 " in await asked(number, b"POST /metrics HTTP/1.1\r\n\r\n")
        assert b" 404 " in await asked(number, b"GET /other HTTP/1.1\r\n\r\n")
        assert await asked(number, b"x" * 100_000) == b""
        assert not mesh.asked


@looped
async def test_an_address_that_is_taken_is_told() -> None:
    mesh = Mesh()
    async with port(mesh) as number:
        with pytest.raises(Refused, match="choose another"):
            async with serving(mesh.text, f"127.0.0.1:{number}", mesh.clock):
                pass
    async with serving(mesh.text, "off", mesh.clock):
        pass
