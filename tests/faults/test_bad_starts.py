"""What if a node cannot start, or not where it should? It is told why, and tried within bounds."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.follow import Follower, Node, whole
from tests.e2e.ground import wait_for
from tests.e2e.host import Host
from tests.e2e.kernel import of_node
from tests.e2e.programs import SLEEPS, lay

pytestmark = pytest.mark.e2e
NONE = '[health]\nreadiness = "none"\n'


EXITS = "import sys\nsys.exit(3)\n"


def refused(host: Host, name: str, **how: object) -> str:
    done = host.nodectl("apply", str(lay(host, name, **how)), check=False)  # type: ignore[arg-type]
    assert done.returncode != 0
    return done.stdout + done.stderr


def begun(host: Host, name: str, **how: object) -> None:
    host.nodectl("apply", "--no-wait", str(lay(host, name, **how)))  # type: ignore[arg-type]


@pytest.fixture
def gone(host: Host, follower: Follower, request: pytest.FixtureRequest) -> Iterator[None]:
    """Nothing of a test's node is left for the next one."""
    yield
    for node in follower.nodes():
        host.nodectl("remove", "-y", node["name"], check=False)
    wait_for(lambda: not follower.nodes(), "a host without nodes", 30)


@pytest.mark.usefixtures("gone")
@pytest.mark.parametrize(
    ("what", "run", "says"),
    [
        ("missing", ("./not-there",), "not-there"),
        ("no-program", ("nowhere-in-path",), "not in PATH"),
        ("closed", ("./main.py",), "not executable"),
        ("no-interpreter", ("./script",), "interpreter"),
    ],
)
def test_a_program_that_cannot_be_executed_is_told_and_tried_ever_slower(
    host: Host, follower: Follower, what: str, run: tuple[str, ...], says: str
) -> None:
    folder = lay(host, what, run=run, program=SLEEPS, tables=NONE)
    if what == "no-interpreter":
        (folder / "script").write_text("#!/nowhere/interpreter\n")
        (folder / "script").chmod(0o755)
    host.nodectl("apply", "--no-wait", str(folder))
    node = follower.until(what, lambda n: n.get("restarts", 0) >= 2, "a second try", 20)
    assert says in node["detail"], node["detail"]
    assert node["condition"] in ("backing off", "starting", "failed", "down")
    time.sleep(1.0)
    assert follower.now(what)["restarts"] <= 6, "each try waits longer than the one before"
    assert not of_node(host, what)


@pytest.mark.usefixtures("gone")
def test_a_user_that_is_not_allowed_is_told(host: Host, follower: Follower) -> None:
    begun(host, "stranger", program=SLEEPS, head='user = "no-such-user"', tables=NONE)
    node = follower.until("stranger", lambda n: n.get("detail"), "why it does not run")
    assert "no-such-user" in node["detail"]
    assert "root" in refused(host, "mighty", program=SLEEPS, head='user = "root"', tables=NONE)
    assert not of_node(host, "mighty")


@pytest.mark.usefixtures("gone")
def test_a_port_outside_the_range_or_of_another_node_is_refused_whole(host: Host, follower: Follower) -> None:
    text = refused(host, "outside", port=100)
    assert "outside the ports of this host" in text
    host.nodectl("apply", str(lay(host, "first", port=1)))
    text = refused(host, "second", port=1)
    assert "belongs to first" in text
    assert {node["name"] for node in follower.nodes()} == {"first"}
    folders = {path.name for path in (host.state / "releases").iterdir() if not path.name.startswith(".")}
    assert host.status("first")["digest"].removeprefix("sha256:") in folders  # type: ignore[attr-defined]


ON_A_PORT = """
import os, socket
place, _, port = os.environ["NODED_LISTEN"].rpartition(":")
line = socket.socket()
line.bind((place, int(port)))
line.listen()
while True:
    other, _ = line.accept()
    other.recv(4096)
    other.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok")
    other.close()
"""


@contextmanager
def taken_ports(host: Host) -> Iterator[set[int]]:
    """Somebody else listens on most ports that instances may have."""
    held = []
    try:
        for port in range(20000, 21000):
            line = socket.socket()
            try:
                line.bind(("127.0.0.1", port))
            except OSError:
                line.close()
                continue
            if port % 10:
                line.listen()
                held.append(line)
            else:
                line.close()
        yield {line.getsockname()[1] for line in held}
    finally:
        for line in held:
            line.close()


@pytest.mark.usefixtures("gone")
def test_an_instance_whose_port_is_in_use_gets_another_in_the_end(host: Host, follower: Follower) -> None:
    tables = 'listen = "port"\n[health]\nreadiness = "http"\npath = "/"\n'
    with taken_ports(host) as taken:
        assert len(taken) > 500
        begun(host, "unlucky", program=ON_A_PORT, port=2, tables=tables)
        found: list[Node] = []

        def tried() -> bool:
            found.append(follower.now("unlucky"))
            return found[-1].get("restarts", 0) >= 2 or whole()(found[-1])

        wait_for(tried, "a second try or luck", 30)
    # When the ports are free again nothing but the restart delay stands in the way.
    host.nodectl("start", "unlucky", check=False)
    follower.until("unlucky", whole(), "its instance", 70)


@pytest.mark.usefixtures("gone")
def test_twenty_instances_that_exit_at_once_cost_little(host: Host, follower: Follower) -> None:
    """Bounded restarts, a small journal, little CPU; and in the end a person is asked for."""
    before = sum(path.stat().st_size for path in (host.state / "ring").iterdir())
    used = cpu_of(host)
    began = time.monotonic()
    begun(host, "brief", program=EXITS, head="instances = 20", tables=NONE)
    follower.until("brief", lambda n: n.get("restarts", 0) >= 20, "twenty ends", 30)
    time.sleep(max(0.0, began + 8.0 - time.monotonic()))
    node = follower.now("brief")
    seconds = time.monotonic() - began
    assert node["restarts"] <= 1000
    grown = sum(path.stat().st_size for path in (host.state / "ring").iterdir()) - before
    assert grown < 8 * 2**20, f"the journal grew by {grown} bytes in {seconds:.0f} s"
    assert (cpu_of(host) - used) / seconds < 0.6
    host.nodectl("apply", str(lay(host, "steady", program=SLEEPS, tables=NONE)))
    follower.until("steady", whole(), "a node beside it", 10)


def cpu_of(host: Host) -> float:
    text = Path(f"/proc/{host.running['noded'].pid}/stat").read_text().rpartition(")")[2].split()
    return (int(text[11]) + int(text[12])) / 100.0


@pytest.mark.soak
@pytest.mark.usefixtures("gone")
def test_a_crash_loop_ends_as_failed_with_an_incident_and_a_start_begins_anew(
    host: Host, follower: Follower
) -> None:
    begun(host, "loops", program=EXITS, tables=NONE)
    node = follower.until("loops", lambda n: n.get("condition") == "failed", "the end of its tries", 200)
    assert node["incident"] and "exited: code 3" in node["incident"]["finding"] + node["detail"]
    restarts = node["restarts"]
    time.sleep(2.0)
    assert follower.now("loops")["restarts"] == restarts and not of_node(host, "loops")
    host.nodectl("start", "--no-wait", "loops", check=False)
    follower.until(
        "loops", lambda n: n["restarts"] > restarts or n["condition"] != "failed", "another try", 20
    )
