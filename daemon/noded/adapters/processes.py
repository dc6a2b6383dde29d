"""What runs on this host, and when does it end?

The launcher starts and signals; that a process has ended is seen on a pidfd, which works for
processes we adopted as well and needs nobody's help.
"""

import asyncio
import contextlib
import itertools
import os
import re
from collections.abc import Callable, Mapping
from functools import partial

from noded.adapters.launcher_socket import LauncherSocket
from noded.adapters.proc import start_time
from noded.launch import Launch, Ran
from noded.model.inputs import InstanceExited, Observed
from noded.model.instance import FIRST_RUN, Process
from noded.ports import Clock, Conflict, Inbox, NotFound, PortError, Refused, TimedOut, Unavailable

KILL_TIME = 5.0
REAP_TIME = 0.5
"""Longest time the launcher is given to take in an end that we know of."""
EVENT_TIME = 0.02
"""Longest time its word of an end is waited for before it is asked."""
RUN_GRACE = 30.0
"""Longest time beyond its timeout in which a run is told: to start, to be killed, to be cleared away."""
UNKNOWN_NOTIFY = "'notify': unknown key"
UNKNOWN_ORDER = "'entrust', expected one of"
OLDER = "noded-launcher is older than noded; start the new one (nodes go on)"
SHOWN = 5
RUNS = 10**8 - 10**6
Ended = Callable[[str], None]


