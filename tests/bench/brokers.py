"""How are nats-server and redis-server started and stopped, each with a fresh folder on the disk?"""

import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.bench import provide
from tests.bench.load.events import Job
from tests.bench.measured import Program, module
from tests.e2e.ground import ROOT, connects, wait_for
from tests.ports import free_ports

NATS_CONF = """
listen: "127.0.0.1:{port}"
server_name: bench
jetstream {{ store_dir: "{state}", max_file_store: 20GB }}
"""
REDIS_OPTIONS = ("--port", "0", "--appendonly", "yes", "--appendfsync", "everysec", "--save", "")


class Broker(ABC):
    """One daemon. Its state goes when it is closed, so that no run pays for writing out another one's."""

    load = ""
    """Module of the programs that publish and consume through it."""

    def __init__(self, disk: Path, profiles: Path | None = None) -> None:
        self.state = Path(tempfile.mkdtemp(prefix="nm-", dir=disk))
        # The path of a unix socket has little room.
        self.sockets = Path(tempfile.mkdtemp(prefix="nm-", dir="/tmp"))
        self.profiles = profiles
        self.address = ""
        self.daemon = self._begin()
        try:
            wait_for(lambda: self._is_up() or not self.daemon.running(), self.load, step=0.02)
            if not self.daemon.running():
                raise RuntimeError(f"the daemon of {self.load} has ended\n{self.daemon.complaints()}")
        except BaseException:
            self.close()
            raise

    @abstractmethod
    def _begin(self) -> Program: ...

    @abstractmethod
    def _is_up(self) -> bool: ...

    def admit(self, publishers: Sequence[Job], consumers: Sequence[Job]) -> None:  # noqa: B027 - most ask nobody
        """Learns who will speak, before any of them does."""

    def program(self, role: str, job: Job) -> Program:
        profile = self.profiles / f"{job.name}.prof" if self.profiles else None
        argv = module(self.load, role, job.written(), profile=profile)
        return Program(argv, self.folder(job), self.environment(job), self.state / f"{job.name}.err")

    def folder(self, job: Job) -> Path:
        return self.state

    def environment(self, job: Job) -> Mapping[str, str]:
        return {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/nodes:{provide.CLIENTS}"}

    def await_consumers(self, consumers: Sequence[Job]) -> None:  # noqa: B027 - most need not wait
        """The programs themselves say when they consume."""

    def close(self) -> None:
        self.daemon.end()
        shutil.rmtree(self.state, ignore_errors=True)
        shutil.rmtree(self.sockets, ignore_errors=True)
        os.sync()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class JetStream(Broker):
    load = "tests.bench.load.through_nats"

    def _begin(self) -> Program:
        port = free_ports()
        self.address = f"nats://127.0.0.1:{port}"
        conf, self._log = self.state / "nats.conf", self.sockets / "nats.log"
        conf.write_text(NATS_CONF.format(port=port, state=self.state / "store"))
        argv = [str(provide.NATS), "-c", str(conf), "-l", str(self._log)]
        return Program(argv, self.state, os.environ, self.state / "nats.err")

    def _is_up(self) -> bool:
        return self._log.exists() and b"Server is ready" in self._log.read_bytes()


class RedisStreams(Broker):
    load = "tests.bench.load.through_redis"

    def _begin(self) -> Program:
        self.address = str(self.sockets / "redis.sock")
        argv = [str(provide.REDIS), "--dir", str(self.state), "--unixsocket", self.address, *REDIS_OPTIONS]
        argv += ["--logfile", str(self.sockets / "redis.log")]
        return Program(argv, self.state, provide.environment(), self.state / "redis.err")

    def _is_up(self) -> bool:
        return connects(Path(self.address))
