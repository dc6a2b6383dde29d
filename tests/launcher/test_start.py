"""Does a program start as it was ordered, and is every start that cannot be told in words?"""

import itertools
import json
import os
import pwd
import resource
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from tests.launcher.lab import (
    DEADLINE,
    KIND,
    PYTHON,
    Client,
    Lab,
    alive,
    holds_only,
    is_root,
    needs_limits,
    needs_root,
    until,
)

NUMBERS = itertools.count(1)
SETTABLE = (1 << 31) - 1
"""Signals 1 to 31; of those above, some are the C library's and cannot be set."""
LOOK = """
import json, os, resource, signal, sys
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({
    "argv": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd(),
    "ids": [os.getresuid(), os.getresgid()],
    "groups": os.getgroups(), "umask": os.umask(0), "session": os.getsid(0) == os.getpid(),
    "fds": {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
            if os.path.exists(f"/proc/self/fd/{fd}")},
    "privileges": status["NoNewPrivs"].strip(), "ignored": int(status["SigIgn"], 16), "blocked":
    int(status["SigBlk"], 16), "files": resource.getrlimit(resource.RLIMIT_NOFILE),
    "core": resource.getrlimit(resource.RLIMIT_CORE), "groups_of": open("/proc/self/cgroup").read(),
}), flush=True)
print("to stderr", file=sys.stderr, flush=True)
"""

# Every copy goes on forking; who cannot waits a little and tries again.
BOMB = """
import os, time
while True:
    try: os.fork()
    except OSError: time.sleep(0.1)
"""


def fresh(node: str = "catalog") -> str:
    return f"{node}.{next(NUMBERS)}"


def seen(shared: Lab, instance: str) -> dict[str, Any]:
    until(lambda: "to stderr" in shared.output(instance), f"output of {instance}")
    found: dict[str, Any] = json.loads(shared.output(instance).splitlines()[0])
    return found


@pytest.fixture(scope="module")
def script(shared: Lab) -> str:
    path = shared.home / "look.py"
    path.write_text(LOOK)
    return str(path)


def look(shared: Lab, script: str, **more: Any) -> dict[str, Any]:
    """The order to run the program that tells what it sees."""
    return shared.order(fresh(), PYTHON, "-SIE", script, "a b", "", "ü", **more)


def test_reply_names_the_process_and_its_places(shared: Lab, client: Client) -> None:
    instance = fresh()
    result = client.do("start", **shared.order(instance, "sleep", "100", data=True))
    fields = Path(f"/proc/{result['pid']}/stat").read_text().rpartition(")")[2].split()
    assert result["start_time"] == int(fields[19])
    assert result["degraded"] == []
    assert result["log"] == f"{shared.home}/logs/catalog/{instance}.log"
    assert result["run"] == f"{shared.home}/i/{instance}"
    run = os.stat(result["run"])
    assert (stat.S_IMODE(run.st_mode), run.st_uid, run.st_gid) == (0o2770, result["uid"], os.getegid())
    assert stat.S_IMODE(os.stat(result["log"]).st_mode) == 0o640
    data = os.stat(shared.home / "data/catalog")
    assert (stat.S_IMODE(data.st_mode), data.st_uid) == (0o700, result["uid"])


def test_program_sees_only_what_was_ordered(shared: Lab, client: Client, script: str) -> None:
    order = look(shared, script, env={"PATH": "/usr/bin:/bin", "GREETING": "grüß Gott"})
    result = client.do("start", **order)
    told = seen(shared, order["instance"])
    marks = {"NODED_INSTANCE": order["instance"], "NODED_ORDERS": f"{result['run']}/orders.sock"}
    assert told["argv"] == ["a b", "", "ü"]
    assert {k: v for k, v in told["env"].items() if k != "LC_CTYPE"} == {**order["env"], **marks}
    assert told["cwd"] == "/"
    assert told["umask"] == 0o007
    assert told["session"]
    assert told["privileges"] == "1"
    assert told["ignored"] & SETTABLE in (0, 1 << 12, (1 << 12) | (1 << 24))  # Python's own
    assert told["blocked"] == 0
    assert told["core"] == [0, 0]
    assert set(told["fds"]) <= {"0", "1", "2"}
    assert told["fds"]["0"] == "/dev/null"
    assert told["fds"]["1"] == told["fds"]["2"] == result["log"]


