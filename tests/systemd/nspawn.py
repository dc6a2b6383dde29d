"""How is a host with a systemd of its own booted, entered, cut off from power, and cleared away?

systemd-nspawn, with the cgroup controllers of this machine below groups of the host's own.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.ground import wait_for
from tests.systemd import roots
from tests.systemd.boot import group_mounts

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
BOOT = 120.0


@dataclass(slots=True)
class Host:
    """`name` is that of its groups. Files it writes are kept over a reboot, until close()."""

    name: str
    scratch: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="noded-host-", dir="/tmp")))
    process: subprocess.Popen[bytes] | None = None
    leader: int = 0

    def boot(self) -> None:
        root, tools = roots.host_root(), roots.tools_root()
        nspawn = roots.program(tools, "usr/bin/systemd-nspawn")
        boot = str(Path(__file__).with_name("boot.py"))
        with (self.scratch / "console.log").open("ab") as console:
            self.process = subprocess.Popen(
                [
                    *("unshare", "--mount", "--propagation", "private", sys.executable, boot),
                    *(self.name, str(root), str(self.scratch), *nspawn),
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
            )
        self.leader = 0
        wait_for(self._is_up, f"{self.name} to boot (see {self.scratch}/console.log)", BOOT, 0.2)

    def _is_up(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise RuntimeError(f"systemd-nspawn ended: {self.console()[-2000:]}")
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        if not children or Path(f"/proc/{children[0]}/comm").read_text() != "systemd\n":
            return False
        self.leader = int(children[0])
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return state in ("running", "degraded")

    def console(self) -> str:
        return (self.scratch / "console.log").read_text(errors="replace")

    def run(
        self, *words: str, check: bool = True, timeout: float = 180.0
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command as the host's root. Its output is told when it fails."""
        command = ["nsenter", "-t", str(self.leader), *"-m -u -i -n -p -C --wd=/".split(), "env", "-i"]
        done = subprocess.run(
            [*command, f"PATH={PATH}", "LANG=C.UTF-8", "COLUMNS=200", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def ask(self, *words: str) -> str:
        return self.run(*words).stdout.strip()

    def path(self, inside: str) -> Path:
        """A file of the host as it is seen from outside."""
        return Path(f"/proc/{self.leader}/root{inside}")

    def show(self, unit: str, key: str) -> str:
        return self.ask("systemctl", "show", "--value", f"--property={key}", unit)

    def status(self) -> dict[str, dict[str, int]]:
        """Per node the pids of its ready instances; empty while noded does not answer."""
        done = self.run("nodectl", "status", "-o", "json", check=False)
        if done.returncode:
            return {}
        return {
            node["name"]: {one["id"]: int(one["pid"]) for one in node["instances"] if one["phase"] == "ready"}
            for node in json.loads(done.stdout)["nodes"]
        }

    def poweroff(self) -> None:
        """The orderly way."""
        self.run("systemctl", "poweroff", check=False)
        self._gone(90.0)

    def cut(self) -> None:
        """As if the power had failed: nothing is told to anybody."""
        os.kill(self.leader, signal.SIGKILL)
        self._gone(60.0)

    def _gone(self, seconds: float) -> None:
        assert self.process is not None
        self.process.wait(seconds)
        self.process = None
        self.leader = 0

    def close(self) -> None:
        if self.process is not None:
            if self.leader:
                with suppress(ProcessLookupError):
                    os.kill(self.leader, signal.SIGKILL)
            else:
                self.process.kill()
            self._gone(60.0)
        for mount in group_mounts():
            remove_group(mount / self.name)
        shutil.rmtree(self.scratch, ignore_errors=True)


def remove_group(group: Path) -> None:
    """Dying groups linger for a moment."""
    deadline = time.monotonic() + 20.0
    while group.exists() and time.monotonic() < deadline:
        for inner, _, _ in os.walk(group, topdown=False):
            with suppress(OSError):
                os.rmdir(inner)
        time.sleep(0.05)
