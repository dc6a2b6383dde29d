"""A host for tests and the demo: launcher, proxy and noded in a scratch folder, as real processes.

What systemd does on an installed host is done here: programs are started, stopped and killed by
their pid. As root, noded, the proxy and the nodes run as users of their own, like on a real host.
"""

import compileall
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.ground import (
    ROOT,
    connects,
    inline,
    node_python,
    paths,
    program,
    reachable_programs,
    readable,
    wait_for,
)
from tests.ports import free_ports

NODED_UID = 64101
PROXY_UID = 64102
MESH_UID = 64103
DYNAMIC = (64200, 64999)
PORTS = 16


@dataclass
class Host:
    folder: Path
    first_port: int
    metrics_port: int
    python: str
    programs: Path
    node_python: str
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def uid(self) -> int:
        return NODED_UID if os.geteuid() == 0 else os.geteuid()

    @property
    def control(self) -> Path:
        return self.folder / "run/control.sock"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def events(self) -> Path:
        """Where nodes publish and consume."""
        return self.folder / "mesh/mesh.sock"

    def start(self, mesh: bool = False) -> None:
        self.start_launcher()
        self.start_proxy()
        if mesh:
            self.start_mesh()
        self.start_noded()

    def start_launcher(self) -> None:
        self._spawn(
            "launcher",
            [self.python, "-m", "launcher", "--config", str(self.folder / "etc/launcher.toml")],
            uid=0,
        )
        wait_for(lambda: connects(self.folder / "launcher.sock"), "the launcher's socket")

    def start_proxy(self) -> None:
        config = self.folder / "etc/haproxy.cfg"
        if not config.exists():
            made = self._run(
                [
                    self.python,
                    "-m",
                    "noded",
                    "--config",
                    str(self.folder / "etc/noded.toml"),
                    "--proxy-config",
                ]
            )
            config.write_text(made.stdout)
        haproxy = str(program("haproxy", self.programs))
        self._spawn("proxy", [haproxy, "-db", "-f", str(config)], uid=PROXY_UID)
        wait_for(lambda: connects(self.folder / "proxy/admin.sock"), "the proxy's socket")

    def start_mesh(self) -> None:
        """Most hosts have no events, so it is started where a test asks for it."""
        config = str(self.folder / "etc/noded.toml")
        self._spawn("mesh", [self.python, "-m", "nodemesh", "--config", config], uid=MESH_UID)
        wait_for(lambda: self._listens("mesh", self.events), "the mesh's socket")

    def _listens(self, name: str, place: Path) -> bool:
        self.check(name)
        return connects(place)

    def begin_noded(self) -> None:
        """Start it and do not wait until it answers."""
        self._spawn("noded", [self.python, "-m", "noded", "--config", str(self.folder / "etc/noded.toml")])

    def start_noded(self) -> None:
        self.begin_noded()
        wait_for(lambda: self._answers(), "noded's answer")

    def _answers(self) -> bool:
        self.check("noded")
        return connects(self.control) and self.nodectl("version", check=False).returncode == 0

    def kill(self, name: str) -> int:
        """End a program without warning; returns the pid it had."""
        process = self.running.pop(name)
        process.kill()
        process.wait(10)
        return process.pid

    def stop(self, name: str) -> None:
        process = self.running.pop(name, None)
        if process is None:
            return
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)

    def check(self, name: str) -> None:
        process = self.running[name]
        if process.poll() is not None:
            raise RuntimeError(f"{name} ended with {process.returncode}:\n{self.log(name)[-4000:]}")

    def log(self, name: str) -> str:
        return (self.folder / f"out/{name}.log").read_text(errors="replace")

    def nodectl(
        self, *words: str, check: bool = True, timeout: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        command = [self.python, "-m", "nodectl", "--socket", str(self.control), *words]
        done = self._run(command, check=False, timeout=timeout, own=False)
        if check and done.returncode != 0:
            raise RuntimeError(f"nodectl {' '.join(words)} -> {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def begin_nodectl(self, *words: str) -> subprocess.Popen[str]:
        """One that goes on beside the test; what it says on stdout can be read line by line."""
        command = [self.python, "-m", "nodectl", "--socket", str(self.control), *words]
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=self.env(),
            cwd=self.folder,
        )

    def nodectl_of(self, uid: int, *words: str) -> subprocess.CompletedProcess[str]:
        """The same as another user; only root can try that."""
        command = [self.python, "-m", "nodectl", "--socket", str(self.control), *words]
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=self.env(),
            cwd=self.folder,
            check=False,
            timeout=60.0,
            user=uid,
            group=uid,
            extra_groups=[],
        )

    def launched(self) -> list[dict[str, str]]:
        """Every instance the launcher knows."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(20)
            line.connect(str(self.folder / "launcher.sock"))
            stream = line.makefile("rwb")
            stream.write(b'{"id":1,"op":"list"}\n')
            stream.flush()
            return _reply(stream, 1)["result"]["instances"]

    def status(self, node: str) -> dict[str, object]:
        answer = json.loads(self.nodectl("-o", "json", "status", node).stdout)
        return answer["nodes"][0]

    def memory_of_noded(self) -> int:
        """Resident bytes."""
        text = Path(f"/proc/{self.running['noded'].pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmRSS"))

    def close(self, keep: bool = False) -> None:
        """End everything of this host; `keep` leaves its folder for a look."""
        with contextlib.suppress(Exception):
            self._end_nodes()
        for name in ("noded", "proxy", "mesh", "launcher"):
            self.stop(name)
        self._kill_leftovers()
        if not keep:
            # Releases are closed to everybody who is not root.
            for path in (self.state / "releases").glob("**/"):
                path.chmod(0o755)
            shutil.rmtree(self.folder, ignore_errors=True)

    def _end_nodes(self) -> None:
        """Ask the launcher to end every instance, whatever noded thinks of it."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(20)
            line.connect(str(self.folder / "launcher.sock"))
            stream = line.makefile("rwb")
            self.stop("noded")
            for number, order in enumerate(self._orders(stream)):
                stream.write(json.dumps({"id": number + 10, **order}).encode() + b"\n")
                stream.flush()
                _reply(stream, number + 10)

    def _orders(self, stream: object) -> Iterator[Mapping[str, object]]:
        stream.write(b'{"id":1,"op":"list"}\n')  # type: ignore[attr-defined]
        stream.flush()  # type: ignore[attr-defined]
        listed = _reply(stream, 1)["result"]["instances"]
        for instance in listed:
            yield {"op": "kill", "instance": instance["instance"]}
            yield {"op": "remove", "instance": instance["instance"]}

    def _kill_leftovers(self) -> None:
        """Whatever still carries this host's folder in its environment was ours."""
        mark = str(self.folder).encode()
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if int(entry.name) != os.getpid() and mark in (entry / "environ").read_bytes():
                    os.kill(int(entry.name), signal.SIGKILL)

    def _spawn(self, name: str, command: Sequence[str], *, uid: int = NODED_UID) -> None:
        out = self.folder / f"out/{name}.log"
        with out.open("ab") as log:
            self.running[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.env(),
                cwd=self.folder,
                start_new_session=True,
                **self._as(uid),
            )

    def _run(
        self, command: Sequence[str], *, check: bool = True, timeout: float = 60.0, own: bool = True
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=self.env(),
            cwd=self.folder,
            check=check,
            timeout=timeout,
            **(self._as(NODED_UID) if own else {}),
        )

    def _as(self, uid: int) -> dict[str, int | list[int]]:
        """The group is noded's for all: it may reach the sockets that nodes make."""
        if uid == 0 or os.geteuid() != 0:
            return {}
        return {"user": uid, "group": NODED_UID, "extra_groups": []}

    def env(self) -> dict[str, str]:
        return {
            "PATH": f"{self.programs / '.tools/bin'}:{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin:/bin",
            "PYTHONPATH": ":".join(map(str, paths(self.programs))),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            "LANG": "C.UTF-8",
            "HOME": str(self.folder),
            "NODED_TEST_HOST": str(self.folder),
            # As in noded.service.
            "MALLOC_ARENA_MAX": "2",
            "MALLOC_TRIM_THRESHOLD_": "65536",
        }


