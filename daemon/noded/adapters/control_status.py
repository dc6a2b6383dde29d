"""How does the state look to an administrator?"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from nodeapi.v1 import control_pb2 as pb
from noded.adapters.audit import Asked
from noded.adapters.rollout_status import rollout_status
from noded.model.incident import CLOSED, Incident
from noded.model.instance import Instance, Phase, Role
from noded.model.liveness import Pressure
from noded.model.rollout import Rollout
from noded.model.state import Desired, HostState, NodeState
from nodespec.manifest import Autonomy

LARGEST = 2**32 - 1
"""What the worker tells is untrusted, and a number the wire cannot carry would hide every node."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What about this host does not come from the state."""

    version: str
    cgroups: str
    degraded: tuple[str, ...]
    launcher_up: bool
    cores: int = 0
    pressure: Pressure = field(default_factory=Pressure)
    pause_file: str = ""
    """Where the file PAUSE would lie."""
    alarms: tuple[str, ...] = ()


def host_status(state: HostState, facts: Facts) -> pb.HostStatus:
    return pb.HostStatus(
        name=state.host.name,
        version=facts.version,
        paused=state.paused or state.held,
        cgroups=facts.cgroups,
        degraded=facts.degraded,
        proxy_up=bool(state.proxy),
        launcher_up=facts.launcher_up,
        started_at=state.booted_at,
        memory=state.host.memory,
        cores=facts.cores,
        pressure=pb.Pressure(cpu=facts.pressure.cpu, memory=facts.pressure.memory, io=facts.pressure.io),
        paused_by=_paused_by(state, facts),
        alarms=[*_alarms(state), *facts.alarms],
    )


def _alarms(state: HostState) -> Iterator[str]:
    if not state.proxy:
        yield "the proxy does not answer: no request reaches a node, no share can be changed"
    if not state.mesh.generation and any(node.part for node in state.nodes.values()):
        yield "noded-mesh does not answer: events wait where they are published: systemctl status noded-mesh"
    if state.mesh.problem:
        yield f"noded-mesh did not take what it was told: {state.mesh.problem}"


def _paused_by(state: HostState, facts: Facts) -> str:
    causes = ["nodectl pause --host"] if state.paused else []
    if state.held:
        causes.append(f"the file {facts.pause_file}")
    return " and ".join(causes)


def audit_entry(asked: Asked) -> pb.AuditEntry:
    who = f"{asked.who} (uid {asked.uid})" if asked.who else f"uid {asked.uid}"
    return pb.AuditEntry(
        at=asked.at, who=who, role=asked.role, what=asked.what, answer=asked.answer, pid=asked.pid
    )


def node_status(node: NodeState, at: float, manifest: str = "", alone: bool = True) -> pb.NodeStatus:
    """Among many nodes, not `alone`, it leaves out how its past rollouts went."""
    condition, detail = _condition(node)
    serves = node.spec.serves
    rollout = node.rollout if node.rolling_out else None
    return pb.NodeStatus(
        name=node.name,
        version=node.release.version,
        digest=node.release.digest,
        condition=condition,
        detail=detail,
        paused=node.paused,
        port=serves.port if serves else 0,
        instances=[_instance(i, at) for i in sorted(node.instances.values(), key=lambda i: i.created_at)],
        rollout=rollout_status(rollout, node, at) if rollout else None,
        past_rollouts=[rollout_status(past, node, at, alone) for past in node.past_rollouts],
        incident=_incident(node.healing.now) if node.healing.now else None,
        past_incidents=[_incident(past) for past in node.healing.past],
        restarts=node.restarts,
        memory_limit=node.spec.resources.memory,
        manifest=manifest,
    )


def without_code(status: pb.NodeStatus) -> pb.NodeStatus:
    """As those see it who may not read what nodes are made of."""
    for incident in (*([status.incident] if status.HasField("incident") else ()), *status.past_incidents):
        if incident.HasField("regeneration"):
            incident.regeneration.ClearField("diff")
            for gate in incident.regeneration.gates:
                gate.ClearField("detail")
    return status


def _condition(node: NodeState) -> tuple[str, str]:
    if node.desired is not Desired.RUNNING:
        if node.instances:
            count = len(node.instances)
            return "stopping", f"{count} {'instance is' if count == 1 else 'instances are'} on the way out"
        return str(node.desired), ""
    ready = sum(1 for i in node.of(Role.STABLE) if i.phase is Phase.READY)
    if node.rolling_out and node.rollout:
        return "rolling out", _going(node.rollout)
    if ready >= node.spec.instances:
        incident = node.healing.now
        return "running", incident.finding if incident and incident.stage not in CLOSED else ""
    if node.failed:
        detail = f"{node.backoff.failures} failures in a row, the last: {node.backoff.last}"
        return "failed", f"{detail}; nodectl start {node.name} tries at once"
    if node.backoff.failures and node.autonomy.restart is not Autonomy.ACT:
        return "down", f"{node.backoff.last}; autonomy restart is not act: nodectl start {node.name}"
    if node.backoff.failures > 1:
        return "backing off", node.backoff.last
    if node.awaited:
        return (
            "starting",
            "noded-mesh is to take its subscriptions first; if it stays so: systemctl status noded-mesh",
        )
    if node.preparing == node.release.digest:
        return "starting", "the commands of [node] before are running"
    return "starting", node.backoff.last or f"{ready} of {node.spec.instances} instances are ready"


def _going(rollout: Rollout) -> str:
    stopped = (
        ", frozen: a person decides" if rollout.frozen else ", held by a person" if rollout.paused else ""
    )
    return f"{rollout.release.version} at {rollout.share * 100:.4g}%{stopped}"


def _instance(instance: Instance, at: float) -> pb.InstanceStatus:
    vitals, load = instance.vitals, instance.load
    return pb.InstanceStatus(
        id=instance.id,
        version=instance.version,
        role=instance.role,
        phase=instance.phase,
        pid=instance.process.pid if instance.process else 0,
        started_at=instance.created_at,
        memory=vitals.memory,
        cpu_share=vitals.cpu,
        loop_lag=vitals.loop_lag,
        requests=load.requests,
        bad=load.bad,
        fds=vitals.fds,
        threads=vitals.threads,
    )


def _incident(incident: Incident) -> pb.IncidentStatus:
    report = incident.report
    return pb.IncidentStatus(
        id=incident.id,
        signature=incident.signature,
        state=incident.stage,
        finding=incident.finding,
        opened_at=incident.opened_at,
        closed_at=incident.closed_at,
        rungs=[
            pb.RungStatus(
                rung=t.rung,
                verdict=t.verdict,
                freed=t.freed,
                slope_after=t.slope_after,
                at=t.at,
                seconds=t.seconds,
                detail=t.detail,
            )
            for t in incident.tried
        ],
        outcome=incident.outcome,
        slope=incident.slope,
        seconds_to_limit=incident.seconds_to_limit,
        detected_after=incident.detected_after,
        sites=[
            pb.SiteStatus(file=s.file, line=s.line, function=s.function, bytes=max(0, s.bytes))
            for s in incident.sites[:5]
        ],
        regeneration=pb.RegenerationStatus(
            generator=report.generator,
            verdict=report.verdict,
            diff_lines=min(max(0, report.diff_lines), LARGEST),
            seconds=report.seconds,
            gates=[pb.GateStatus(name=g.name, passed=g.passed, detail=g.detail) for g in report.gates],
            version=report.version,
            diff=report.diff,
        )
        if report
        else None,
    )
