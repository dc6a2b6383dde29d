"""Who may speak at the port for peers, and what may they say? A peer's mesh may be broken, too."""

from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue

import grpc
import pytest

from nodeapi.v1 import mesh_pb2
from nodemesh.adapters.peer_server import SERVICE
from tests.e2e.ground import wait_for
from tests.faults.mesh_world import Part
from tests.nodemesh.peers.hosts import Host, Two, two_hosts

pytestmark = pytest.mark.e2e
TILL = mesh_pb2.Consumer(node="till", consumed=[mesh_pb2.Consumed(type="shop.placed")])


@contextmanager
def a_alone() -> Iterator[Two]:
    """`a` runs; the test is `b`."""
    with two_hosts() as two:
        two.a.start_mesh()
        two.a.declare(Part("shop", publishes=("shop.placed",)))
        yield two


@contextmanager
def channel(two: Two, of: Host) -> Iterator[grpc.Channel]:
    said = [(of.tls / name).read_bytes() for name in ("ca.pem", "host.key", "host.pem")]
    options = [("grpc.ssl_target_name_override", "a"), ("grpc.use_local_subchannel_pool", 1)]
    made = grpc.ssl_channel_credentials(*said)
    with grpc.secure_channel(f"127.0.0.1:{two.a.port}", made, options) as opened:
        yield opened


def announce(opened: grpc.Channel, host: str = "b", *consumers: mesh_pb2.Consumer) -> None:
    said = mesh_pb2.Announcement(host=host, consumers=consumers or [TILL])
    opened.unary_unary(f"/{SERVICE}/Announce")(said.SerializeToString(), timeout=10)


def carried(opened: grpc.Channel, *said: bytes) -> str:
    """Why it ended."""
    try:
        for _ in opened.stream_stream(f"/{SERVICE}/Carry")(iter(said), timeout=10):
            pass
    except grpc.RpcError as error:
        return str(error.details())
    return ""


def subscribed(node: str = "till", host: str = "b") -> bytes:
    asked = mesh_pb2.Subscribe(instance=f"peer:{host}", node=node, granted=10)
    return mesh_pb2.ConsumeRequest(subscribe=asked).SerializeToString()


def test_a_peer_speaks_for_itself_only() -> None:
    with a_alone() as two, channel(two, two.b) as opened:
        announce(opened)
        with pytest.raises(grpc.RpcError, match="the certificate is not 'c'"):
            announce(opened, "c")
        assert "the certificate is not 'c'" in carried(opened, subscribed(host="c"))
        assert "has not announced 'shop'" in carried(opened, subscribed("shop"))


def test_nonsense_ends_the_stream_and_not_the_mesh() -> None:
    too_far = mesh_pb2.ConsumeRequest(settle=mesh_pb2.Settle(through=99)).SerializeToString()
    with a_alone() as two, channel(two, two.b) as opened:
        announce(opened)
        assert "settle.through" in carried(opened, subscribed(), too_far)
        assert "ConsumeRequest" in carried(opened, b"\xff\xff\xff")
        assert "ConsumeRequest" in carried(opened, subscribed(), b"\xff\xff\xff")
        assert carried(opened, b"")
        many = [mesh_pb2.Consumer(node=f"n{n}") for n in range(1001)]
        with pytest.raises(grpc.RpcError, match="at most 1000"):
            announce(opened, "b", *many)
        announce(opened)
        assert two.a.is_alive("mesh")


def test_who_says_nothing_is_gone_in_five_seconds() -> None:
    with a_alone() as two, channel(two, two.b) as opened:
        announce(opened)
        wait_for(lambda: any(f.consumer == "till" for f in two.a.map().flows), "it registered")
        said: SimpleQueue[bytes | None] = SimpleQueue()
        said.put(subscribed())
        call = opened.stream_stream(f"/{SERVICE}/Carry")(iter(said.get, None), timeout=20)
        with pytest.raises(grpc.RpcError, match="nothing was heard for 4 s"):
            for beat in call:
                assert beat == b""
        said.put(None)
        wait_for(lambda: two.a.flow("till").sessions == 0, "its session ended")


def test_who_shows_no_certificate_hears_nothing() -> None:
    with a_alone() as two:
        ca = (two.a.tls / "ca.pem").read_bytes()
        options = [("grpc.ssl_target_name_override", "a"), ("grpc.use_local_subchannel_pool", 1)]
        made = grpc.ssl_channel_credentials(ca)
        with (
            grpc.secure_channel(f"127.0.0.1:{two.a.port}", made, options) as opened,
            pytest.raises(grpc.RpcError),
        ):
            announce(opened)
        with grpc.insecure_channel(f"127.0.0.1:{two.a.port}") as opened, pytest.raises(grpc.RpcError):
            announce(opened)
        assert not [f for f in two.a.map().flows if f.consumer]


def test_a_host_that_is_taken_off_the_list_is_not_waited_for() -> None:
    with a_alone() as two, channel(two, two.b) as opened:
        announce(opened)
        assert [f.consumer for f in two.a.map().flows] == ["till"]
        two.a.kill("mesh")
        two.a.start_mesh()
        assert [f.consumer for f in two.a.map().flows] == ["till"]
        assert two.a.stop("mesh") == 0
        two.a.peers = {}
        two.a.settings()
        two.a.start_mesh()
        assert [f.consumer for f in two.a.map().flows] == [""]


def test_meshes_end_when_told_to_while_they_are_linked() -> None:
    with two_hosts() as two:
        for host in two.both:
            host.start_mesh()
        two.b.declare(Part("till", consumes={"shop.placed": False}))
        two.b.start("till.1", "handle")
        wait_for(lambda: two.a.is_linked() and two.b.is_linked(), "links")
        wait_for(lambda: any(f.sessions for f in two.a.map().flows), "a stream")
        assert two.a.stop("mesh") == 0 and two.b.stop("mesh") == 0
        for host in two.both:
            assert "Traceback" not in host.log("mesh")


@pytest.mark.parametrize("name", ["host.pem", "host.key", "ca.pem"])
def test_files_that_are_not_there_or_no_certificates_are_told_at_the_start(name: str) -> None:
    with two_hosts() as two:
        (two.a.tls / name).write_text("nothing")
        with pytest.raises(AssertionError, match=r"the mesh ended with 1.*expected PEM.*" + name):
            two.a.start_mesh()
        (two.a.tls / name).unlink()
        with pytest.raises(AssertionError, match="cannot read"):
            two.a.start_mesh()
