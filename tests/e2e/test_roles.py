"""Does policy.toml say who may do what and what healing may do, and PAUSE when the host stands still?"""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.e2e.follow import Follower
from tests.e2e.ground import wait_for
from tests.e2e.host import NODED_UID, Host
from tests.e2e.programs import lay
from tests.e2e.test_control import noded

pytestmark = pytest.mark.e2e
SOMEBODY, ELSE = 65534, 65533
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as somebody else")


@pytest.fixture(scope="module", autouse=True)
def web(host: Host, follower: Follower) -> None:
    host.nodectl("apply", str(lay(host, "web", port=1)))


def write(host: Host, text: str) -> Path:
    """As an administrator does: whole, under its name."""
    path = host.folder / "etc/policy.toml"
    if os.geteuid() != 0:
        path.parent.chmod(0o755)  # whatever the umask: a folder that others can write is refused
    new = path.with_suffix(".new")
    new.write_text(text)
    new.chmod(0o644)
    if os.geteuid() == 0:
        os.chown(new, NODED_UID, NODED_UID)
    new.replace(path)
    return path


def head(host: Host) -> dict[str, object]:
    told: dict[str, object] = json.loads(host.nodectl("-o", "json", "status").stdout)["host"]
    return told


def newest_policy(host: Host) -> str:
    """What noded last read of it, as its journal has it."""
    lines = host.nodectl("-o", "json", "explain").stdout.splitlines()
    read = [entry for entry in map(json.loads, lines) if entry["name"] == "PolicyRead"]
    return str(read[-1]["body"]).replace("'", '"') if read else ""


@as_root
def test_an_operator_of_policy_toml_restarts_and_removes_nothing(host: Host, follower: Follower) -> None:
    assert host.nodectl_of(SOMEBODY, "restart", "web").returncode == 5
    write(host, f'[roles]\noperator = ["uid:{SOMEBODY}"]\n')
    wait_for(lambda: host.nodectl_of(SOMEBODY, "logs", "web").returncode == 0, "the new role")
    assert host.nodectl_of(SOMEBODY, "restart", "web").returncode == 0
    assert "[node]" in host.nodectl_of(SOMEBODY, "describe", "web", "-o", "json").stdout
    for words in (("remove", "web", "--yes"), ("exec", "web", "--", "id"), ("audit",), ("backup", "-o", "-")):
        done = host.nodectl_of(SOMEBODY, *words)
        assert done.returncode == (125 if words[0] == "exec" else 5), words
        assert "it needs the role admin, yours is operator" in done.stderr
    assert host.nodectl_of(ELSE, "restart", "web").returncode == 5
    audit = host.nodectl("audit").stdout
    assert f"uid {SOMEBODY}" in audit
    assert "denied: needs admin" in audit


SECRET = "s3cr3tvalue"
LEAKY = """
import os, sys, time

def connect(depth):
    if depth:
        return connect(depth - 1) if depth % 2 else (connect)(depth - 1)
    raise ConnectionError(f"cannot connect to postgres://u:{os.environ['DB_PASSWORD']}@db")

if sys.argv[1:] == ["run"]:
    time.sleep(600)
sys.setrecursionlimit(200)
if sys.argv[1:] == ["check"]:
    sys.exit(f"cannot connect to postgres://u:{os.environ['DB_PASSWORD']}@db")
connect(18)
"""
LOOKS = (
    *(("explain",), ("explain", "-v"), ("status",), ("describe",), ("incidents",), ("logs",)),
    *(("-o", "json", verb) for verb in ("explain", "status", "describe", "incidents")),
)


@as_root
def test_what_a_program_printed_is_for_operators_and_without_secrets(host: Host, follower: Follower) -> None:
    write(host, "")
    wait_for(lambda: host.nodectl_of(SOMEBODY, "logs", "web").returncode == 5, "a viewer")
    env = f'env = {{ DB_PASSWORD = "{SECRET}" }}\n'
    before = lay(host, "before", program=LEAKY, head=f'{env}before = [["python3", "main.py"]]')
    health = (
        '[health]\nreadiness = "none"\nliveness = "exec"\ncommand = ["python3", "main.py", "check"]\n'
        'period = "500ms"\nfailures = 2\n'
    )
    asks = lay(host, "asks", program=LEAKY, run=("python3", "main.py", "run"), head=env, tables=health)
    for folder in (before, asks):
        host.nodectl("apply", "--no-wait", str(folder))
    follower.until("before", lambda node: node.get("condition") == "backing off", "the backing off")
    follower.until("asks", lambda node: node.get("restarts", 0) >= 1, "an end")
    for name in ("before", "asks"):
        shown = [host.nodectl_of(SOMEBODY, *words, name) for words in LOOKS]
        text = "".join(done.stdout + done.stderr for done in shown)
        assert SECRET not in text and "cannot connect" not in text
        assert [words for words, done in zip(LOOKS, shown, strict=True) if done.returncode] == [("logs",)]
    told = host.nodectl("explain", "-v", "before").stdout
    lines = [line for line in told.splitlines() if line.startswith("    | ")]
    assert len(lines) >= 40 and lines[-1].endswith("cannot connect to postgres://***db")
    assert "cannot connect to postgres://***db" in host.nodectl("explain", "-v", "asks").stdout
    for verb in ("status", "describe"):
        assert "ended with code 1: nodectl explain -v before" in host.nodectl(verb, "before").stdout
    assert "nodectl explain -v before" in host.nodectl("logs", "before").stderr
    kept = [path for path in host.state.rglob("*") if path.is_file() and path.parent.name == "ring"]
    inputs = "".join(
        line for path in kept for line in path.read_text().splitlines(True) if '"Prepared"' in line
    )
    assert "cannot connect" in inputs and SECRET not in inputs
    assert SECRET not in host.log("noded")
    host.nodectl("remove", "before", "--yes")
    host.nodectl("remove", "asks", "--yes")