def test_ignored_signals_are_plain_again(shared: Lab, client: Client) -> None:
    result = client.do("start", **shared.order(fresh(), "sleep", "100"))
    status = Path(f"/proc/{result['pid']}/status").read_text()
    ignored = next(line.split()[1] for line in status.splitlines() if line.startswith("SigIgn"))
    assert int(ignored, 16) & SETTABLE == 0


def test_marks_are_the_launchers_alone(shared: Lab, client: Client, script: str) -> None:
    order = look(shared, script, data=True)
    order["env"] |= {"NODED_INSTANCE": order["instance"], "NODED_ORDERS": "/elsewhere", "NODED_DATA": "/x"}
    result = client.do("start", **order)
    told = seen(shared, order["instance"])["env"]
    assert told["NODED_ORDERS"] == f"{result['run']}/orders.sock"
    assert told["NODED_DATA"] == f"{shared.home}/data/catalog"


@needs_root
def test_dynamic_user_is_alone_and_always_the_same(shared: Lab, client: Client, script: str) -> None:
    orders = [look(shared, script), look(shared, script)]
    uids = {client.do("start", **order)["uid"] for order in orders}
    assert len(uids) == 1
    (uid,) = uids
    assert 64200 <= uid <= 64999
    told = seen(shared, orders[0]["instance"])
    assert told["ids"] == [[uid] * 3, [uid] * 3]
    assert told["groups"] == []


@needs_limits
def test_program_is_born_in_its_groups_with_its_limits(shared: Lab, client: Client, script: str) -> None:
    limits = {"memory": 64 << 20, "cpu": 0.5, "pids": 12, "files": 77}
    order = look(shared, script, limits=limits)
    result = client.do("start", **order)
    told = seen(shared, order["instance"])
    group = f"/{shared.subtree}/{order['instance']}\n"
    for name in ("",) if KIND == "v2" else ("memory", "cpu", "pids", ""):
        assert f":{name}:{group}" in told["groups_of"]
    assert told["files"] == [77, 77]
    groups = result["cgroup"]
    v2 = KIND == "v2"
    memory = Path(groups["memory"], "memory.max" if v2 else "memory.limit_in_bytes")
    assert memory.read_text() == f"{64 << 20}\n"
    cpu = Path(groups["cpu"], "cpu.max" if v2 else "cpu.cfs_quota_us")
    assert cpu.read_text() == ("50000 100000\n" if v2 else "50000\n")
    assert Path(groups["pids"], "pids.max").read_text() == "12\n"
    assert Path(groups["unified"], "cgroup.kill").exists()


def test_output_is_appended(shared: Lab, client: Client) -> None:
    instance = fresh()
    for word in ("one", "two"):
        client.do("start", **shared.order(instance, "echo", word))
        client.exited(instance)
    assert shared.output(instance) == "one\ntwo\n"


def test_limit_of_files_beyond_the_possible_is_told(shared: Lab, client: Client) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        pytest.skip("every number of files is possible here")
    order = shared.order(fresh(), "sleep", "100", limits={"files": hard + 1})
    degraded = client.do("start", **order)["degraded"]
    assert degraded == [f"files limit not applied: {hard + 1} asked, {hard} possible"]


def test_program_beside_its_working_directory(shared: Lab, client: Client) -> None:
    place = shared.home / "release"
    place.mkdir()
    (place / "run").write_text("#!/bin/sh\necho here: $PWD\n")
    (place / "run").chmod(0o755)
    instance = fresh()
    client.do("start", **shared.order(instance, "./run", cwd=str(place)))
    client.exited(instance)
    assert shared.output(instance) == f"here: {place}\n"