class LauncherProcesses:
    def __init__(
        self, launcher: LauncherSocket, inbox: Inbox, clock: Clock, group: asyncio.TaskGroup
    ) -> None:
        self._launcher = launcher
        self._inbox = inbox
        self._clock = clock
        self._group = group
        self._known: set[str] = set()
        """Those whose end was told or will be."""
        self._ended: dict[str, asyncio.Future[Mapping[str, object]]] = {}
        """What the launcher will say of those that run, without being asked."""
        launcher.told = self._take
        self._open: dict[str, tuple[str, str]] = {}
        """Instances with a socket that everybody may fill: its path, and why."""
        self._left: set[str] = set()
        """Those that a launcher which was away could not clear up."""
        # What an earlier noded had run may still be under way: another time, another number.
        self._runs = itertools.count(FIRST_RUN + int(clock.now() * 10) % RUNS)

    async def start(self, launch: Launch) -> tuple[Process, tuple[str, ...]]:
        order = _program(launch) | ({"listen": launch.listen} if launch.listen else {})
        try:
            result = await self._ask_to_start(launch, order)
        except NotFound as error:
            # No program, folder or user of that name: nothing that is gone, but an order that cannot work.
            raise Refused(str(error)) from error
        degraded = result.get("degraded")
        return _process(result), tuple(map(str, degraded)) if isinstance(degraded, list) else ()

    async def _ask_to_start(self, launch: Launch, order: Mapping[str, object]) -> Mapping[str, object]:
        ask = partial(self._launcher.ask, "start", within=15.0, instance=launch.instance, **order)
        if not launch.notify:
            return await ask()
        try:
            result = await ask(notify=launch.notify)
        except Refused as error:
            if UNKNOWN_NOTIFY not in str(error):
                raise
            self._open_to_all(launch.instance, launch.notify, OLDER)
            return await ask()
        self._entrusted(launch.instance, launch.notify, result)
        return result

    async def entrust(self, instance: str, path: str) -> None:
        try:
            self._entrusted(instance, path, await self._launcher.ask("entrust", instance=instance, path=path))
        except (NotFound, Conflict):
            pass  # It has ended.
        except Refused as error:
            self._open_to_all(instance, path, OLDER if UNKNOWN_ORDER in str(error) else str(error))
        except PortError as error:
            self._open_to_all(instance, path, str(error))

    async def entrust_open(self) -> None:
        """Try again: the launcher is another one now."""
        for instance, (path, _) in sorted(self._open.items()):
            with contextlib.suppress(OSError):
                os.chmod(path, 0o600)
            await self.entrust(instance, path)

    @property
    def degraded(self) -> tuple[str, ...]:
        """What the launcher here cannot do, to be told to people."""
        if not self._open:
            return ()
        why = next(iter(self._open.values()))[1]
        some = f"{', '.join(sorted(self._open)[:SHOWN])}{', ...' if len(self._open) > SHOWN else ''}"
        return (f"sockets: every user of this host can silence {some} by filling its socket: {why}",)

    def _entrusted(self, instance: str, path: str, result: Mapping[str, object]) -> None:
        if result.get("entrusted") is True:
            self._open.pop(instance, None)
        else:
            self._open_to_all(instance, path, "the launcher is not root, and noded another user")

    def _open_to_all(self, instance: str, path: str, why: str) -> None:
        """That others can disturb a node is less than that it is not heard, and ended for its silence."""
        self._open[instance] = (path, why)
        with contextlib.suppress(OSError):
            os.chmod(path, 0o666)

    async def run(self, launch: Launch, timeout: float, into: str = "") -> Ran:
        name = f"{launch.node}.{next(self._runs)}"
        order = _program(launch) | {"instance": name, "timeout": timeout, **({"into": into} if into else {})}
        try:
            result = await self._launcher.ask("run", within=timeout + RUN_GRACE, **order)
        except NotFound as error:
            if into and into in str(error):
                raise
            raise Refused(str(error)) from error
        output = str(result.get("output", ""))
        seconds = result.get("seconds")
        took = float(seconds) if isinstance(seconds, int | float) else 0.0
        truncated, timed_out = (result.get(key) is True for key in ("truncated", "timed_out"))
        return Ran(_status(result), output, took, truncated, timed_out)

    async def inspect(self, instance: str) -> Mapping[str, object]:
        return await self._launcher.ask("inspect", instance=instance)

    async def unlisten(self, node: str) -> None:
        await self._launcher.ask("unlisten", node=node)

    def watch(self, node: str, instance: str, process: Process) -> None:
        def told(status: str) -> None:
            self._inbox.put(InstanceExited(self._clock.now(), node, instance, status))

        self.wait(instance, process, told)

    def wait(self, instance: str, process: Process, ended: Ended) -> None:
        """Call `ended` with the exit status in words, once, when the process has ended."""
        if instance in self._known:
            return
        self._known.add(instance)
        self._ended[instance] = asyncio.get_running_loop().create_future()
        try:
            pidfd = os.pidfd_open(process.pid)
        except ProcessLookupError:
            self._group.create_task(self._tell(instance, ended))
            return
        if start_time(process.pid) != process.start_time:
            # The number belongs to somebody else by now: ours has ended.
            self._over(instance, pidfd, ended)
            return
        asyncio.get_running_loop().add_reader(pidfd, self._over, instance, pidfd, ended)

    async def signal(self, instance: str, signal: str) -> None:
        with contextlib.suppress(NotFound, Conflict):
            await self._launcher.ask("signal", instance=instance, signal=signal)

    async def kill(self, instance: str) -> None:
        known = instance in self._known
        with contextlib.suppress(NotFound):
            await self._launcher.ask("kill", KILL_TIME + 5, instance=instance)
        if not known:
            node = instance.rpartition(".")[0]
            self._inbox.put(InstanceExited(self._clock.now(), node, instance, "killed before it was known"))

    async def publish(self, instance: str) -> None:
        await self._launcher.ask("publish", instance=instance)

    async def remove(self, instance: str) -> None:
        self._known.discard(instance)
        self._open.pop(instance, None)
        try:
            await self._launcher.ask("kill", KILL_TIME + 5, instance=instance)
            await self._launcher.ask("remove", instance=instance)
        except (Unavailable, TimedOut, Conflict):
            self._left.add(instance)
            raise
        except NotFound:
            pass
        self._left.discard(instance)

    async def remove_left(self) -> None:
        """Clear up what could not be cleared up while the launcher was away."""
        for instance in sorted(self._left):
            with contextlib.suppress(PortError):
                await self.remove(instance)

    async def observe(self) -> tuple[Observed, ...]:
        result = await self._launcher.ask("list")
        listed = result.get("instances")
        found = [i for i in listed if isinstance(i, Mapping)] if isinstance(listed, list) else []
        return tuple(
            Observed(str(i["instance"]), _process(i), _digest(i), i.get("running") is True) for i in found
        )

    async def hello(self) -> Mapping[str, object]:
        return await self._launcher.ask("hello", 2.0)

    def _over(self, instance: str, pidfd: int, ended: Ended) -> None:
        asyncio.get_running_loop().remove_reader(pidfd)
        os.close(pidfd)
        self._group.create_task(self._tell(instance, ended))

    def _take(self, event: Mapping[str, object]) -> None:
        """An end that the launcher tells by itself: to ask for it would keep the next start waiting."""
        waiting = self._ended.get(str(event.get("instance")))
        if event.get("event") == "exited" and waiting is not None and not waiting.done():
            waiting.set_result({"exit": event, "oom_kills": event.get("oom_kills")})

    async def _tell(self, instance: str, ended: Ended) -> None:
        try:
            ended(_status(await self._told_of(instance) or await self._end_of(instance)))
        except PortError:
            ended("unknown")

    async def _told_of(self, instance: str) -> Mapping[str, object] | None:
        """None when the launcher does not tell by itself: another one is there now, or it told before."""
        try:
            async with asyncio.timeout(EVENT_TIME if self._launcher.connected else 0):
                return await self._ended[instance]
        except (TimeoutError, KeyError):
            return None
        finally:
            self._ended.pop(instance, None)

    async def _end_of(self, instance: str) -> Mapping[str, object]:
        """The kernel tells us and the launcher at the same moment: its word may be from just before."""
        until, pause = self._clock.now() + REAP_TIME, 0.001
        while True:
            result = await self._launcher.ask("status", 2.0, instance=instance)
            if result.get("running") is not True or self._clock.now() >= until:
                return result
            await asyncio.sleep(pause)
            pause = min(2.0 * pause, 0.01)


