"""Does a node without the SDK get all its manifest says: wheels, commands before, settings, secrets, folders?

The secret must be nowhere but in the node: every file of the host is searched for it.
"""

import contextlib
import hashlib
import json
import os
import subprocess
import tarfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import host as hosts
from tests.e2e.conftest import Rings
from tests.e2e.follow import Follower, ended, last_rollout, whole
from tests.e2e.ground import program, readable, wait_for
from tests.e2e.host import Host
from tests.nodectl.wheelhouse import PYTHON, House, house

pytestmark = pytest.mark.e2e
SECRET = "s3cret-" + hashlib.sha256(os.urandom(16)).hexdigest()
RUNNER = "nobody" if os.geteuid() == 0 else "dynamic"

NODE = """
import hashlib, json, os, signal, socketserver, subprocess
from http.server import BaseHTTPRequestHandler
import greet

reloads = []
signal.signal(signal.SIGHUP, lambda *_: reloads.append(open(os.environ["SRV"] + "/settings").read()))

def told():
    before = open(os.environ["NODED_DATA"] + "/migrated").read().split()
    with open(os.environ["SRV"] + "/written", "w") as out:
        out.write("x")
    return {
        "version": os.environ["NODED_VERSION"],
        "greeting": greet.word,
        "script": subprocess.run(["greet"], capture_output=True, text=True).stdout,
        "secret": hashlib.sha256(os.environ["KEY"].encode()).hexdigest(),
        "colour": os.environ["COLOUR"],
        "before": before,
        "uid": os.getuid(),
        "groups": os.getgroups(),
        "reloads": reloads,
    }

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = json.dumps(told()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "someone"

    def log_message(self, *words):
        pass

class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

print("up", flush=True)
Server(os.environ["NODED_LISTEN"].removeprefix("unix:"), Handler).serve_forever()
"""

MIGRATE = """
import os, sys, greet
assert os.environ["KEY"] and os.environ["COLOUR"]
with open(os.environ["NODED_DATA"] + "/migrated", "a") as out:
    out.write(os.environ["NODED_VERSION"] + "\\n")
if os.path.exists("broken"):
    print("the table orders is locked")
    sys.exit(7)
"""

TESTS = """
import greet, os
assert greet.word == "hello" and "KEY" not in os.environ
print("the tests saw", greet.word)
"""


@pytest.fixture(scope="module")
def shelf() -> Iterator[House]:
    with house() as made:
        yield made


@pytest.fixture(scope="module")
def host(request: pytest.FixtureRequest, rings: Rings) -> Iterator[Host]:
    """One whose launcher may read secrets and make folders in two places of its own."""
    made = hosts.make()
    try:
        for name, mode in (("keys", 0o700), ("srv", 0o755)):
            (made.folder / name).mkdir(mode=mode)
        keys = made.folder / "keys"
        (keys / "key").write_text(f"{SECRET}\n")
        (keys / "env").write_text("# of the host\nCOLOUR='deep green'\n")
        for path in keys.iterdir():
            path.chmod(0o600)
        settings = made.folder / "etc/launcher.toml"
        text = settings.read_text()
        if os.geteuid() == 0:
            text = text.replace("users = [", 'users = ["nobody", ')
        settings.write_text(f'{text}secrets = ["{keys}"]\nwrite = ["{made.folder}/srv"]\n')
        made.start()
        yield made
        made.stop("noded")
        rings.keep(made, request.path.stem)
    finally:
        made.close()


