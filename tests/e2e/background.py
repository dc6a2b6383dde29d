"""What takes long by its nature: stories that go on beside the other tests, and are judged at the end."""

import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from tests.e2e import host as hosts
from tests.e2e.follow import Follower, Node
from tests.e2e.ground import wait_for
from tests.e2e.host import Host
from tests.e2e.programs import FORGETFUL, lay
from tests.e2e.traffic import Traffic


class Story(ABC):
    """Something that goes on in a thread; a test waits for its end, or looks at what it has come to."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.over = False

    def run(self) -> None:
        try:
            self.tell()
        except (AssertionError, OSError, RuntimeError, TimeoutError, subprocess.SubprocessError) as error:
            self.error = error
        self.over = True

    @abstractmethod
    def tell(self) -> None: ...

    @abstractmethod
    def close(self) -> None: ...

    def reaches(self, what: str, reached: Callable[[], object], timeout: float) -> None:
        """Wait until the story has come so far. Raises what went wrong in it."""
        wait_for(lambda: self.error is not None or reached(), what, timeout)
        if self.error is not None:
            raise self.error

    def ends(self, timeout: float) -> None:
        self.reaches("the end of the story", lambda: self.over, timeout)


class Hosted(Story):
    """On a host of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.host: Host = hosts.make()
        self.began = 0.0
        self.follower: Follower | None = None

    def tell(self) -> None:
        self.host.start()
        self.follower = Follower(self.host)
        self.begin()
        self.began = time.monotonic()
        self.go_on(self.follower)

    @abstractmethod
    def begin(self) -> None: ...

    def go_on(self, follower: Follower) -> None:
        """What has to be done at its time, not when a test comes to it."""

    def ready(self, timeout: float = 90.0) -> None:
        self.reaches("the beginning of the story", lambda: self.began, timeout)

    def close(self) -> None:
        if self.follower is not None:
            self.follower.close()
        self.host.close()


class Leaks(Hosted):
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


class Quiet(Hosted):
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