def _program(launch: Launch) -> dict[str, object]:
    """What an older launcher does not know is said only when it is wanted."""
    limits = {"memory": launch.memory, "cpu": launch.cpu, "pids": launch.pids, "files": launch.files}
    newer = {"memory_high": launch.memory_high, "io": launch.io}
    optional = {"env_file": launch.env_file, "secrets": dict(launch.secrets), "write": launch.write}
    return {
        "node": launch.node,
        "argv": launch.argv,
        "cwd": launch.cwd,
        "env": dict(launch.env),
        "user": launch.user,
        "limits": limits | {key: value for key, value in newer.items() if value},
        "data": launch.data,
        **{key: value for key, value in optional.items() if value},
    }


def _process(result: Mapping[str, object]) -> Process:
    cgroup = result.get("cgroup")
    memory = cgroup.get("memory", "") if isinstance(cgroup, Mapping) else ""
    pid, began, uid = (int(str(result.get(key, 0))) for key in ("pid", "start_time", "uid"))
    return Process(pid, began, uid, str(memory))


def _digest(result: Mapping[str, object]) -> str:
    """Of the release whose folder the process works in, as releases are named on disk."""
    name = str(result.get("home", "")).rpartition("/")[2]
    return f"sha256:{name}" if re.fullmatch("[0-9a-f]{64}", name) else ""


def _status(result: Mapping[str, object]) -> str:
    """A child of it may have been killed for lack of memory long before: that is not its own end."""
    left = result.get("exit")
    known = left if isinstance(left, Mapping) else {}
    # A launcher from before the field tells only how often.
    counted = int(str(result.get("oom_kills", 0) or 0)) > 0
    if known.get("oom", counted) is True:
        return "out of memory"
    if not isinstance(left, Mapping) or left.get("unknown"):
        return "unknown"
    if left.get("signal") is not None:
        return f"signal {left['signal']}"
    return f"code {left.get('code')}"