def make(prefix: str = "nd") -> Host:
    """A host that is laid out and not started."""
    folder = Path(tempfile.mkdtemp(prefix=f"{prefix}-", dir="/tmp"))
    folder.chmod(0o755)
    programs = reachable_programs()
    python = str(ROOT / ".venv/bin/python") if programs == ROOT else node_python()
    first = free_ports(PORTS + 1)
    host = Host(folder, first, first + PORTS, python, programs, node_python())
    for name in (
        "etc",
        "run",
        "run/i",
        "state",
        "state/data",
        "logs",
        "proxy",
        "proxy/maps",
        "out",
        "mesh",
        "events",
    ):
        (folder / name).mkdir()
        if os.geteuid() == 0:
            os.chown(folder / name, NODED_UID, NODED_UID)
    for name in ("run/i", "logs", "state/data"):
        if os.geteuid() == 0:
            os.chown(folder / name, 0, NODED_UID)
            (folder / name).chmod(0o751)
    for name in ("mesh", "events"):
        if os.geteuid() == 0:
            os.chown(folder / name, MESH_UID, NODED_UID)
    for name in ("proxy", "proxy/maps"):
        if os.geteuid() == 0:
            os.chown(folder / name, PROXY_UID, NODED_UID)
            (folder / name).chmod(0o770)
    shutil.copytree(
        ROOT / "nodes/nodekit", folder / "sdk/nodekit", ignore=shutil.ignore_patterns("__pycache__")
    )
    readable(folder / "sdk")
    # Programs that noded's user cannot cache would be compiled anew at each of their starts.
    for source in ("daemon", "proto", "nodes/nodekit"):
        compileall.compile_dir(str(programs / source), quiet=2)
    (folder / "etc/launcher.toml").write_text(_launcher_toml(host))
    (folder / "etc/noded.toml").write_text(_noded_toml(host))
    return host


