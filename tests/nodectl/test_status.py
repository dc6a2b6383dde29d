"""Do `status`, `describe` and `-w` show what noded says?"""

import json
import re
import time
from typing import Any

import grpc
import pytest

from nodeapi.v1 import control_pb2 as pb
from tests.fakes.control import a_node, a_rollout, an_incident, an_instance


def test_the_table_has_one_row_per_node(desk: Any) -> None:
    desk.control.status.nodes.extend(
        [
            a_node(),
            a_node("payment", condition="backing off", restarts=4, incident=an_incident(), instances=[]),
            a_node("shop", rollout=a_rollout(), paused=True),
        ]
    )
    assert [re.split(r"  +", line) for line in desk("status").stdout.splitlines()] == [
        ["NODE", "VERSION", "STATE", "INSTANCES", "MEMORY", "REQUESTS", "RESTARTS"],
        ["catalog", "1.4.0", "running", "2/2 ready", "62.8 MiB", "12,345", "0"],
        ["payment", "1.4.0", "backing off, memory-growth", "0/0 ready", "0 B", "0", "4"],
        ["shop", "1.4.0 -> 1.5.0 (10 %)", "running, paused", "2/2 ready", "62.8 MiB", "12,345", "0"],
    ]


def test_an_incident_that_is_over_is_no_state(desk: Any) -> None:
    desk.control.status.nodes.append(a_node(incident=an_incident(closed_at=time.time())))
    assert "memory-growth" not in desk("status").stdout


def test_failed_requests_stand_beside_all(desk: Any) -> None:
    desk.control.status.nodes.append(a_node(instances=[an_instance("catalog.1", requests=2000, bad=17)]))
    assert "2,000 (17 failed)" in desk("status").stdout


def test_a_host_without_nodes_says_what_to_do(desk: Any) -> None:
    assert desk("status").stdout == "no nodes; the first one comes with: nodectl apply DIR\n"


def test_what_is_wrong_with_the_host_is_told(desk: Any) -> None:
    host = desk.control.status.host
    host.paused, host.proxy_up, host.launcher_up = True, False, False
    host.degraded.append("no cgroups: memory is not limited")
    output = desk("status").stdout
    for said in (
        "nodectl resume --host",
        "the proxy is down",
        "noded-launcher is down",
        "no cgroups: memory",
    ):
        assert said in output


def test_many_missing_protections_take_one_line(desk: Any) -> None:
    names = ["whole-tree kill", "memory limits", "users"]
    desk.control.status.host.degraded.extend(f"{name}: Permission denied: /sys" for name in names)
    (line,) = (line for line in desk("status").stdout.splitlines() if line.startswith("this host: "))
    assert line == (
        "this host: 3 protections are missing: whole-tree kill, memory limits, users; why: nodectl doctor"
    )
    assert len(desk.json("status")["host"]["degraded"]) == 3


def test_one_node_is_shown_with_its_instances(desk: Any) -> None:
    desk.control.status.nodes.extend([a_node(), a_node("shop")])
    output = desk("status", "shop").stdout
    assert "shop.1" in output and "spare" in output and "catalog" not in output


@pytest.mark.parametrize("condition", ["starting", "backing off", "down", "failed"])
def test_one_that_does_not_run_says_why(desk: Any, condition: str) -> None:
    why = "migrate came before 1.4.0 and ended with code 1: nodectl explain -v shop"
    desk.control.status.nodes.append(a_node("shop", condition=condition, detail=why, instances=[]))
    for command in ("status", "describe"):
        assert why in desk(command, "shop").stdout
    assert why not in desk("status").stdout


@pytest.mark.parametrize("command", ["status", "describe"])
def test_an_unknown_node_fails(desk: Any, command: str) -> None:
    stderr = desk(command, "shop", expect=1).stderr
    assert stderr.endswith(" shop: no such node\ntry: nodectl status\n")


def test_the_page_of_a_node_has_everything(desk: Any) -> None:
    past = a_rollout(id="r-5", phase="rolled back", ended_at=time.time(), reason="5 % of its requests fail")
    desk.control.status.nodes.append(
        a_node(
            detail="one instance starts",
            paused=True,
            restarts=3,
            rollout=a_rollout(done=[pb.StepStatus(share=0.05, seconds=9, canary_requests=200, canary_bad=1)]),
            past_rollouts=[past],
            incident=an_incident(),
            past_incidents=[an_incident(id="i-1", state="resolved", closed_at=time.time())],
            manifest='[node]\nname = "catalog"\n',
        )
    )
    output = desk("describe", "catalog").stdout
    for said in (
        *(
            "one instance starts",
            "sha256:abab",
            "port 8100",
            "62.8 MiB in 2 instances, at most 256.0 MiB each",
        ),
        *(
            "nodectl resume catalog",
            "Instances",
            "catalog.2",
            "1.2ms",
            "7.3 %",
            "Rollout\n",
            "step 1 of 3, share 10 %",
        ),
        *(
            "5 % (9s, 200 requests, 1 bad); [50 %]; 100 %",
            "Incident\n",
            "catalog/prices.py:41",
            "Past rollouts",
        ),
        *("5 % of its requests fail", "Past incidents", "i-1", "Manifest", '  name = "catalog"'),
    ):
        assert said in output, said


def test_json_has_the_fields_of_the_contract(desk: Any) -> None:
    desk.control.status.nodes.append(a_node(rollout=a_rollout(started_at=1_700_000_000.25)))
    found = desk.json("status")
    assert list(found) == ["host", "nodes"]
    (node,) = found["nodes"]
    assert list(node) == [field.name for field in pb.NodeStatus.DESCRIPTOR.fields]
    assert node["memory_limit"] == 256 * 2**20 and node["instances"][0]["requests"] == 12345
    assert node["incident"] is None and node["past_rollouts"] == []
    assert node["rollout"]["started_at"] == 1_700_000_000.25
    assert node["rollout"]["ended_at"] is None
    assert desk.yaml("status") == found
    assert desk.json("describe", "catalog") == node


def test_watching_appends_what_changes_and_ends_in_time(desk: Any) -> None:
    desk.control.status.nodes.extend([a_node(), a_node("shop")])
    lines = [
        line.split("  ", 1)[1] for line in desk("status", "-w", "--timeout", "300ms").stdout.splitlines()
    ]
    assert len(lines) == 2 and lines[0].startswith("catalog  1.4.0  running")


def test_watching_as_json_gives_an_object_per_line(desk: Any) -> None:
    desk.control.status.nodes.append(a_node())
    lines = desk("status", "-w", "--timeout", "300ms", "-o", "json").stdout.splitlines()
    assert [json.loads(line)["nodes"][0]["name"] for line in lines] == ["catalog"]


def test_a_watch_outlives_a_restart_of_noded(desk: Any) -> None:
    desk.control.status.nodes.append(a_node())
    desk.control.cut_watches = True
    result = desk("status", "-w", "--timeout", "1s")
    assert result.stderr == "noded is away; waiting for it\nnoded is back\n"
    assert len([name for name, _ in desk.control.calls if name == "WatchStatus"]) == 2


def test_a_watch_that_never_began_fails_at_once(desk: Any) -> None:
    desk.control.refusals["WatchStatus"] = (grpc.StatusCode.UNAVAILABLE, "starting")
    assert "cannot reach noded" in desk("status", "-w", expect=4).stderr
