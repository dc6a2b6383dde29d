"""Nodes, releases and instances in their plainest form, to say only what a test is about."""

from dataclasses import replace
from typing import Any

from noded.model.actions import InstallRoute, StartInstance
from noded.model.incident import Gate, Incident, Report, Site, Stage, Tried, Verdict
from noded.model.inputs import ApplyRequested, Booted, CommandRequested
from noded.model.instance import Instance, Load, Phase, Process, Role, Vitals
from noded.model.release import Release
from noded.model.rollout import Rollout, Step
from noded.model.rollout import Stage as RolloutStage
from noded.model.route import Place, Route, Server
from noded.model.state import Host, HostState, NodeState
from nodespec.manifest import Health, NodeSpec, Probe, Resources, Rung, Serves

DIGEST = "sha256:" + "ab" * 32
NEXT = "sha256:" + "cd" * 32


def spec(name: str = "catalog", **fields: Any) -> NodeSpec:
    given: dict[str, Any] = {
        "version": "1.4.0",
        "run": ("python3", "-m", name),
        "serves": Serves(8100),
        "health": Health(Probe.SDK),
        "resources": Resources(memory=256 * 2**20),
    }
    return NodeSpec(name=name, **{**given, **fields})


def release(name: str = "catalog", version: str = "1.4.0", digest: str = DIGEST) -> Release:
    return Release(name, version, digest, "uid 1000")


def process(pid: int = 4711) -> Process:
    return Process(pid, 99, 64200, f"/sys/fs/cgroup/memory/noded/{pid}")


def instance(name: str = "catalog.1", **fields: Any) -> Instance:
    given: dict[str, Any] = {
        "digest": DIGEST,
        "version": "1.4.0",
        "role": Role.STABLE,
        "phase": Phase.READY,
        "created_at": 100.0,
        "since": 101.0,
        "address": f"unix:/run/noded/i/{name}/http.sock",
        "process": process(),
        "ready_at": 101.0,
        "vitals": Vitals(32 * 2**20, 0.073, 23, 4, 0.0012, 0.5),
        "load": Load(12_345, 3, 1),
    }
    return Instance(id=name, **{**given, **fields})


def node(name: str = "catalog", *instances: Instance, **fields: Any) -> NodeState:
    held = NodeState(
        spec(name), release(name), instances={i.id: i for i in instances}, releases=(release(name),)
    )
    return replace(held, **fields)


def host(*nodes: NodeState, **fields: Any) -> HostState:
    named = Host("web1", "/run/noded/i", ((8100, 8163),))
    return HostState(
        **{"host": named, "nodes": {n.name: n for n in nodes}, "proxy": "p1", "booted_at": 50.0, **fields}
    )


def booted(at: float = 100.0, **fields: Any) -> Booted:
    return Booted(at, Host("web1", "/run/noded/i", ((8100, 8163),)), **fields)


def applied(at: float = 101.0, request: int = 1, **fields: Any) -> ApplyRequested:
    return ApplyRequested(at, request, spec(**fields), release())


def ordered(verb: str, at: float = 102.0, node: str = "catalog") -> CommandRequested:
    return CommandRequested(at, 2, verb, node, "uid 0")


def start(node: str = "catalog", number: int = 1) -> StartInstance:
    return StartInstance(node, f"{node}.{number}", DIGEST, "1.4.0", "unix:/s", True, "0 of 1 run")


def route(node: str = "catalog", *instances: str, share: float = 0.0) -> Route:
    servers = tuple(Server(i, f"unix:/run/noded/i/{i}/http.sock", Place.PINNED) for i in instances)
    return Route(node, 8100, servers, share)


def installed(node: str = "catalog", cancels: tuple[str, ...] = ()) -> InstallRoute:
    return InstallRoute(node, route(node), cancels, "the route is new")


def report(**fields: Any) -> Report:
    gates = (Gate("tests", True, "3 passed"), Gate("load", True, "slope 0"))
    return Report(
        **{
            "verdict": "candidate",
            "reason": "the cache is bounded",
            "generator": "boundcache",
            "version": "1.4.0+heal.1",
            "gates": gates,
            "diff_lines": 7,
            "diff": "-a\n+b\n",
            "seconds": 12.5,
            **fields,
        }
    )


def incident(**fields: Any) -> Incident:
    given: dict[str, Any] = {
        "id": "catalog-1",
        "signature": "memory-growth",
        "instance": "catalog.1",
        "finding": "memory grows 5.0 MiB/min, the limit in 40 min",
        "opened_at": 160.0,
        "slope": 87_381.0,
        "window": 60.0,
        "seconds_to_limit": 2400.0,
        "detected_after": 60.0,
        "stage": Stage.WATCHING,
        "since": 170.0,
        "tried": (
            Tried(Rung.COLLECT, Verdict.DID_NOT_HOLD, 165.0, 5.0, 1_200_000, 80_000.0, "freed little"),
        ),
        "sites": (Site("catalog/quotes.py", 41, "quote_of", 1_234_567, 4321),),
        "report": report(),
    }
    return Incident(**{**given, **fields})


def rollout(**fields: Any) -> Rollout:
    given: dict[str, Any] = {
        "id": "catalog-r1",
        "origin": "uid 1000",
        "release": release(version="1.5.0", digest=NEXT),
        "spec": spec(version="1.5.0"),
        "from_version": "1.4.0",
        "stage": RolloutStage.STEP,
        "started_at": 200.0,
        "since": 210.0,
        "at_step": 0,
        "now": Step(0.1, 210.0, 10.0, 120, 1, 1000, 2),
        "rollback_evidence": 0.4,
        "promotion_evidence": 12.0,
        "requests_needed": 200,
    }
    return Rollout(**{**given, **fields})
