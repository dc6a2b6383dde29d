"""Does a release come in whole or not at all?"""

import os
import signal
import socket
import stat
import tempfile
import time
from pathlib import Path

import pytest

from tests.e2e.follow import Follower, ready, whole
from tests.e2e.ground import wait_for
from tests.e2e.host import Host
from tests.e2e.programs import SLEEPS, change, lay

pytestmark = pytest.mark.e2e
QUIET = '[health]\nreadiness = "none"\n'


def releases(host: Host) -> set[str]:
    """What lies in the folder of releases, hidden things too."""
    return {path.name for path in (host.state / "releases").iterdir()}


def refused(host: Host, folder: Path, verb: str = "apply") -> tuple[int, str]:
    done = host.nodectl(verb, str(folder), check=False)
    assert done.returncode != 0, done.stdout
    return done.returncode, done.stderr


def test_a_new_node_is_planned_then_created_and_then_there_is_nothing_left_to_do(
    host: Host, follower: Follower
) -> None:
    folder = lay(host, "fresh", program=SLEEPS, tables=QUIET)
    plan = host.nodectl("plan", str(folder), check=False)
    assert (plan.returncode, plan.stdout) == (3, "fresh 1.0.0 starts\n")
    assert not follower.now("fresh"), "a plan changes nothing"

    applied = host.nodectl("apply", str(folder))
    assert "fresh 1.0.0 runs" in applied.stderr
    node = follower.now("fresh")
    assert (node["condition"], len(ready(node))) == ("running", 1)

    again = host.nodectl("plan", str(folder), check=False)
    assert (again.returncode, again.stdout) == (0, "fresh 1.0.0 is what runs already\n")
    pids = [one["pid"] for one in node["instances"]]
    unchanged = host.nodectl("-o", "json", "apply", str(folder))
    assert '"effect": "none"' in unchanged.stdout
    assert [one["pid"] for one in follower.now("fresh")["instances"]] == pids


def test_a_plan_names_the_keys_that_change_and_ends_with_3(host: Host) -> None:
    host.nodectl("apply", str(lay(host, "planned", port=1, head="spares = 1")))
    plan = host.nodectl("plan", str(lay(host, "planned", "1.1.0", port=1, head="spares = 0")), check=False)
    assert plan.returncode == 3
    assert "planned rolls out from 1.0.0 to 1.1.0" in plan.stdout
    assert "spares" in plan.stdout
    assert "version" in plan.stdout


def test_a_version_never_changes_its_content(host: Host, follower: Follower) -> None:
    host.nodectl("apply", str(lay(host, "fixed", program=SLEEPS, tables=QUIET)))
    before = follower.now("fixed")["digest"]
    changed = lay(host, "fixed", program=SLEEPS + "\n# changed\n", tables=QUIET)
    for verb in ("plan", "apply"):
        code, text = refused(host, changed, verb)
        assert code == 1
        assert "version 1.0.0 of fixed exists with other content" in text
        assert "give the change a new version in node.toml" in text
    assert follower.now("fixed")["digest"] == before


def test_a_node_that_serves_nothing_is_replaced_and_nodectl_says_so(host: Host, follower: Follower) -> None:
    host.nodectl("apply", str(lay(host, "plain", program=SLEEPS, tables=QUIET)))
    done = host.nodectl("apply", str(lay(host, "plain", "1.1.0", program=SLEEPS, tables=QUIET)))
    follower.until("plain", lambda n: n["version"] == "1.1.0" and whole()(n), "the new version")
    assert [one["version"] for one in follower.now("plain")["instances"]] == ["1.1.0"]
    assert "is stopped" not in done.stdout + done.stderr


def test_all_mistakes_of_a_manifest_are_told_at_once(host: Host, follower: Follower) -> None:
    folder = lay(host, "wrong", program=SLEEPS, tables='[health]\nreadiness = "psychic"\ntimeuot = "1s"\n')
    change(folder, r"version = .*", 'version = "no good"\nspares = -1\nsingleton = true')
    for verb in ("validate", "plan", "apply"):
        code, text = refused(host, folder, verb)
        assert code == 2
        for told in (
            'node.toml: node.version: expected a version such as "1.4.0"',
            "node.spares: expected a whole number from 0 to 2, got -1",
            "node.singleton: not yet supported",
            "health.readiness: expected one of sdk, notify, http, tcp, exec, none",
            "health.timeuot: unknown key; nearest known key: health.timeout",
        ):
            assert told in text, f"{verb}: {told} not in\n{text}"
    assert not follower.now("wrong")


def test_a_symbolic_link_out_of_the_release_is_refused(host: Host) -> None:
    folder = lay(host, "linked", program=SLEEPS, tables=QUIET)
    (folder / "inside").symlink_to("main.py")
    (folder / "outside").symlink_to("../../../etc/passwd")
    (folder / "absolute").symlink_to("/etc/passwd")
    before = releases(host)
    code, text = refused(host, folder)
    assert code == 2
    assert "outside" in text
    assert "absolute" in text
    assert releases(host) == before


def special(folder: Path, kind: str) -> None:
    path = folder / "strange"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
    else:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))