@pytest.mark.parametrize(
    ("content", "mode", "argv", "kind", "text"),
    [
        ("#!/bin/sh\n", 0o644, "./run", "refused", "exec ./run: Permission denied (file is not executable)"),
        (None, 0, "./run", "not_found", "exec ./run: No such file or directory"),
        ("#!/no/such\n", 0o755, "./run", "not_found", "the interpreter its first line names is missing"),
        ("\x7fnonsense", 0o755, "./run", "refused", "exec ./run: Exec format error"),
        (None, 0, ".", "refused", "exec .: Permission denied"),
        (None, 0, "../", "refused", "(it is a folder)"),
        (None, 0, "no-such-program", "not_found", "(not in PATH /usr/local/bin:/usr/bin:/bin)"),
    ],
)
def test_exec_that_fails(
    shared: Lab,
    client: Client,
    tmp_path: Path,
    content: str | None,
    mode: int,
    argv: str,
    kind: str,
    text: str,
) -> None:
    place = shared.home / f"bad{next(NUMBERS)}"
    place.mkdir()
    if content is not None:
        (place / "run").write_text(content)
        (place / "run").chmod(mode)
    instance = fresh()
    told = client.refused("start", **shared.order(instance, argv, cwd=str(place)))
    assert told[0] == kind
    assert told[1].startswith(f"cannot start {instance}: exec {argv}: ")
    assert text in told[1]
    assert client.refused("status", instance=instance)[0] == "not_found"
    assert not (shared.home / "i" / instance).exists()
    assert not any((root / instance).exists() for root in shared.groups())


@needs_root
def test_closed_working_directory_names_the_closed_folder(shared: Lab, client: Client) -> None:
    place = shared.home / "closed/inner"
    place.mkdir(parents=True)
    place.parent.chmod(0o700)
    kind, text = client.refused("start", **shared.order(fresh(), "sleep", "1", cwd=str(place)))
    assert kind == "refused"
    assert text.endswith(f"may not enter {place.parent})")


def test_missing_working_directory(shared: Lab, client: Client) -> None:
    kind, text = client.refused("start", **shared.order(fresh(), "sleep", "1", cwd="/no/such"))
    assert (kind, text.partition(": ")[2]) == ("not_found", "cwd /no/such: No such file or directory")


def test_symbolic_links_are_not_followed(shared: Lab, client: Client) -> None:
    victim = shared.home / "victim"
    victim.mkdir(mode=0o755)
    before = os.stat(victim)
    cases = {"i": fresh("linked"), "logs": fresh("linked-log"), "data": fresh("linked-data")}
    (shared.home / "i" / cases["i"]).symlink_to(victim)
    (shared.home / "logs/linked-log").symlink_to(victim)
    (shared.home / "data/linked-data").symlink_to(victim)
    for instance in cases.values():
        kind, text = client.refused("start", **shared.order(instance, "sleep", "1", data=True))
        assert kind == "refused"
        assert "Not a directory" in text or "symbolic links" in text
    assert (os.stat(victim), list(victim.iterdir())) == (before, [])


def test_log_that_is_a_link_is_not_followed(shared: Lab, client: Client) -> None:
    instance = fresh("loglink")
    (shared.home / "logs/loglink").mkdir()
    (shared.home / "logs/loglink" / f"{instance}.log").symlink_to(shared.home / "target")
    kind, _ = client.refused("start", **shared.order(instance, "echo", "x"))
    assert kind == "refused"
    assert not (shared.home / "target").exists()


def test_running_instance_is_not_started_twice(shared: Lab, client: Client) -> None:
    order = shared.order(fresh(), "sleep", "100")
    pid = client.do("start", **order)["pid"]
    kind, text = client.refused("start", **order)
    assert (kind, text) == ("conflict", f"cannot start {order['instance']}: there still live pids {pid}")
    assert alive(pid)


def test_two_starts_of_one_instance_at_once(shared: Lab, client: Client) -> None:
    order = shared.order(fresh(), "sleep", "100")
    numbers = [client.send("start", **order) for _ in range(2)]
    replies = [client.reply(number) for number in numbers]
    assert sorted(reply["ok"] for reply in replies) == [False, True]
    assert [reply["kind"] for reply in replies if not reply["ok"]] == ["conflict"]


def users() -> list[tuple[str, str]]:
    always = [("root", "never run as root"), ("0", "never run as root"), ("no-such-user-1", "does not exist")]
    if not is_root:
        return [*always, ("1", "the launcher is not root")]
    return [
        *always,
        ("nobody", "not among `users`"),
        ("65534", "not among `users`"),
        ("4294967295", "at most"),
    ]


@pytest.mark.parametrize(("user", "text"), users())
def test_users_that_are_refused(shared: Lab, client: Client, user: str, text: str) -> None:
    kind, told = client.refused("start", **shared.order(fresh(), "sleep", "1", user=user))
    assert kind == "refused"
    assert text in told


