"""What is needed to start a program of a release, and what is told of one that was run to its end?"""

from dataclasses import dataclass
from pathlib import Path

from nodespec.environment import with_site
from nodespec.manifest import NodeSpec


@dataclass(frozen=True, slots=True)
class Launch:
    """Everything the launcher needs to start one instance."""

    node: str
    instance: str
    argv: tuple[str, ...]
    cwd: str
    env: tuple[tuple[str, str], ...]
    user: str
    memory: int = 0
    cpu: float = 0.0
    pids: int = 0
    files: int = 0
    data: bool = True
    memory_high: int = 0
    io: int = 0
    env_file: str = ""
    secrets: tuple[tuple[str, str], ...] = ()
    """Variables and where the launcher reads them; we never see the values."""
    write: tuple[str, ...] = ()
    listen: str = ""
    """Address of the socket that the launcher holds for the node; empty when it holds none."""
    notify: str = ""
    """Path of the socket where noded listens to it, which the launcher makes the node's; empty for none."""


def launch_of(
    spec: NodeSpec,
    home: Path,
    env: tuple[tuple[str, str], ...],
    instance: str,
    argv: tuple[str, ...],
    own: tuple[tuple[str, str], ...] = (),
) -> Launch:
    """A program of a release, with its user and limits; the node's variables go over the host's `env`."""
    named = (("NODED_NODE", spec.name), ("NODED_VERSION", spec.version))
    limits = spec.resources
    return Launch(
        node=spec.name,
        instance=instance,
        argv=argv,
        cwd=str(home),
        env=tuple(with_site(spec, str(home), dict((*env, *spec.env, *named, *own))).items()),
        user=spec.user,
        memory=limits.memory,
        cpu=limits.cpu,
        pids=limits.pids,
        files=limits.files,
        memory_high=limits.memory_high,
        io=limits.io,
        env_file=spec.env_file,
        secrets=spec.secrets,
        write=spec.write,
    )


@dataclass(frozen=True, slots=True)
class Ran:
    """A program that was run to its end."""

    status: str
    """As of an instance that exited: `code 0`, `signal 9`, `out of memory` or `unknown`."""
    output: str
    """The newest of what it printed, untrusted."""
    seconds: float
    truncated: bool = False
    timed_out: bool = False
    """It had to be ended when its time was over."""
