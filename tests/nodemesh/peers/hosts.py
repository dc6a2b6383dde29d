"""Hosts with a mesh each, certificates made for the test, and a wire between them that can be cut."""

import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from nodeapi.v1 import mesh_pb2
from tests.faults.mesh_world import MeshWorld
from tests.ports import free_ports

CONF = """
[host]
name = "{name}"

[mesh]
socket = "{folder}/run/mesh.sock"
state = "{folder}/state"
listen = "off"
peer_listen = "127.0.0.1:{port}"
peers = {{ {peers} }}
tls = {{ cert = "{tls}/host.pem", key = "{tls}/host.key", ca = "{tls}/ca.pem" }}
"""
CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class Authority:
    """Makes certificates with openssl."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        openssl(
            "req",
            "-x509",
            *CURVE,
            "-keyout",
            f"{folder}/ca.key",
            "-out",
            f"{folder}/ca.pem",
            "-subj",
            "/CN=ca",
        )

    def give(self, to: Path, *names: str) -> None:
        """`names` as in `DNS:a`. Each file is replaced at once."""
        to.mkdir(exist_ok=True)
        new = Path(tempfile.mkdtemp(dir=self.folder))
        (new / "names").write_text(f"subjectAltName={','.join(names)}\n")
        openssl("req", *CURVE, "-keyout", f"{new}/host.key", "-out", f"{new}/csr", "-subj", "/CN=x")
        signed = ("-CA", f"{self.folder}/ca.pem", "-CAkey", f"{self.folder}/ca.key", "-CAcreateserial")
        openssl(
            "x509",
            "-req",
            "-in",
            f"{new}/csr",
            *signed,
            "-out",
            f"{new}/host.pem",
            "-extfile",
            f"{new}/names",
        )
        shutil.copy(self.folder / "ca.pem", new / "ca.pem")
        for name in ("ca.pem", "host.key", "host.pem"):
            (new / name).replace(to / name)


def openssl(*words: str) -> None:
    subprocess.run(("openssl", *words), check=True, capture_output=True)


def served(port: int) -> str:
    """The certificate that is shown now."""
    return ssl.get_server_certificate(("127.0.0.1", port), timeout=5)


class Wire:
    """What connects to `port` comes out at `target`, unless it is cut or frozen."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.is_cut = False
        self._flowing = threading.Event()
        self._flowing.set()
        self._pairs: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self.is_cut = True
        for each in self._pairs:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._pairs.clear()

    def mend(self) -> None:
        self.is_cut = False

    def freeze(self) -> None:
        """Nothing passes, and nobody is told."""
        self._flowing.clear()

    def thaw(self) -> None:
        self._flowing.set()

    def close(self) -> None:
        self.cut()
        self.thaw()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                if self.is_cut:
                    raise OSError
                far = socket.create_connection(("127.0.0.1", self.target), 5)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            self._pairs += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(65536):
                self._flowing.wait()
                other.sendall(data)
        except OSError:
            pass
        for each in (one, other):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@dataclass
class Host(MeshWorld):
    name: str = ""
    port: int = field(default_factory=free_ports)
    peers: Mapping[str, int] = field(default_factory=dict)

    @property
    def tls(self) -> Path:
        return self.folder / "tls"

    def settings(self, more: str = "") -> None:
        peers = ", ".join(f'{name} = "127.0.0.1:{port}"' for name, port in self.peers.items())
        text = CONF.format(name=self.name, folder=self.folder, port=self.port, peers=peers, tls=self.tls)
        (self.folder / "noded.toml").write_text(text + more)

    def is_linked(self) -> bool:
        states = self.map().peers
        return bool(states) and all(state.connected for state in states)

    def gone(self, node: str) -> None:
        """noded removed it."""
        self.tables += 1
        table = mesh_pb2.Table(number=self.tables, host=self.name, gone=[node])
        with self.control() as control:
            control.SetTable(table, timeout=20)

    @property
    def problem(self) -> str:
        return " ".join(state.problem for state in self.map().peers)


@dataclass
class Two:
    a: Host
    b: Host
    wire: Wire
    """From b to a."""
    authority: Authority

    @property
    def both(self) -> Sequence[Host]:
        return self.a, self.b


@contextmanager
def two_hosts() -> Iterator[Two]:
    """`a` and `b`, each with a certificate; nothing runs yet."""
    with made("a") as a, made("b") as b:
        authority = Authority(a.folder / "ca")
        wire = Wire(a.port)
        a.peers, b.peers = {"b": b.port}, {"a": wire.port}
        for host in (a, b):
            host.settings()
            authority.give(host.tls, f"DNS:{host.name}", f"URI:spiffe://noded/{host.name}")
        try:
            yield Two(a, b, wire, authority)
        finally:
            wire.close()


@contextmanager
def made(name: str) -> Iterator[Host]:
    folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="ndp"))
    (folder / "run").mkdir()
    host = Host(folder, name=name)
    try:
        yield host
    finally:
        host.close(keep=bool(os.environ.get("NODED_KEEP")))
