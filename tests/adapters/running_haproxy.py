"""A HAProxy of one test: real, in a scratch folder, on loopback."""

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from noded.adapters.haproxy_config import config, write_maps
from tests.ports import free_ports

ROOT = Path(__file__).parents[2]


def program() -> str:
    """NODED_HAPROXY, then what `make setup` unpacked, then PATH. A machine without one fails the test."""
    ours = ROOT / ".tools/bin/haproxy"
    found = os.environ.get("NODED_HAPROXY") or (str(ours) if ours.exists() else shutil.which("haproxy"))
    assert found, "no haproxy: run `make setup`, or set NODED_HAPROXY to the program"
    return found


class RunningHaproxy:
    def __init__(self, ports: int, tcp: int = 2) -> None:
        self.folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="nd"))
        self.socket = self.folder / "admin.sock"
        self.first = free_ports(ports + tcp)
        self.last = self.first + ports - 1
        self.tcp = self.last + 1
        """The first port for connections."""
        self._process: subprocess.Popen[bytes] | None = None
        write_maps(self.folder)
        streams = [(self.tcp, self.tcp + tcp - 1)]
        text = config(self.socket, [(self.first, self.last)], "127.0.0.1", self.folder, tcp_ports=streams)
        (self.folder / "haproxy.cfg").write_text(text)

    def start(self) -> None:
        output = (self.folder / "output").open("ab")
        arguments = [program(), "-db", "-q", "-f", str(self.folder / "haproxy.cfg")]
        self._process = subprocess.Popen(arguments, stdout=output, stderr=output)
        output.close()

    async def ready(self) -> None:
        async with asyncio.timeout(10):
            while not self._answers():
                assert self._process and self._process.poll() is None, (self.folder / "output").read_text()
                await asyncio.sleep(0.01)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def resident(self) -> int:
        """Bytes of memory it has now."""
        assert self._process
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    def cpu(self) -> float:
        """Seconds its main thread ran, field 1 of /proc/PID/schedstat."""
        assert self._process
        return int(Path(f"/proc/{self._process.pid}/schedstat").read_text().split()[0]) / 1e9

    def _answers(self) -> bool:
        with closing(socket.socket(socket.AF_UNIX)) as probe:
            return probe.connect_ex(str(self.socket)) == 0


@contextmanager
def running(ports: int = 4, tcp: int = 2) -> Iterator[RunningHaproxy]:
    haproxy = RunningHaproxy(ports, tcp)
    try:
        haproxy.start()
        yield haproxy
    finally:
        haproxy.kill()
        shutil.rmtree(haproxy.folder)
