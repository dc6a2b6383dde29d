"""Is what Prometheus reads well-formed, named as Prometheus wants, and true?"""

import re
import subprocess
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from noded.adapters.control_status import Facts
from noded.adapters.prometheus import StateCollector, serve
from noded.model.incident import Incident, Record, Tried, Verdict
from noded.model.instance import Phase, Role
from noded.model.liveness import Pressure
from noded.model.mesh import Mesh, Part, Subscription
from noded.model.rollout import Evidence, Stage, Step, Tally
from noded.model.state import GIVEN_UP, Backoff, HostState
from noded.ports import Refused
from nodespec.manifest import Rung
from tests.ports import free_ports
from tests.runtime.nouns import host, incident, instance, node, rollout

PROMTOOL = Path(__file__).parents[2] / ".tools/bin/promtool"


def tried(rung: Rung, verdict: Verdict) -> Tried:
    return Tried(rung, verdict, 1.0, 1.0, 0, 0.0, "")


def full() -> HostState:
    steps = (
        tried(Rung.COLLECT, Verdict.DID_NOT_HOLD),
        tried(Rung.SHRINK, Verdict.SKIPPED),
        tried(Rung.REPLACE, Verdict.BOUGHT_TIME),
    )
    past: tuple[Incident, ...] = (incident(tried=steps[:1]),)
    catalog = node(
        "catalog",
        instance("catalog.1"),
        instance("catalog.2", role=Role.SPARE),
        instance("catalog.3", phase=Phase.STARTING),
        rollout=rollout(),
        past_rollouts=(rollout(stage=Stage.PROMOTED), rollout(stage=Stage.ROLLED_BACK)),
        healing=Record(incident(tried=steps), past),
        totals={
            "collect/did not hold": 2,
            "replace/bought time": 1,
            "rollout/promoted": 1,
            "rollout/rolled back": 1,
        },
        restarts=4,
    )
    return host(catalog, node("basket"))


FACTS = Facts("0.1.0", "v2", (), True, pressure=Pressure(0.25, 0.0, -1.0))


def text_of(state: HostState, facts: Facts = FACTS) -> str:
    registry = CollectorRegistry()
    registry.register(StateCollector(lambda: state, '0.1.0"\n', lambda: facts))
    return generate_latest(registry).decode()


