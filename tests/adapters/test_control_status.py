"""Is every state of a node shown, in words an administrator knows?"""

from dataclasses import replace

import pytest

from nodeapi.v1 import control_pb2 as pb
from noded.adapters.control_status import Facts, host_status, node_status
from noded.model.incident import Record
from noded.model.incident import Stage as IncidentStage
from noded.model.instance import Phase, Role
from noded.model.liveness import Pressure
from noded.model.mesh import Mesh, Part
from noded.model.rollout import Step
from noded.model.state import Backoff, Desired, HostState, NodeState
from nodespec.manifest import Autonomy, Healing, Levels
from tests.runtime.nouns import DIGEST, NEXT, host, incident, instance, node, report, rollout, spec

FACTS = Facts("0.1.0", "v2", (), True)


def test_the_host() -> None:
    found = host_status(host(paused=True), FACTS)
    assert (found.name, found.version, found.paused, found.cgroups) == ("web1", "0.1.0", True, "v2")
    assert (found.proxy_up, found.launcher_up, found.started_at) == (True, True, 50.0)
    assert not host_status(HostState(), replace(FACTS, launcher_up=False)).launcher_up
    assert not host_status(HostState(), FACTS).proxy_up


def test_what_the_machine_has_and_what_is_wrong_with_it() -> None:
    facts = replace(FACTS, cores=2, pressure=Pressure(0.5, 0.0, -1.0), alarms=("the audit is broken",))
    state = host()
    found = host_status(replace(state, host=replace(state.host, memory=8 * 2**30)), facts)
    assert (found.memory, found.cores) == (8 * 2**30, 2)
    assert (found.pressure.cpu, found.pressure.memory, found.pressure.io) == (0.5, 0.0, -1.0)
    assert list(found.alarms) == ["the audit is broken"]
    away = host_status(HostState(), facts)
    assert list(away.alarms) == [
        "the proxy does not answer: no request reaches a node, no share can be changed",
        "the audit is broken",
    ]


@pytest.mark.parametrize(
    ("paused", "held", "by"),
    [
        (False, False, ""),
        (True, False, "nodectl pause --host"),
        (False, True, "the file /etc/noded/PAUSE"),
        (True, True, "nodectl pause --host and the file /etc/noded/PAUSE"),
    ],
)
def test_by_whom_it_is_paused(paused: bool, held: bool, by: str) -> None:
    facts = replace(FACTS, pause_file="/etc/noded/PAUSE")
    found = host_status(host(paused=paused, held=held), facts)
    assert (found.paused, found.paused_by) == (bool(by), by)


DOWN = Backoff(3, 500.0, "catalog.2 exited: code 1")
ADVISED = spec(healing=Healing(autonomy=Levels(restart=Autonomy.ADVISE)))
CONDITIONS: list[tuple[NodeState, str, str]] = [
    (node("catalog", instance()), "running", ""),
    (node("catalog"), "starting", "0 of 1 instances are ready"),
    (node("catalog", instance(phase=Phase.STARTING)), "starting", "0 of 1 instances are ready"),
    (node("catalog", instance(role=Role.SPARE)), "starting", "0 of 1 instances are ready"),
    (node("catalog", backoff=Backoff(1, 0.0, "it fell")), "starting", "it fell"),
    (node("catalog", backoff=DOWN), "backing off", "catalog.2 exited: code 1"),
    (node("catalog", instance(), backoff=DOWN), "running", ""),
    (
        node("catalog", backoff=replace(DOWN, failures=10)),
        "failed",
        "10 failures in a row, the last: catalog.2 exited: code 1; nodectl start catalog tries at once",
    ),
    (node("catalog", instance(), backoff=replace(DOWN, failures=10)), "running", ""),
    (
        node("catalog", backoff=replace(DOWN, failures=10), desired=Desired.STOPPED),
        "stopped",
        "",
    ),
    (node("catalog", preparing=DIGEST), "starting", "the commands of [node] before are running"),
    (
        node("catalog", awaited=7),
        "starting",
        "noded-mesh is to take its subscriptions first; if it stays so: systemctl status noded-mesh",
    ),
    (node("catalog", preparing=NEXT), "starting", "0 of 1 instances are ready"),
    (node("catalog", desired=Desired.STOPPED), "stopped", ""),
    (node("catalog", instance(), desired=Desired.STOPPED), "stopping", "1 instance is on the way out"),
    (node("catalog", instance(), rollout=rollout()), "rolling out", "1.5.0 at 10%"),
    (
        node("catalog", instance(), rollout=rollout(paused=True)),
        "rolling out",
        "1.5.0 at 10%, held by a person",
    ),
    (
        node("catalog", instance(), rollout=rollout(frozen="it is worse", now=Step(0.0005, 210.0))),
        "rolling out",
        "1.5.0 at 0.05%, frozen: a person decides",
    ),
    (
        node("catalog", instance(), healing=Record(incident())),
        "running",
        "memory grows 5.0 MiB/min, the limit in 40 min",
    ),
    (node("catalog", instance(), healing=Record(incident(stage=IncidentStage.RESOLVED))), "running", ""),
    (
        node("catalog", backoff=DOWN, spec=ADVISED),
        "down",
        "catalog.2 exited: code 1; autonomy restart is not act: nodectl start catalog",
    ),
]