def lay(host: Host, shelf: House, version: str, *, broken: bool = False) -> Path:
    folder = host.folder / f"nodes/full-{version}"
    folder.mkdir(parents=True)
    line = shelf.add("greet", "1.0", {"greet.py": "word = 'hello'\n\n\ndef main():\n    print(word)\n"},
                     {"greet": "greet:main"})  # fmt: skip
    (folder / "node.toml").write_text(
        f"""
[node]
name = "full"
version = "{version}"
run = ["python3", "full.py"]
before = [["python3", "migrate.py"], ["/bin/true"]]
requirements = "requirements.txt"
user = "{RUNNER}"
env = {{ SRV = "{host.folder}/srv/full" }}
env_file = "{host.folder}/keys/env"
secrets = {{ KEY = "file:{host.folder}/keys/key" }}
write = ["{host.folder}/srv/full"]
start_timeout = "20s"
reload = "HUP"
instances = 2

[serves]
port = {host.first_port}

[health]
readiness = "http"
path = "/"

[rollout]
steps = [100]
dwell = "0s"
soak = "0s"

[tests]
command = ["python3", "check.py"]
"""
    )
    texts = {"full.py": NODE, "migrate.py": MIGRATE, "check.py": TESTS, "requirements.txt": line}
    for name, text in (texts | ({"broken": "x"} if broken else {})).items():
        (folder / name).write_text(text)
    readable(folder)
    return folder


