"""Who may ask what of noded, and what do others find at its doors?"""

import json
import os
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.follow import Follower
from tests.e2e.ground import program, wait_for
from tests.e2e.host import Host
from tests.e2e.programs import lay

pytestmark = pytest.mark.e2e
SOMEBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as somebody else")


@pytest.fixture(scope="module", autouse=True)
def web(host: Host, follower: Follower) -> None:
    host.nodectl("apply", str(lay(host, "web", port=1, head="spares = 1")))


@as_root
@pytest.mark.parametrize("words", ["status", "describe web", "explain web", "incidents", "version"])
def test_everybody_may_look(host: Host, words: str) -> None:
    done = host.nodectl_of(SOMEBODY, *words.split())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@as_root
def test_everybody_may_plan(host: Host) -> None:
    folder = lay(host, "web", "1.1.0", port=1)
    assert host.nodectl_of(SOMEBODY, "plan", str(folder)).returncode == 3


@as_root
@pytest.mark.parametrize(
    "words",
    ["stop web", "remove -y web", "restart web", "pause --host", "logs web", "rollout abort web", "apply"],
)
def test_only_administrators_give_orders(host: Host, follower: Follower, words: str) -> None:
    folder = [str(lay(host, "web", "1.1.0", port=1))] if words == "apply" else []
    done = host.nodectl_of(SOMEBODY, *words.split(), *folder)
    assert done.returncode == 5
    assert f"uid {SOMEBODY} may not call" in done.stderr
    node = follower.now("web")
    assert (node["condition"], node["version"], node["restarts"]) == ("running", "1.0.0", 0)


def test_a_noded_that_is_away_is_told_with_4(host: Host, tmp_path: Path) -> None:
    elsewhere = host.nodectl("--socket", str(tmp_path / "none.sock"), "status", check=False)
    assert (elsewhere.returncode, "No such file or directory" in elsewhere.stderr) == (4, True)
    host.kill("noded")
    try:
        for words in (("status",), ("stop", "web")):
            done = host.nodectl(*words, check=False)
            assert (done.returncode, "nobody listens there" in done.stderr) == (4, True)
            assert "try: systemctl start noded" in done.stderr
    finally:
        host.start_noded()


def noded(host: Host, config: Path) -> subprocess.CompletedProcess[str]:
    command = [host.python, "-m", "noded", "--config", str(config)]
    return subprocess.run(
        command, capture_output=True, text=True, env=host.env(), timeout=30, check=False, cwd=host.folder
    )


def test_a_second_noded_on_the_same_state_is_refused_with_the_pid_of_the_first(host: Host) -> None:
    done = noded(host, host.folder / "etc/noded.toml")
    pid = host.running["noded"].pid
    assert done.returncode == 1
    assert f"another noded (pid {pid}) works there" in done.stderr
    assert "Traceback" not in done.stderr
    host.nodectl("status")


def test_all_mistakes_of_noded_toml_are_told_at_once(host: Host, tmp_path: Path) -> None:
    config = tmp_path / "noded.toml"
    config.write_text(
        '[paths]\nstate = "relative"\nlauncherr = "/run/x"\n'
        '[proxy]\nports = ["99999"]\n[control]\nadmins = ["root"]\n[tls]\n'
        '[nodes]\nenv = { NODED_NODE = "x" }\n'
    )
    done = noded(host, config)
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    for told in (
        'paths.state: expected an absolute path, got "relative"',
        "paths.launcherr: unknown key; nearest known key: paths.launcher",
        "proxy.ports: expected a list of port ranges",
        "control.admins: expected a list of uids",
        "tls: not yet supported",
        "nodes.env: expected a table of environment variables",
    ):
        assert any(told in line for line in lines), f"{told} not in\n{done.stderr}"
    missing = noded(host, tmp_path / "none.toml")
    assert (missing.returncode, "cannot be read: No such file or directory" in missing.stderr) == (2, True)
    broken = tmp_path / "broken.toml"
    broken.write_text("[paths\n")
    assert (noded(host, broken).returncode, "not valid TOML" in noded(host, broken).stderr) == (2, True)


ASKS = """
import json, sys
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

with grpc.insecure_channel(f"unix:{sys.argv[1]}") as channel:
    health = health_pb2_grpc.HealthStub(channel)
    state = health.Check(health_pb2.HealthCheckRequest(service=""), timeout=10).status
    mirror = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    (answer,) = mirror.ServerReflectionInfo(iter([asked]), timeout=10)
    names = [service.name for service in answer.list_services_response.service]
    method = channel.unary_unary("/nodeapi.v1.ControlService/NoSuchCall")
    try:
        method(b"", timeout=10)
        code = "OK"
    except grpc.RpcError as error:
        code = error.code().name
print(json.dumps([state, sorted(names), code]))
"""


def test_health_and_reflection_answer_on_the_control_socket(host: Host) -> None:
    command = [host.python, "-c", ASKS, str(host.control)]
    done = subprocess.run(command, capture_output=True, text=True, env=host.env(), timeout=40, check=False)
    assert done.returncode == 0, done.stderr
    state, names, code = json.loads(done.stdout)
    assert state == 1, "SERVING"
    assert {"grpc.health.v1.Health", "nodeapi.v1.ControlService"} < set(names)
    assert code == "UNIMPLEMENTED"


def metrics(host: Host) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{host.metrics_port}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def test_metrics_say_what_status_says_and_pass_promtool(host: Host, follower: Follower) -> None:
    wait_for(lambda: 'role="spare"' in metrics(host), "both instances")
    text = metrics(host)
    assert 'noded_instance_memory_bytes{instance="web.' in text
    assert "noded_proxy_up 1.0" in text
    checked = subprocess.run(
        [str(program("promtool")), "check", "metrics"],
        input=text,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_the_parts_of_the_control_socket_lie_closed(host: Host) -> None:
    private = host.control.with_name("control.sock.private")
    assert private.stat().st_mode & 0o777 == 0o700
    assert (host.state / "lock").stat().st_mode & 0o077 == 0