@pytest.mark.parametrize(
    ("state", "condition", "detail"), CONDITIONS, ids=[c[1] + c[2][:9] for c in CONDITIONS]
)
def test_a_condition(state: NodeState, condition: str, detail: str) -> None:
    found = node_status(state, 300.0)
    assert (found.condition, found.detail) == (condition, detail)


def test_a_node_and_its_instances() -> None:
    older = instance("catalog.1", created_at=50.0)
    newer = instance("catalog.2", created_at=60.0, role=Role.SPARE, process=None)
    found = node_status(node("catalog", newer, older, restarts=2, paused=True), 300.0, "[node]\n")
    assert (found.name, found.version, found.port, found.restarts, found.paused) == (
        "catalog",
        "1.4.0",
        8100,
        2,
        True,
    )
    assert (found.memory_limit, found.manifest) == (256 * 2**20, "[node]\n")
    assert [(i.id, i.role, i.phase, i.pid) for i in found.instances] == [
        ("catalog.1", "stable", "ready", 4711),
        ("catalog.2", "spare", "ready", 0),
    ]
    first = found.instances[0]
    assert (first.memory, first.fds, first.threads, first.requests, first.bad) == (
        32 * 2**20,
        23,
        4,
        12_345,
        3,
    )
    assert (first.cpu_share, first.loop_lag, first.started_at) == (0.073, 0.0012, 50.0)
    assert node_status(node(spec=spec(serves=None)), 1.0).port == 0


def test_an_incident() -> None:
    found = node_status(node(healing=Record(incident(), (incident(id="catalog-0"),))), 300.0)
    held = found.incident
    assert (held.id, held.signature, held.state) == ("catalog-1", "memory-growth", "watching the effect")
    assert [(r.rung, r.verdict, r.freed) for r in held.rungs] == [("collect", "did not hold", 1_200_000)]
    assert [(s.file, s.line, s.bytes) for s in held.sites] == [("catalog/quotes.py", 41, 1_234_567)]
    made = held.regeneration
    assert (made.generator, made.verdict, made.diff_lines) == ("boundcache", "candidate", 7)
    assert [(g.name, g.passed) for g in made.gates] == [("tests", True), ("load", True)]
    assert [old.id for old in found.past_incidents] == ["catalog-0"]
    assert not node_status(node(), 1.0).HasField("incident")


@pytest.mark.parametrize("lines", [-1, 2**32, 2**70])
def test_a_number_of_the_worker_does_not_hide_the_node(lines: int) -> None:
    found = node_status(node(healing=Record(incident(report=report(diff_lines=lines)))), 1.0)
    assert found.incident.regeneration.diff_lines in (0, 2**32 - 1)


def test_a_canary_is_shown_with_its_version() -> None:
    canary = instance("catalog.2", role=Role.CANARY, digest=NEXT, version="1.5.0")
    found = node_status(node("catalog", instance(), canary, rollout=rollout()), 220.0)
    assert [(i.role, i.version) for i in found.instances] == [("stable", "1.4.0"), ("canary", "1.5.0")]
    assert isinstance(found, pb.NodeStatus)
    assert found.SerializeToString()


def test_a_mesh_is_missed_only_where_there_are_events() -> None:
    def alarms(state: HostState) -> list[str]:
        return [text for text in host_status(state, FACTS).alarms if "noded-mesh" in text]

    speaking = node("catalog", part=Part())
    assert alarms(host(node("catalog"))) == []
    (away,) = alarms(host(speaking))
    assert "does not answer" in away and "systemctl status noded-mesh" in away
    assert alarms(host(speaking, mesh=Mesh("m", 3, 3))) == []
    assert "too long" in alarms(host(speaking, mesh=Mesh("m", 3, 2, problem="too long")))[0]
