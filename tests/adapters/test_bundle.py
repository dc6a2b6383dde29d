"""Is everything in a bundle that a helper needs, nothing in it that is secret, and all within its size?"""

import io
import json
import os
import random
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest

from nodeapi.v1 import control_pb2 as pb
from noded.adapters import bundle as bundles
from noded.adapters.node_logs import NodeLogs
from noded.ports import Entry
from tests.adapters.looped import looped
from tests.adapters.office import Office, code_of, offices, opened
from tests.runtime.nouns import host, instance, node, release, spec

SECRETS = ("hUnter2-Sw0rdf1sh", "AKIAIOSFODNN7EXAMPLE", "zX81-of-the-gateway", "pl41n-env-value")
ONE, KEY, GATEWAY, PLAIN = SECRETS
MANIFEST = f"""
[node]
name = "catalog"
version = "1.4.0"
run = ["python3", "app.py", "--api-token", "{ONE}"]
env = {{ LOG_LEVEL = "info", ANYTHING = "{PLAIN}" }}
secrets = {{ GATEWAY = "file:/etc/catalog/key" }}
"""
BLOCK = "-----BEGIN RSA PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END RSA PRIVATE KEY-----"


@pytest.fixture
def office() -> Iterator[Office]:
    made = offices()
    one = next(made)
    digest = "sha256:" + "ab" * 32
    held = spec(env=(("LOG_LEVEL", "info"), ("ANYTHING", PLAIN)))
    one.state = host(
        node("catalog", instance("catalog.2"), release=release(digest=digest), spec=held), node("basket")
    )
    folder = one.releases.path(digest)
    folder.mkdir()
    (folder / "node.toml").write_text(MANIFEST)
    (one.folder / "policy.toml").write_text('[roles]\nadmin = ["user:anna"]\n')
    (one.folder / "noded.toml").write_text(f'[nodes]\nenv = {{ DSN = "postgres://x:{ONE}@db/shop" }}\n')
    yield one
    yield from made


async def read(office: Office, only: str = "") -> tuple[dict[str, str], bytes]:
    async with opened(office) as stub:
        parts = [one.chunk async for one in stub.Bundle(pb.BundleRequest(node=only), timeout=30)]
    assert all(len(part) <= 64 * 1024 for part in parts)
    blob = b"".join(parts)
    with tarfile.open(fileobj=io.BytesIO(blob)) as tar:
        members = tar.getmembers()
        assert len({member.name for member in members}) == len(members)
        assert {(member.mode, member.uid, member.isfile()) for member in members} == {(0o600, 0, True)}
        return {member.name: tar.extractfile(member).read().decode() for member in members}, blob  # type: ignore[union-attr]


def plant(office: Office) -> None:
    """Each secret in each kind of place."""
    lines = [
        f"GET /?access_token={ONE} 200",
        f"postgres://anna:{ONE}@db/shop",
        f"Authorization: Bearer {ONE}",
        f"using {KEY}",
        f"the gateway said password={GATEWAY}",
        f"reached it with {PLAIN}",
        BLOCK,
    ]
    office.write_log("catalog.2", ("\n".join(lines) + "\nall is well\n").encode())
    body = {"spec": {"env": [["ANYTHING", PLAIN], ["LOG_LEVEL", "info"]]}, "token": GATEWAY, "run": lines}
    office.chronicle.add(
        [
            Entry(
                1.0,
                "catalog",
                "",
                "action",
                "StartInstance",
                f"started with password={ONE}",
                json.dumps(body),
            ),
            Entry(2.0, "basket", "", "input", "InstanceExited", "code 1", "{}"),
        ]
    )
    ring = office.folder / "ring"
    ring.mkdir()
    segment = [
        json.dumps({"build": "b", "state": body}),
        f"I {json.dumps(['ApplyRequested', body])}",
        "A torn {",
    ]
    (ring / "00000001.jsonl").write_text("old\n")
    (ring / "00000002.jsonl").write_text("\n".join(segment) + "\n")


@looped
async def test_no_planted_secret_is_in_any_file(office: Office) -> None:
    plant(office)
    files, _ = await read(office)
    for name, text in files.items():
        for secret in (*SECRETS, "MIIEvQIBADANBg"):
            assert secret not in text, f"{secret} in {name}"
    told = json.loads(files["masked.json"])
    assert told["left out"] == []
    assert set(told["masked"]) >= {
        "chronicle.jsonl",
        "journal/00000002.jsonl",
        "logs/catalog.2.log",
        "manifests/catalog-1.4.0.json",
        "noded.json",
    }
    assert told["masked"]["logs/catalog.2.log"]["key block"] >= 1
    assert told["masked"]["manifests/catalog-1.4.0.json"]["environment"] == 1


