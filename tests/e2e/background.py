"""What takes minutes by its nature: hosts that go on beside the other tests, and are judged at the end."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.e2e import host as hosts
from tests.e2e.follow import Follower, Node
from tests.e2e.ground import wait_for
from tests.e2e.host import Host
from tests.e2e.programs import FORGETFUL, lay
from tests.e2e.traffic import Traffic


class Story:
    """A host with something going on, in a thread: `begin` only starts it."""

    def __init__(self) -> None:
        self.host: Host = hosts.make()
        self.error: BaseException | None = None
        self.began = 0.0
        self.follower: Follower | None = None

    def run(self) -> None:
        try:
            self.host.start()
            self.follower = Follower(self.host)
            self.begin()
            self.began = time.monotonic()
            self.go_on(self.follower)
        except (OSError, RuntimeError, TimeoutError, subprocess.SubprocessError) as error:
            self.error = error

    def begin(self) -> None:
        raise NotImplementedError

    def go_on(self, follower: Follower) -> None:
        """What has to be done at its time, not when a test comes to it."""

    def ready(self, timeout: float = 60.0) -> None:
        """Raises what went wrong at the beginning."""
        wait_for(lambda: self.began or self.error, "the beginning of the story", timeout)
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        if self.follower is not None:
            self.follower.close()
        self.host.close()


class Leaks(Story):
    """Four nodes whose memory grows by 3 MB a second, allowed different things."""

    LEVELS = {  # noqa: RUF012
        "shrinks": '[healing]\nladder = ["collect", "shrink"]\nsettle = "12s"\n'
        '[healing.autonomy]\ntune = "act"\n',
        "advises": "",
        "approves": '[healing.autonomy]\ntune = "approve"\n',
        "rests": '[healing.autonomy]\ntune = "act"\n',
    }

    def __init__(self) -> None:
        super().__init__()
        self.waiting: Node = {}
        """The node whose step waited for approval, and what `explain` told then."""
        self.told_before = ""
        self.approved = ""

    def go_on(self, follower: Follower) -> None:
        self.waiting = follower.until("approves", waits, "a step that waits", 150.0)
        self.told_before = self.host.nodectl("explain", "approves").stdout
        self.approved = self.host.nodectl("incidents", "approve", "approves").stdout

    def begin(self) -> None:
        for name, tables in self.LEVELS.items():
            limit = '[resources]\nmemory = "256M"\n'
            self.host.nodectl(
                "apply", "--no-wait", str(lay(self.host, name, program=FORGETFUL, tables=limit + tables))
            )
        self.host.nodectl("pause", "rests")


def waits(node: Node) -> bool:
    return bool(node.get("incident")) and node["incident"]["state"] == "waiting for approval"


class Quiet(Story):
    """One node with a spare that answers requests."""

    def __init__(self) -> None:
        super().__init__()
        self.traffic = Traffic(Path(self.host.folder) / "load.jsonl", self.host.first_port, 50.0)

    def begin(self) -> None:
        self.host.nodectl("apply", str(lay(self.host, "web", port=1, head="spares = 1")))
        self.traffic.__enter__()

    def close(self) -> None:
        self.traffic.__exit__(None, None, None)
        super().close()


STORIES: dict[str, Callable[[], Story]] = {"healing": Leaks, "memory": Quiet}
