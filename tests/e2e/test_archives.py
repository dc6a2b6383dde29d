"""Is what leaves a host free of secrets, and does what comes back run as it ran?"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import host as hosts
from tests.e2e.follow import Follower
from tests.e2e.ground import wait_for
from tests.e2e.host import Host
from tests.e2e.programs import WEB, lay

pytestmark = pytest.mark.e2e
SECRETS = (
    "zX81-of-the-gateway",
    "hUnter2-Sw0rdf1sh",
    "AKIAIOSFODNN7EXAMPLE",
    "pl41n-env-value",
    "MIIEvQIBADANBg",
)
GATEWAY, WORD, KEY, PLAIN, BLOCK = SECRETS
TALKATIVE = f"""
import os
print("connecting to postgres://shop:{WORD}@db/shop with", os.environ["SETTING"])
print("headers:", {{"Authorization": "Bearer {GATEWAY}"}}, "and {KEY}")
print("-----BEGIN PRIVATE KEY-----\\n{BLOCK}kqhkiG9w0BAQEFAASC\\n-----END PRIVATE KEY-----", flush=True)
{WEB}"""


@pytest.fixture(scope="module", autouse=True)
def nodes(host: Host, follower: Follower) -> None:
    head = f'env = {{ SETTING = "{PLAIN}", LOG_LEVEL = "info" }}'
    run = ("python3", "main.py", f"--token={WORD}")
    host.nodectl("apply", str(lay(host, "web", program=TALKATIVE, port=1, head=head, run=run)))
    host.nodectl("apply", str(lay(host, "resting", port=2)))
    host.nodectl("stop", "resting")


@pytest.fixture
def elsewhere() -> Iterator[Host]:
    made = hosts.make()
    try:
        made.start()
        yield made
    finally:
        made.close()


def test_no_secret_of_a_node_leaves_in_a_bundle(host: Host, tmp_path: Path) -> None:
    wait_for(lambda: "END PRIVATE KEY" in host.nodectl("logs", "web").stdout, "its output")
    blob = tmp_path / "bundle.tar.gz"
    host.nodectl("bundle", "-o", str(blob))
    assert blob.stat().st_mode & 0o777 == 0o600
    subprocess.run(["tar", "xzf", str(blob), "-C", str(tmp_path)], check=True, timeout=30)
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path != blob]
    for path in files:
        text = path.read_text()
        assert [secret for secret in SECRETS if secret in text] == [], path.name
    assert {path.name for path in files} >= {"status.json", "checks.json", "web.1.log", "web-1.0.0.json"}
    masked = json.loads((tmp_path / "masked.json").read_text())["masked"]
    assert set(masked) >= {"chronicle.jsonl", "logs/web.1.log", "manifests/web-1.0.0.json"}


def test_a_host_comes_back_elsewhere(host: Host, elsewhere: Host, tmp_path: Path) -> None:
    blob = tmp_path / "host.tar.gz"
    host.nodectl("backup", "-o", str(blob))
    torn = tmp_path / "torn.tar.gz"
    torn.write_bytes(blob.read_bytes()[:-100])
    refused = elsewhere.nodectl("restore", str(torn), check=False)
    assert (refused.returncode != 0, "not a backup, or cut off" in refused.stderr) == (True, True)
    assert json.loads(elsewhere.nodectl("-o", "json", "status").stdout).get("nodes", []) == []
    other_ports = elsewhere.nodectl("restore", str(blob), check=False)
    assert other_ports.returncode == 1, "the ports of the other host are not those of this one"
    assert "is outside the ports of this host" in other_ports.stdout
    host.nodectl("remove", "web", "--yes")
    host.nodectl("remove", "resting", "--yes")
    host.nodectl("restore", str(blob))
    wait_for(lambda: host.status("web")["condition"] == "running", "the node that ran")
    resting = host.status("resting")
    assert (resting["condition"], resting.get("instances", [])) == ("stopped", [])
    assert (host.state / "releases").is_dir()
    assert [path for path in host.state.iterdir() if path.name.startswith("restore-")] == []