@looped
async def test_what_a_helper_needs_is_there_and_can_be_read(office: Office) -> None:
    plant(office)
    files, _ = await read(office)
    status = json.loads(files["status.json"])
    assert [one["name"] for one in status["nodes"]] == ["basket", "catalog"]
    assert status["host"]["name"] == "web1"
    manifest = json.loads(files["manifests/catalog-1.4.0.json"])["node"]
    assert manifest["env"] == {"LOG_LEVEL": "info", "ANYTHING": "***"}
    assert manifest["run"] == ["python3", "app.py", "--api-token", "***"]
    assert json.loads(files["policy.json"]) == {"roles": {"admin": ["user:anna"]}}
    entries = [json.loads(line) for line in files["chronicle.jsonl"].splitlines()]
    assert [(e["node"], e["name"]) for e in entries] == [
        ("catalog", "StartInstance"),
        ("basket", "InstanceExited"),
    ]
    assert entries[0]["body"]["spec"]["env"] == [["ANYTHING", "***"], ["LOG_LEVEL", "info"]]
    assert files["logs/catalog.2.log"].endswith("all is well\n")
    header, first, torn = files["journal/00000002.jsonl"].splitlines()
    assert json.loads(header)["build"] == "b"
    assert json.loads(first.removeprefix("I "))[0] == "ApplyRequested"
    assert torn.startswith("A ")
    assert json.loads(files["about.json"])["build"] == "0.1.0-abc"
    assert {check["name"] for check in json.loads(files["checks.json"])["checks"]} >= {"kernel", "proxy"}


@looped
async def test_of_one_node_alone(office: Office) -> None:
    plant(office)
    office.write_log("basket.1", b"mine\n")
    files, _ = await read(office, "catalog")
    assert [one["name"] for one in json.loads(files["status.json"])["nodes"]] == ["catalog"]
    assert "logs/basket.1.log" not in files
    assert "InstanceExited" not in files["chronicle.jsonl"]


@looped
async def test_logs_are_those_of_the_newest_instances_and_their_newest_lines(office: Office) -> None:
    for number in range(1, 6):
        office.write_log(f"catalog.{number}", b"old\n" + b"x" * 200 * 5000 + b"\n" + b"new line\n" * 70_000)
    files, _ = await read(office, "catalog")
    logs = sorted(name for name in files if name.startswith("logs/"))
    assert logs == ["logs/catalog.3.log", "logs/catalog.4.log", "logs/catalog.5.log"]
    assert files[logs[0]] == "new line\n" * 5000


def test_it_stays_within_its_size_and_says_what_was_left_out(office: Office) -> None:
    ring = office.folder / "ring"
    ring.mkdir()
    (ring / "00000001.jsonl").write_text("x" * (9 * 1024 * 1024))
    letters = random.Random(7).randbytes(450_000).hex().encode()
    lines = b"\n".join(letters[at : at + 200] for at in range(0, len(letters), 200)) + b"\n"
    for serial in (1, 2, 3):
        office.write_log(f"catalog.{serial}", lines)
    contents = bundles.Contents({}, {}, (), (), ("catalog",), NodeLogs(office.folder / "logs"), ring)
    blob, most = io.BytesIO(), 2 * 1024 * 1024 + 100_000
    bundles.write_bundle(blob, 0.0, contents, most)
    blob.seek(0)
    with tarfile.open(fileobj=blob) as tar:
        sizes = {member.name: member.size for member in tar.getmembers()}
        told = json.load(tar.extractfile("masked.json"))  # type: ignore[arg-type]
    assert set(sizes) == {"chronicle.jsonl", "logs/catalog.2.log", "logs/catalog.3.log", "masked.json"}
    assert told["left out"] == [
        "journal/00000001.jsonl: larger than 8388608 bytes",
        "logs/catalog.1.log: the bundle is full",
    ]
    assert sum(sizes.values()) <= most + sizes["masked.json"]


@looped
async def test_what_cannot_be_read_is_left_out_and_said(office: Office) -> None:
    path = office.write_log("catalog.2", b"x\n")
    path.unlink()
    path.symlink_to("/etc/hostname")
    (office.folder / "policy.toml").unlink()
    (office.folder / "noded.toml").write_text(f"[broken\ntoken = '{ONE}'\n")
    files, _ = await read(office)
    told = json.loads(files["masked.json"])["left out"]
    assert any(line.startswith("logs/catalog.2.log: cannot read the output") for line in told)
    assert "policy.json: No such file or directory" in told
    assert ONE not in files["noded.json"]


@looped
async def test_refused(office: Office) -> None:
    async with opened(office) as stub:
        bad = await code_of(stub.Bundle(pb.BundleRequest(node="No"), timeout=5))
        missing = await code_of(stub.Bundle(pb.BundleRequest(node="nobody"), timeout=5))
    assert bad == ("INVALID_ARGUMENT", "not a node's name: 'No'")
    assert missing == ("NOT_FOUND", "no such node: nobody")


@looped
async def test_a_client_that_leaves_hinders_nobody_after_it(office: Office) -> None:
    plant(office)
    office.write_log("catalog.2", os.urandom(400_000).hex().encode() + b"\n")
    async with opened(office) as stub:
        for _ in range(3):
            call: Any = stub.Bundle(pb.BundleRequest(), timeout=30)
            await call.read()
            call.cancel()
        parts = [one async for one in stub.Bundle(pb.BundleRequest(), timeout=30)]
    assert parts
    assert sorted(os.listdir(office.folder)) == sorted({*os.listdir(office.folder)} - {"noded-bundle"})
