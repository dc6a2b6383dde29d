"""Do `releases`, `audit` and `-o wide|name` show everything, for people and for scripts?"""

import time
from typing import Any

import grpc
import pytest

from nodeapi.v1 import control_pb2 as pb
from tests.fakes.control import a_node, an_incident


def release(version: str, state: str, **fields: Any) -> pb.ReleaseStatus:
    given = {
        "digest": "sha256:" + "cd" * 32,
        "origin": "uid 0",
        "recorded_at": time.time() - 60,
        "size": 4096,
    }
    return pb.ReleaseStatus(node="catalog", version=version, state=state, **{**given, **fields})


@pytest.fixture
def known(desk: Any) -> None:
    releases = [
        release("1.5.0+heal.1", "candidate", origin="regenerator", signed=True),
        release("1.4.0", "running"),
        release("1.3.0", "removed", size=0),
    ]
    desk.control.answers["ListReleases"] = pb.ListReleasesResponse(releases=releases)


@pytest.mark.usefixtures("known")
def test_releases_as_a_table(desk: Any) -> None:
    assert [line.split() for line in desk("releases", "catalog").stdout.splitlines()] == [
        ["NODE", "VERSION", "STATE", "MADE", "BY", "SIZE", "RELEASE"],
        [
            "catalog",
            "1.5.0+heal.1",
            "candidate",
            "1m",
            "ago",
            "regenerator",
            "4.0",
            "KiB",
            "sha256:cdcdcdcdcdcd",
        ],
        ["catalog", "1.4.0", "running", "1m", "ago", "uid", "0", "4.0", "KiB", "sha256:cdcdcdcdcdcd"],
        ["catalog", "1.3.0", "removed", "1m", "ago", "uid", "0", "-", "sha256:cdcdcdcdcdcd"],
    ]
    assert desk.control.calls == [("ListReleases", pb.ListReleasesRequest(node="catalog"))]


@pytest.mark.usefixtures("known")
def test_releases_wide_by_name_and_as_json(desk: Any) -> None:
    wide = desk("releases", "-o", "wide").stdout.splitlines()
    assert wide[0].endswith("SIGNED") and "cd" * 32 in wide[1] and wide[1].endswith("yes")
    assert desk("releases", "-o", "name").stdout.splitlines() == [
        *("release/catalog/1.5.0+heal.1", "release/catalog/1.4.0", "release/catalog/1.3.0")
    ]
    assert [one["state"] for one in desk.json("releases")] == ["candidate", "running", "removed"]


def test_without_releases(desk: Any) -> None:
    desk.control.answers["ListReleases"] = pb.ListReleasesResponse()
    assert desk("releases").stdout == "no releases; the first one comes with: nodectl apply DIR\n"
    assert desk("releases", "catalog").stdout == "no releases of catalog\n"
    assert desk("releases", "-o", "name").stdout == ""
    desk.control.refusals["ListReleases"] = (grpc.StatusCode.NOT_FOUND, "no such node: shop")
    assert "cannot show the releases of shop: no such node" in desk("releases", "shop", expect=1).stderr


def test_status_by_name_is_for_scripts(desk: Any) -> None:
    desk.control.status.nodes.extend([a_node(), a_node("shop")])
    desk.control.status.host.degraded.append("no cgroups")
    assert desk("status", "-o", "name").stdout == "node/catalog\nnode/shop\n"
    assert desk("status", "shop", "-o", "name").stdout == "instance/shop.1\ninstance/shop.2\n"
    assert "not for --watch" in desk("status", "-w", "-o", "name", expect=2).stderr


def test_status_wide_has_more_columns(desk: Any) -> None:
    desk.control.status.nodes.extend(
        [a_node(), a_node("idle", instances=[], port=0, memory_limit=0, digest="")]
    )
    head, catalog, idle = (line.split() for line in desk("status", "-o", "wide").stdout.splitlines())
    assert head[-5:] == ["CPU", "LIMIT", "PORT", "UP", "RELEASE"]
    assert catalog[-8:] == ["14.6", "%", "256.0", "MiB", "8100", "2m", "5s", "sha256:abababababab"]
    assert idle[-4:] == ["-", "-", "-", "-"]
    # where there is no wider form it is the table
    assert desk("-o", "wide", "describe", "catalog").stdout == desk("describe", "catalog").stdout


def test_incidents_by_name_and_wide(desk: Any) -> None:
    desk.control.status.nodes.append(a_node(incident=an_incident(outcome="bought time")))
    assert desk("incidents", "-o", "name").stdout == "incident/i-3\n"
    assert desk("incidents", "catalog", "i-3", "-o", "name").stdout == "incident/i-3\n"
    head, row = desk("incidents", "-o", "wide").stdout.splitlines()
    assert head.endswith("GROWTH       FOUND AFTER  OUTCOME") and row.endswith(
        "5.0 MiB/min  1m 1s        bought time"
    )
    assert "not for --watch" in desk("incidents", "-w", "-o", "name", expect=2).stderr


def test_a_failed_node_and_an_alarmed_host_are_seen(desk: Any) -> None:
    desk.control.status.nodes.append(a_node(condition="failed", detail="20 crashes in 10 min"))
    host = desk.control.status.host
    host.alarms.append("the disk of the state folder is full")
    host.paused, host.paused_by = True, "the file /etc/noded/PAUSE"
    output = desk("status").stdout
    assert "failed" in output and "alarm: the disk of the state folder is full" in output
    assert "paused: noded only keeps processes alive; go on with: rm /etc/noded/PAUSE" in output


def test_audit(desk: Any) -> None:
    entries = [
        pb.AuditEntry(
            at=1_700_000_000.25, who="root (0)", role="admin", what="stop catalog", answer="accepted", pid=77
        ),
        pb.AuditEntry(at=1_700_000_001.0, who="anna (1000)", what="exec \x1b[2J id", answer="needs admin"),
    ]
    desk.control.answers["ReadAudit"] = pb.ReadAuditResponse(entries=entries)
    head, first, second = desk("audit", "-n", "2").stdout.splitlines()
    assert head.split() == ["WHEN", "WHO", "ROLE", "WHAT", "ANSWER"]
    assert ".250  root (0)     admin  stop catalog  accepted" in first
    assert second.endswith("anna (1000)  -      exec id       needs admin")
    assert desk.control.calls == [("ReadAudit", pb.ReadAuditRequest(limit=2))]
    assert [one["who"] for one in desk.json("audit")] == ["root (0)", "anna (1000)"]
    lines = [line.split() for line in desk("audit", "-o", "wide").stdout.splitlines()]
    assert [line[-1] for line in lines] == ["PID", "77", "-"]
    desk("audit", "-o", "name", expect=2)


def test_an_audit_that_was_tampered_with_says_so_and_fails(desk: Any) -> None:
    told = "the audit's chain is broken: before 1.jsonl:7 a line was changed or taken away"
    entries = [pb.AuditEntry(at=1_700_000_001.0, who="anna (1000)", what="stop catalog", answer="accepted")]
    for entry in (entries, []):
        desk.control.answers["ReadAudit"] = pb.ReadAuditResponse(entries=entry, broken=told)
        for words in ((), ("-o", "wide"), ("-o", "json")):
            result = desk("audit", *words, expect=1)
            assert f"nodectl: DO NOT TRUST THIS AUDIT: {told}\n" in result.stderr
            assert ("anna" in result.stdout) is bool(entry)


def test_an_empty_audit(desk: Any) -> None:
    desk.control.answers["ReadAudit"] = pb.ReadAuditResponse()
    assert desk("audit").stdout == "nobody has asked for anything yet\n"
    assert desk.json("audit") == []