def apply(host: Host, shelf: House, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    words = [host.python, "-m", "nodectl", "--socket", str(host.control), "apply", "--python", PYTHON]
    words += [*more, str(folder)]
    done = subprocess.run(words, env=host.env() | shelf.environment, cwd=host.folder, capture_output=True,
                          text=True, timeout=90, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def ask(host: Host) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{host.first_port}/", timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


@pytest.fixture(scope="module", autouse=True)
def full(host: Host, shelf: House, follower: Follower) -> dict[str, Any]:
    said = apply(host, shelf, lay(host, shelf, "1.0.0"))
    assert "unpacking 1 wheel for Python" in said.stderr
    follower.until("full", whole(0, 2), "both instances", 40)
    return ask(host)


def test_it_has_what_its_manifest_says(host: Host, full: dict[str, Any]) -> None:
    assert (full["version"], full["greeting"], full["script"]) == ("1.0.0", "hello", "hello\n")
    assert full["secret"] == hashlib.sha256(SECRET.encode()).hexdigest()
    assert full["colour"] == "deep green"
    assert (host.folder / "srv/full/written").read_text() == "x"
    assert (host.folder / "srv/full/written").stat().st_uid == full["uid"]
    if os.geteuid() == 0:
        assert full["uid"] == 65534
    else:
        assert full["uid"] == os.geteuid()


def test_what_comes_before_was_run_once_for_both_instances(full: dict[str, Any]) -> None:
    assert full["before"] == ["1.0.0"]


def test_it_reads_its_settings_again(host: Host) -> None:
    (host.folder / "srv/full/settings").write_text("brighter")
    (host.folder / "srv/full/settings").chmod(0o644)
    host.nodectl("reload", "full")
    wait_for(
        lambda: ask(host)["reloads"] == ["brighter"] and ask(host)["reloads"] == ["brighter"], "a reload"
    )


def test_its_tests_pass_on_the_release_that_is_here(host: Host) -> None:
    if not program("bwrap", host.programs).exists():
        pytest.skip("no bubblewrap")
    done = host.nodectl("test", "full")
    assert "the tests saw hello" in done.stdout and "the tests passed in" in done.stdout


def test_the_same_release_again_changes_nothing(host: Host, shelf: House) -> None:
    done = apply(host, shelf, host.folder / "nodes/full-1.0.0")
    assert "is what runs already" in done.stdout and "unpacking" not in done.stderr


def test_a_release_that_cannot_be_prepared_is_rolled_back_with_its_word(
    host: Host, shelf: House, follower: Follower
) -> None:
    apply(host, shelf, lay(host, shelf, "1.1.0", broken=True), "--no-wait")
    node = follower.until("full", ended, "the rollout's end", 40)
    reason = last_rollout(node)["reason"]
    assert last_rollout(node)["phase"] == "rolled back"
    assert "migrate.py" in reason and "code 7" in reason and "the table orders is locked" not in reason
    assert node["version"] == "1.0.0" and ask(host)["version"] == "1.0.0"
    assert "the table orders is locked" in host.nodectl("explain", "-v", "full").stdout


def test_a_new_node_that_cannot_be_prepared_does_not_start_and_says_why(
    host: Host, follower: Follower
) -> None:
    folder = host.folder / "nodes/stuck"
    folder.mkdir()
    (folder / "node.toml").write_text(
        '[node]\nname = "stuck"\nversion = "1.0.0"\nrun = ["/bin/sleep", "60"]\n'
        'before = [["/bin/sh", "-c", "echo no room for orders; exit 3"], ["/bin/touch", "/tmp/never"]]\n'
        '[health]\nreadiness = "none"\n'
    )
    readable(folder)
    host.nodectl("apply", "--no-wait", str(folder))
    node = follower.until("stuck", lambda found: found.get("detail"), "why it does not start")
    assert "ended with code 3: nodectl explain -v stuck" in node["detail"]
    assert node.get("instances", []) == []
    host.nodectl("remove", "-y", "stuck")


def test_a_release_without_its_wheels_is_refused(host: Host, shelf: House) -> None:
    """By noded, whoever packed it."""
    folder = lay(host, shelf, "1.2.0")
    script = (
        "import sys, grpc\nfrom pathlib import Path\nfrom nodeapi.v1 import control_pb2 as pb\n"
        "from nodeapi.v1.control_pb2_grpc import ControlServiceStub\nfrom nodespec.release import pack\n"
        "blob = pack(Path(sys.argv[2])).blob\n"
        "parts = [pb.ApplyRequest(header=pb.ApplyHeader(size=len(blob))), *(pb.ApplyRequest(chunk="
        "blob[n:n + 65536]) for n in range(0, len(blob), 65536))]\n"
        "stub = ControlServiceStub(grpc.insecure_channel('unix:' + sys.argv[1]))\n"
        "try:\n    stub.Apply(iter(parts), timeout=20)\n"
        "except grpc.RpcError as error:\n    print(error.code().name, error.details())\n"
    )
    words = [host.python, "-c", script, str(host.control), str(folder)]
    done = subprocess.run(words, env=host.env(), capture_output=True, text=True, timeout=60, check=False)
    assert "INVALID_ARGUMENT" in done.stdout, done.stderr
    assert ".noded: expected the environment of requirements.txt" in done.stdout
    assert "nodectl apply builds it" in done.stdout


def holding(folder: Path, text: str) -> list[str]:
    """The files below a folder that hold the text; some may vanish meanwhile."""
    found = []
    for place, _, names in os.walk(folder):
        for path in (Path(place, name) for name in names):
            with contextlib.suppress(FileNotFoundError):
                if path.is_file() and not path.is_symlink() and text.encode() in path.read_bytes():
                    found.append(str(path.relative_to(folder)))
    return found


def test_the_secret_is_nowhere_but_in_the_node(host: Host) -> None:
    """After a restart of noded too, which reads everything back."""
    host.stop("noded")
    host.start_noded()
    assert holding(host.folder, SECRET) == ["keys/key"]
    for words in ("describe full", "-o json describe full", "explain full", "-o json explain full",
                  "logs full", "-o json status full", "audit"):  # fmt: skip
        done = host.nodectl(*words.split(), check=False)
        assert done.returncode == 0, done.stderr
        assert SECRET not in done.stdout + done.stderr
    assert f"file:{host.folder}/keys/key" in host.nodectl("describe", "full").stdout


def test_nor_in_what_leaves_the_host(host: Host, tmp_path: Path) -> None:
    for words in (("bundle",), ("bundle", "full"), ("backup",)):
        target = tmp_path / f"{'-'.join(words)}.tar.gz"
        host.nodectl(*words, "-o", str(target))
        with tarfile.open(target) as archive:
            files = [archive.extractfile(member) for member in archive.getmembers()]
            contents = [file.read() for file in files if file is not None]
        assert any(b"full" in content for content in contents), "the search finds what is there"
        assert not any(SECRET.encode() in content for content in contents)