def _launcher_toml(host: Host) -> str:
    folder = host.folder
    dynamic = f"dynamic = [{DYNAMIC[0]}, {DYNAMIC[1]}]\n" if os.geteuid() == 0 else ""
    return (
        f'socket = "{folder}/launcher.sock"\n'
        f'run = "{folder}/run/i"\nlogs = "{folder}/logs"\ndata = "{folder}/state/data"\n'
        f"peers = [{host.uid}]\ngroup = {host.uid if os.geteuid() == 0 else os.getegid()}\n"
        f"users = [{host.uid}]\n{dynamic}"
        f'cgroup = "noded-t-{folder.name}"\n'
    )


def _noded_toml(host: Host) -> str:
    folder = host.folder
    node_env = {
        "PATH": f"{Path(host.node_python).parent}:/usr/bin:/bin",
        "PYTHONPATH": f"{folder}/sdk",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "LANG": "C.UTF-8",
        "NODED_TEST_HOST": str(folder),
    }
    del node_env["NODED_TEST_HOST"]
    return (
        f'[host]\nname = "testhost"\n\n'
        f'[paths]\nstate = "{folder}/state"\nrun = "{folder}/run"\nlogs = "{folder}/logs"\n'
        f'launcher = "{folder}/launcher.sock"\n\n'
        f'[proxy]\nsocket = "{folder}/proxy/admin.sock"\nmaps = "{folder}/proxy/maps"\n'
        f'ports = ["{host.first_port}-{host.first_port + PORTS - 1}"]\n\n'
        f"[nodes]\nenv = {inline(node_env)}\n\n"
        f'[metrics]\nlisten = "127.0.0.1:{host.metrics_port}"\n\n'
        f'[mesh]\nsocket = "{host.events}"\nstate = "{folder}/events"\nlisten = "off"\n\n'
        f"[control]\nadmins = [{os.geteuid()}]\n\n"
        f"[regenerate]\ncommand = {json.dumps([host.python, '-m', 'regenerator'])}\n"
        f'python = "{host.node_python}"\nenv = {inline(host.env())}\n'.replace("NODED_TEST_HOST", "TEST_HOST")
    )


def _reply(stream: object, number: int) -> dict[str, dict[str, list[dict[str, str]]]]:
    while line := stream.readline():  # type: ignore[attr-defined]
        message = json.loads(line)
        if message.get("id") == number:
            return message
    raise ConnectionError("the launcher closed the connection")