@pytest.mark.skipif(not PROMTOOL.exists(), reason="make setup brings promtool")
@pytest.mark.parametrize("state", [HostState(), full()], ids=["empty", "full"])
def test_promtool_has_nothing_to_say(state: HostState) -> None:
    done = subprocess.run(
        [PROMTOOL, "check", "metrics"], input=text_of(state), capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def values(text: str) -> dict[str, float]:
    found = re.findall(r"^([a-z_]+(?:\{.*\})?) (\S+)$", text, flags=re.MULTILINE)
    return {name: float(value) for name, value in found}


def test_what_is_told() -> None:
    found = values(text_of(full()))
    one = '{instance="catalog.1",node="catalog",role="stable"}'
    assert found[f"noded_instance_memory_bytes{one}"] == 32 * 2**20
    assert found[f"noded_instance_cpu_cores{one}"] == 0.073
    assert found[f"noded_instance_loop_lag_seconds{one}"] == 0.0012
    assert found[f"noded_instance_requests_total{one}"] == 12_345
    assert found[f"noded_instance_bad_requests_total{one}"] == 3
    of = '{node="catalog"}'
    assert found[f"noded_node_instances_wanted{of}"] == 1
    assert found[f"noded_node_instances_ready{of}"] == 1
    assert found['noded_node_instances_ready{node="basket"}'] == 0
    assert found[f"noded_node_restarts_total{of}"] == 4
    assert found[f"noded_node_incidents_open{of}"] == 1
    assert found[f"noded_node_memory_limit_bytes{of}"] == 256 * 2**20
    assert found[f"noded_rollout_share_ratio{of}"] == 0.1
    assert found[f"noded_rollout_rollback_evidence{of}"] == 0.4
    assert found['noded_rollouts_total{node="catalog",outcome="promoted"}'] == 1
    assert found['noded_rollouts_total{node="basket",outcome="rolled_back"}'] == 0
    assert found["noded_proxy_up"] == 1


def test_a_rollout_is_told_by_version_and_signal() -> None:
    of = '{node="catalog"}'
    steps = (
        Step(0.1, 210.0, 10.0, 120, 1, 1000, 2, Tally(7, 1, 60, 2)),
        Step(0.25, 220.0, 10.0, 30, 0, 90, 1, Tally(3, 0, 9, 0)),
    )
    now = rollout(
        done=steps[:1],
        now=steps[1],
        at_step=1,
        evidence=(Evidence("errors", 2.5, 0.5), Evidence("slow-99", 0.25, 0.1)),
        frozen="it was found to be worse",
    )
    part = Part((), (Subscription("shop.placed", False),), (), "1.4.0", "1.5.0", 0.25)
    found = values(text_of(host(node("catalog", instance(), rollout=now, part=part), node("basket"))))
    told = {name: value for name, value in found.items() if name.startswith("noded_rollout_")}
    new, old = '{node="catalog",version="1.5.0"}', '{node="catalog",version="1.4.0"}'
    assert told == {
        f"noded_rollout_share_ratio{of}": 0.25,
        'noded_rollout_share_ratio{node="basket"}': 0,
        f"noded_rollout_events_share_ratio{of}": 0.25,
        'noded_rollout_stage{node="catalog",stage="step"}': 1,
        f"noded_rollout_step{of}": 2,
        f"noded_rollout_held{of}": 1,
        f"noded_rollout_rollback_evidence{of}": 0.4,
        'noded_rollout_rollback_evidence{node="basket"}': 0,
        f"noded_rollout_promotion_evidence{of}": 12,
        f"noded_rollout_requests_needed{of}": 200,
        'noded_rollout_evidence{node="catalog",signal="errors"}': 2.5,
        'noded_rollout_evidence{node="catalog",signal="slow-99"}': 0.25,
        f"noded_rollout_requests_total{new}": 150,
        f"noded_rollout_requests_total{old}": 1090,
        f"noded_rollout_bad_requests_total{new}": 1,
        f"noded_rollout_bad_requests_total{old}": 3,
        f"noded_rollout_events_total{new}": 10,
        f"noded_rollout_events_total{old}": 69,
        f"noded_rollout_bad_events_total{new}": 1,
        f"noded_rollout_bad_events_total{old}": 2,
    }


def test_a_rollout_that_prepares_has_counted_nothing() -> None:
    now = rollout(stage=Stage.PREPARING, now=None, at_step=-1)
    told = values(text_of(host(node("catalog", rollout=now))))
    assert told['noded_rollout_step{node="catalog"}'] == 0
    assert told['noded_rollout_held{node="catalog"}'] == 0
    assert not [name for name in told if name.startswith("noded_rollout_requests_total")]


def test_steps_are_counted_by_how_they_ended() -> None:
    steps = {name: value for name, value in values(text_of(full())).items() if "healing_steps" in name}
    assert steps == {
        'noded_healing_steps_total{node="catalog",step="collect",verdict="did_not_hold"}': 2,
        'noded_healing_steps_total{node="catalog",step="replace",verdict="bought_time"}': 1,
    }


def test_an_empty_host() -> None:
    found = values(text_of(HostState()))
    assert (found["noded_proxy_up"], found["noded_mesh_up"], found["noded_paused"]) == (0, 0, 0)
    assert values(text_of(host(mesh=Mesh("m", 1))))["noded_mesh_up"] == 1
    assert values(text_of(host(paused=True)))["noded_paused"] == 1
    assert values(text_of(host(held=True)))["noded_paused"] == 1


def test_what_the_host_lacks() -> None:
    found = values(text_of(host()))
    waits = {name: value for name, value in found.items() if "pressure" in name}
    assert waits == {
        'noded_host_pressure_ratio{resource="cpu"}': 0.25,
        'noded_host_pressure_ratio{resource="memory"}': 0.0,
    }
    assert (found["noded_launcher_up"], found["noded_alarms"], found["noded_disk_full"]) == (1, 0, 0)
    worse = replace(FACTS, launcher_up=False, alarms=("the audit cannot be written",))
    found = values(text_of(HostState(full="the state folder"), worse))
    assert (found["noded_launcher_up"], found["noded_alarms"], found["noded_disk_full"]) == (0, 2, 1)


def test_a_node_that_was_given_up() -> None:
    crashed = Backoff(GIVEN_UP, 900.0, "code 1")
    found = values(text_of(host(node("catalog", backoff=crashed), node("basket"))))
    failed = {name: value for name, value in found.items() if "node_failed" in name}
    assert failed == {'noded_node_failed{node="basket"}': 0, 'noded_node_failed{node="catalog"}': 1}


def test_it_is_served_as_it_is_now() -> None:
    held = [HostState()]
    port = free_ports()
    served = serve(lambda: held[0], "0.1.0", f"127.0.0.1:{port}", lambda: FACTS)
    assert served is not None
    try:
        assert "noded_paused 0.0" in fetched(port)
        held[0] = host(paused=True)
        assert "noded_paused 1.0" in fetched(port)
        with pytest.raises(
            Refused, match=rf"cannot serve metrics on 127\.0\.0\.1:{port}: Address already in use"
        ):
            serve(lambda: held[0], "0.1.0", f"127.0.0.1:{port}", lambda: FACTS)
    finally:
        served[0].shutdown()
        served[0].server_close()
        served[1].join(10)


def test_off_is_off() -> None:
    assert serve(HostState, "0.1.0", "off", lambda: FACTS) is None


def test_an_address_of_another_machine_is_told() -> None:
    with pytest.raises(Refused, match=r"choose another in \[metrics\] listen"):
        serve(HostState, "0.1.0", "203.0.113.7:9464", lambda: FACTS)


def fetched(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return str(answer.read().decode())