@as_root
def test_looking_can_be_closed_too(host: Host) -> None:
    write(host, f'[roles]\nviewer = ["uid:{ELSE}"]\n')
    wait_for(lambda: host.nodectl_of(SOMEBODY, "status").returncode == 5, "the closed door")
    assert host.nodectl_of(ELSE, "status").returncode == 0
    assert host.nodectl_of(SOMEBODY, "version").returncode == 0
    write(host, "")
    wait_for(lambda: host.nodectl_of(SOMEBODY, "status").returncode == 0, "the open door")


def test_the_file_pause_makes_the_host_stand_still(host: Host) -> None:
    pause = host.folder / "etc/PAUSE"
    pause.touch()
    try:
        wait_for(lambda: head(host).get("paused") is True, "the pause")
        assert head(host)["paused_by"] == f"the file {pause}"
    finally:
        pause.unlink()
    wait_for(lambda: not head(host).get("paused"), "the end of the pause")


def test_a_cap_counts_more_than_a_manifest(host: Host, follower: Follower) -> None:
    follower.until("web", lambda node: node["condition"] == "running", "a running web")
    write(host, '[autonomy.web]\nrestart = "advise"\n')
    wait_for(lambda: '"web"' in newest_policy(host), "the cap")
    pid = int(follower.now("web")["instances"][0]["pid"])
    os.kill(pid, signal.SIGKILL)
    follower.until("web", lambda node: node["condition"] == "down", "what is not restarted")
    write(host, "")
    follower.until("web", lambda node: node["condition"] == "running", "the restart", timeout=30.0)


def test_a_broken_policy_alarms_and_the_last_good_one_stays(host: Host) -> None:
    path = write(host, '[roles]\nviewr = ["*"]\n')
    wait_for(lambda: head(host).get("alarms"), "the alarm")
    (alarm,) = head(host)["alarms"]  # type: ignore[misc]
    assert alarm == (
        f"the last good policy is used: {path}: roles.viewr: unknown key; nearest known key: roles.viewer"
    )
    assert "the last good policy is used" in host.nodectl("doctor", check=False).stdout
    write(host, "")
    wait_for(lambda: not head(host).get("alarms"), "the end of the alarm")


def test_noded_does_not_start_with_a_policy_that_is_broken_or_not_its_own(host: Host, tmp_path: Path) -> None:
    config = tmp_path / "noded.toml"
    config.write_text((host.folder / "etc/noded.toml").read_text())
    policy = tmp_path / "policy.toml"
    policy.write_text('[roles]\nadmin = ["root"]\n[autonomy]\nreplace = "never"\n')
    policy.chmod(0o644)
    done = noded(host, config)
    assert done.returncode == 2
    assert f"{policy}: roles.admin[0]: expected" in done.stderr
    assert f"{policy}: autonomy.replace: expected one of off" in done.stderr
    policy.write_text("")
    policy.chmod(0o666)
    done = noded(host, config)
    assert (done.returncode, "can be written by others" in done.stderr) == (2, True)


def test_the_audit_goes_on_after_a_crash(host: Host) -> None:
    host.nodectl("stop", "web")
    host.kill("noded")
    host.start_noded()
    host.nodectl("start", "web")
    told = json.loads(host.nodectl("-o", "json", "audit").stdout)
    whats = [entry["what"] for entry in told]
    assert whats[-2:] == ["stop web", "start web"]
    assert "apply web 1.0.0" in whats
    files = sorted((host.state / "audit").glob("*.jsonl"))
    assert [path.stat().st_mode & 0o077 for path in files] == [0] * len(files)
    text = files[0].read_text()
    files[0].write_text(text.replace("stop web", "stop wob"))
    told = host.nodectl("audit", check=False)
    assert (told.returncode, "DO NOT TRUST THIS AUDIT: the audit's chain is broken" in told.stderr) == (
        1,
        True,
    )
    host.kill("noded")
    host.start_noded()
    assert "the audit's chain is broken" in host.nodectl("doctor", check=False).stdout
    files[0].write_text(text)
