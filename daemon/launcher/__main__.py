"""How does the launcher start, and how does it leave? Nodes live on when it goes, in whatever way."""

import argparse
import fcntl
import os
import resource
import signal
import socket
import sys
from pathlib import Path

from launcher.hierarchies import detect
from launcher.loop import Loop
from launcher.perform import Perform
from launcher.server import Server, log
from launcher.settings import BadSettings, Settings, read_settings

_BACKLOG = 128
_MOST_FILES = 65536
"""Each instance costs the launcher a descriptor or two."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="noded-launcher", description="Starts, signals and inspects the processes of nodes for noded."
    )
    parser.add_argument("--config", type=Path, required=True, help="launcher.toml")
    given = parser.parse_args(arguments)
    try:
        settings = read_settings(given.config)
    except BadSettings as error:
        log(str(error))
        return 2
    while (spare := os.open(os.devnull, os.O_RDWR)) < 3:  # 0, 1 and 2 are open from here on.
        pass
    os.close(spare)
    try:
        return _serve(settings)
    except OSError as error:
        log(f"launcher cannot run: {error.strerror}: {error.filename or settings.socket}")
        return 1


def _serve(settings: Settings) -> int:
    for place in (os.path.dirname(settings.socket), settings.run, settings.logs, settings.data):
        os.makedirs(place, 0o755, exist_ok=True)
    lock = os.open(f"{settings.socket}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        log(f"another launcher serves {settings.socket}")
        return 1
    cgroups = detect(Path("/proc/self/mountinfo").read_text(), settings.cgroups, settings.cgroup)
    loop = Loop()
    _stop_on_signals(loop)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as listener:
        server = Server(loop, listener, settings.peers)
        perform = Perform(settings, cgroups, loop, server.tell, _raise_files())
        server.task, server.left = perform.task, perform.left
        adopted = perform.adopt()
        _open_door(listener, settings.socket, perform.group)
        log(f"launcher ready: uid {os.geteuid()}, cgroups {cgroups.kind}, {adopted} instances adopted")
        for note in perform.degraded:
            log(f"degraded: {note}")
        loop.run()
        os.unlink(settings.socket)
    if not settings.cgroup.startswith("/"):  # A folder given by its path belongs to another unit.
        cgroups.leave()
    log("launcher leaves; nodes go on")
    return 0


def _raise_files() -> tuple[int, int]:
    """Answers the limits there were."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft not in (hard, resource.RLIM_INFINITY) and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return soft, hard


def _open_door(listener: socket.socket, path: str, group: int) -> None:
    """Listens only once everything is known. The lock is ours, so a socket found here is a dead one."""
    if os.path.lexists(path):
        os.unlink(path)
    before = os.umask(0o177)
    listener.bind(path)
    os.umask(before)
    os.chown(path, -1, group)
    os.chmod(path, 0o660)
    listener.listen(_BACKLOG)


def _stop_on_signals(loop: Loop) -> None:
    wake, wakened = socket.socketpair()
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.detach(), warn_on_full_buffer=False)
    receiver = wakened.detach()
    loop.watch(receiver, lambda _: loop.stop())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)


if __name__ == "__main__":
    sys.exit(main())