@pytest.mark.parametrize("kind", ["fifo", "socket", "device"])
def test_what_is_neither_file_nor_link_is_refused(host: Host, kind: str) -> None:
    if kind == "device" and os.geteuid() != 0:
        pytest.skip("only root can make a device")
    folder = lay(host, "strange", program=SLEEPS, tables=QUIET)
    special(folder, kind)
    began = time.monotonic()
    code, text = refused(host, folder)
    assert (code, "strange" in text) == (2, True), text
    assert time.monotonic() - began < 20, "it must not wait for a writer"


def test_a_tree_that_is_too_large_is_refused(host: Host) -> None:
    folder = lay(host, "huge", program=SLEEPS, tables=QUIET)
    with (folder / "huge.bin").open("wb") as file:
        file.truncate(65 * 1024 * 1024)
    code, text = refused(host, folder)
    assert (code, "64" in text) == (2, True), text


def test_a_port_outside_the_ranges_of_the_host_is_refused(host: Host, follower: Follower) -> None:
    code, text = refused(host, lay(host, "outside", port=20))
    assert code == 1
    assert f"port {host.first_port + 19} is outside the ports of this host ({host.first_port}-" in text
    assert not follower.now("outside")


def test_a_port_of_another_node_is_refused(host: Host, follower: Follower) -> None:
    host.nodectl("apply", str(lay(host, "holder", port=2)))
    code, text = refused(host, lay(host, "other", port=2))
    assert (code, f"port {host.first_port + 1} belongs to holder" in text) == (3, True), text
    assert not follower.now("other")


def test_a_folder_that_is_none_is_a_mistake_of_the_caller(host: Host, tmp_path: Path) -> None:
    for folder in (tmp_path / "nothing", tmp_path):
        assert refused(host, folder)[0] == 2


def big(host: Host, name: str) -> Path:
    folder = lay(host, name, program=SLEEPS, tables=QUIET)
    (folder / "ballast.bin").write_bytes(os.urandom(24 * 1024 * 1024))
    return folder


def uploads(host: Host) -> list[Path]:
    """Files without a name that a noded that takes in a release has open, of any size."""
    found = []
    for handle in Path(f"/proc/{host.running['noded'].pid}/fd").iterdir():
        try:
            target = os.readlink(handle)
        except OSError:
            continue
        if target.startswith(f"{tempfile.gettempdir()}/#") and handle.exists():
            found.append(handle)
    return found


def upload_begins(host: Host) -> None:
    wait_for(lambda: any(path.stat().st_size > 0 for path in uploads(host)), "the upload", 30, 0.002)


def test_nodectl_killed_in_the_middle_of_the_upload_leaves_nothing_behind(
    host: Host, follower: Follower
) -> None:
    folder, before = big(host, "killed"), releases(host)
    with host.begin_nodectl("apply", str(folder)) as apply:
        upload_begins(host)
        apply.kill()
    wait_for(lambda: not uploads(host), "the end of the upload")
    wait_for(lambda: releases(host) == before, "the end of its traces")
    assert not follower.now("killed")
    host.nodectl("apply", str(folder))
    assert len(ready(follower.now("killed"))) == 1


def test_noded_killed_right_after_the_upload_leaves_nothing_half_done(host: Host, follower: Follower) -> None:
    folder, before = big(host, "half"), releases(host)
    with host.begin_nodectl("apply", str(folder)) as apply:
        upload_begins(host)
        wait_for(lambda: releases(host) != before, "the first trace of the release", 30, 0.001)
        host.kill("noded")
        assert apply.wait(60) in (1, 4)
    host.start_noded()
    left = releases(host) - before
    assert not [name for name in left if name.startswith(".")], "what was half done is swept away"
    node = follower.now("half")
    assert not node or len(node["instances"]) <= 1
    host.nodectl("apply", str(folder))
    node = follower.until("half", whole(), "one instance")
    assert node["version"] == "1.0.0"


def test_noded_stopped_while_nodectl_uploads_refuses_or_finishes_and_loses_nothing(
    host: Host, follower: Follower
) -> None:
    folder = big(host, "late")
    with host.begin_nodectl("apply", "--no-wait", str(folder)) as apply:
        upload_begins(host)
        host.running["noded"].send_signal(signal.SIGTERM)
        assert apply.wait(60) in (0, 1, 4)
    host.stop("noded")
    host.start_noded()
    host.nodectl("apply", str(folder))
    follower.until("late", whole(), "one instance")


def test_a_first_version_that_never_gets_ready_is_told_and_can_be_removed(
    host: Host, follower: Follower
) -> None:
    folder = lay(host, "crashing", program="raise SystemExit(3)", port=3, head='start_timeout = "2s"')
    done = host.nodectl("--timeout", "3s", "apply", str(folder), check=False)
    assert done.returncode == 1
    assert "has not come true within 3s" in done.stderr
    assert "code 3" in follower.now("crashing")["detail"]
    host.nodectl("remove", "-y", "crashing")
    host.nodectl("apply", str(lay(host, "crashing", "1.0.1", port=3)))
