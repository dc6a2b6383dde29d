"""Do shells complete the words, and editors get the schemas?"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nodeapi.v1 import control_pb2 as pb
from nodeapi.v1 import mesh_pb2
from nodespec.host import schema as host_schema
from nodespec.reading import schema as node_schema
from tests.fakes.control import a_node, a_rollout

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("what", "schema"), [("node", node_schema), ("host", host_schema)])
def test_schemas_are_json_as_the_readers_say(desk: Any, what: str, schema: Any) -> None:
    found = json.loads(desk("schema", what).stdout)
    assert found.pop("$schema") == "https://json-schema.org/draft/2020-12/schema"
    assert found == json.loads(json.dumps(schema()))
    assert found["title"] == {"node": "node.toml", "host": "noded.toml"}[what]
    assert desk("schema", what, "-o", "json").stdout == desk("schema", what).stdout
    assert desk.control.calls == []


def test_a_schema_as_yaml(desk: Any) -> None:
    for what in ("node", "host"):
        assert desk.yaml("schema", what) == desk.json("schema", what)
        assert "*id0" not in desk("schema", what, "-o", "yaml").stdout, "an editor wants no references"


def completed(desk: Any, words: str) -> list[str]:
    """What the program says that bash may fill in for the last word."""
    parts = words.split(" ")
    done = subprocess.run(
        [sys.executable, "-m", "nodectl"],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ROOT}/daemon:{ROOT}/proto",
            "NODED_SOCKET_PATH": str(desk.socket),
            "_NODECTL_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(parts) - 1),
        },
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_commands_options_and_nodes_are_completed(desk: Any, tmp_path: Path) -> None:
    desk.control.status.nodes.extend([a_node(), a_node("cart"), a_node("shop")])
    assert completed(desk, "nodectl re") == ["releases", "restart", "reload", "remove", "resume", "restore"]
    assert completed(desk, "nodectl stop --no") == ["--no-wait"]
    assert completed(desk, "nodectl stop ca") == ["catalog", "cart"]
    flows = [mesh_pb2.Flow(type=type, consumer=name) for type in ("shop.paid", "web.seen") for name in "ab"]
    desk.control.answers["GetMap"] = mesh_pb2.MapReply(flows=flows)
    assert completed(desk, "nodectl events tail sh") == ["shop.paid"]
    assert completed(desk, "nodectl events replay --to ca") == ["catalog", "cart"]
    assert completed(desk, "nodectl events dead re") == ["requeue"]
    desk.control.status.nodes[0].past_rollouts.extend([a_rollout(id="catalog-r1"), a_rollout(id="other")])
    assert completed(desk, "nodectl rollout history catalog ca") == ["catalog-r1"]
    states = {"1.5.0": "running", "1.4.0": "kept", "1.3.0": "removed", "2.0": "kept"}
    kept = [pb.ReleaseStatus(version=version, state=state) for version, state in states.items()]
    desk.control.answers["ListReleases"] = pb.ListReleasesResponse(releases=kept)
    assert completed(desk, "nodectl rollout rollback catalog 1.") == ["1.5.0", "1.4.0"]
    assert completed(desk, "nodectl logs sh") == ["shop"]
    assert completed(desk, "nodectl schema ") == ["node", "host"]
    desk.control.silent.add("GetStatus")
    assert completed(desk, "nodectl stop ca") == []
    desk.socket = tmp_path / "none"
    assert completed(desk, "nodectl stop ca") == []
    assert completed(desk, "nodectl rollout history catalog ") == []
    assert completed(desk, "nodectl rollout rollback catalog ") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_what_is_printed_is_for_that_shell(desk: Any, shell: str) -> None:
    script = desk("completion", shell).stdout
    assert f"_NODECTL_COMPLETE={shell}_complete" in script
    found = shutil.which(shell)
    if found:
        subprocess.run([found, "-n"], input=script, text=True, timeout=10, check=True)