def test_hundred_starts_at_once(shared: Lab, client: Client) -> None:
    orders = [shared.order(f"crowd.{number}", "sleep", "100") for number in range(100)]
    began = time.monotonic()
    numbers = [client.send("start", **order) for order in orders]
    pids = {client.reply(number)["result"]["pid"] for number in numbers}
    assert len(pids) == 100
    assert time.monotonic() - began < DEADLINE
    for order in orders:
        client.send("kill", instance=order["instance"])
    for order in orders:
        assert client.exited(order["instance"])["signal"] == 9


@needs_limits
def test_out_of_memory_is_told_with_the_exit(shared: Lab, client: Client) -> None:
    instance = fresh("greedy")
    order = shared.order(instance, PYTHON, "-SIEc", "x = bytearray(200 << 20)", limits={"memory": 40 << 20})
    client.do("start", **order)
    event = client.exited(instance)
    assert (event["code"], event["signal"]) == (None, 9)
    # With oom.group every process killed counts.
    assert event["oom_kills"] >= 1
    assert client.do("status", instance=instance)["oom_kills"] == event["oom_kills"]


@needs_limits
def test_limit_too_small_to_start_at_all(shared: Lab, client: Client) -> None:
    kind, text = client.refused("start", **shared.order(fresh(), "sleep", "1", limits={"memory": 4096}))
    assert kind in ("unavailable", "refused")
    assert "killed at the step" in text or "Cannot allocate memory" in text


@needs_limits
def test_fork_bomb_stays_inside_its_limit_and_dies(shared: Lab, client: Client) -> None:
    instance = fresh("bomb")
    result = client.do("start", **shared.order(instance, PYTHON, "-SIEc", BOMB, limits={"pids": 30}))
    current = Path(result["cgroup"]["pids"], "pids.current")
    until(lambda: int(current.read_text()) == 30, "the limit to be reached")
    pids = client.do("inspect", instance=instance)["pids"]
    assert client.do("kill", instance=instance)["processes"] == 0
    assert not any(alive(pid) for pid in pids)


@needs_root
def test_user_of_the_settings_and_data_that_changes_hands() -> None:
    made = Lab(users=["nobody", 64101], cgroups="none")
    try:
        client = made.start().client()
        first = client.do("start", **made.order("shop.1", "touch", f"{made.home}/data/shop/a", data=True))
        client.exited("shop.1")
        (made.home / "data/shop/deep").mkdir()
        (made.home / "data/shop/link").symlink_to("/etc/passwd")
        for entry in (made.home / "data/shop").iterdir():
            os.chown(entry, first["uid"], first["uid"], follow_symlinks=False)
        (made.home / "data/shop/roots").touch()
        second = client.do("start", **made.order("shop.2", "sleep", "100", user="64101", data=True))
        assert second["uid"] == 64101
        owners = {path.name: path.lstat().st_uid for path in (made.home / "data/shop").iterdir()}
        assert owners == {"a": 64101, "deep": 64101, "link": 64101, "roots": 0}
        assert os.stat("/etc/passwd").st_uid == 0
        third = client.do("start", **made.order("shop.3", "sleep", "100", user="nobody", data=True))
        nobody = pwd.getpwnam("nobody")
        status = Path(f"/proc/{third['pid']}/status").read_text()
        assert f"Gid:\t{nobody.pw_gid}\t" in status
    finally:
        made.close()


@needs_root
def test_nobody_runs_as_a_user_that_may_give_orders() -> None:
    """But for what noded itself has run. Without root everything is the launcher's own user's anyway."""
    made = Lab(users=["nobody", 64101], peers=["nobody", 64101], cgroups="none")
    try:
        client = made.start().client()
        for user in ("nobody", "65534", "64101"):
            kind, text = client.refused("start", **made.order("shop.1", "id", user=user))
            assert (kind, f"user {user} may give the launcher orders" in text) == ("refused", True), text
            run = made.order("noded-regenerat.1", "id", user=user, timeout=5)
            assert client.refused("run", **run)[0] == "refused"
        worker = made.order("noded-regenerate.1", "id", "-u", user="64101", timeout=5)
        assert client.do("run", **worker)["output"] == "64101\n"
    finally:
        made.close()


def test_descriptors_left_open_in_the_launcher_do_not_leak() -> None:
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)
    made = Lab(cgroups="none")
    try:
        client = made.start(pass_fds=[write_end]).client()
        result = client.do("start", **made.order("closed.1", "sleep", "100"))
        holds_only(result["pid"], "0", "1", "2")
    finally:
        made.close()
        os.close(read_end)
        os.close(write_end)
