"""How do a host and its nodes look: the table of `status`, the page of `describe`?"""

from collections.abc import Sequence

from rich.text import Text

from nodeapi.v1 import control_pb2 as pb
from nodectl.incidents import incident_page, incident_rows, open_incident
from nodectl.rollouts import rollout_page, rollout_rows
from nodectl.screen import Cell, columns, pairs, styled
from nodectl.text import ago, amount, clean, count, duration, share, size

HEAD = ("NODE", "VERSION", "STATE", "INSTANCES", "MEMORY", "REQUESTS", "RESTARTS")
WIDE_HEAD = (*HEAD, "CPU", "LIMIT", "PORT", "UP", "RELEASE")
INSTANCE_HEAD = (
    *("INSTANCE", "ROLE", "PHASE", "VERSION", "PID", "UP", "MEMORY", "CPU", "LAG"),
    *("REQUESTS", "ERRORS", "FDS", "THREADS"),
)
SPARE = ("THREADS", "FDS", "LAG", "PID", "VERSION")
"""Of instances, in this order, where the terminal is narrow."""
STYLES = {
    "running": "green",
    "ready": "green",
    "starting": "yellow",
    "draining": "yellow",
    "stopping": "yellow",
    "rolling out": "cyan",
    "backing off": "red",
    "failed": "red",
    "stopped": "dim",
}
SHORT = len("sha256:") + 12
MOST_MISSING = 2
"""Protections of a host whose want is told in a line each."""
ORDERED = "nodectl pause"
"""In what paused the host, when a person ordered it."""


def node_table(nodes: list[pb.NodeStatus], wide: bool = False) -> list[Text]:
    if not nodes:
        return [Text("no nodes; the first one comes with: nodectl apply DIR")]
    if wide:
        return columns(WIDE_HEAD, [[*_node_row(node), *_more(node)] for node in nodes])
    return columns(HEAD, [_node_row(node) for node in nodes], spare=("RESTARTS", "MEMORY"))


def node_line(node: pb.NodeStatus) -> str:
    """One node on one line, for output that is appended."""
    return "  ".join(cell if isinstance(cell, str) else cell.plain for cell in _node_row(node))


def _more(node: pb.NodeStatus) -> list[Cell]:
    oldest = min((one.started_at for one in node.instances if one.started_at), default=0.0)
    return [
        share(round(sum(one.cpu_share for one in node.instances), 3)),
        size(node.memory_limit) if node.memory_limit else "-",
        str(node.port or "-"),
        ago(oldest).removesuffix(" ago"),
        node.digest[:SHORT] or "-",
    ]


def _node_row(node: pb.NodeStatus) -> list[Cell]:
    ready = [one for one in node.instances if one.phase == "ready"]
    return [
        node.name,
        _version(node),
        _state(node),
        f"{len(ready)}/{len(node.instances)} ready",
        size(sum(one.memory for one in node.instances)),
        _requests(node),
        count(node.restarts),
    ]


def _version(node: pb.NodeStatus) -> str:
    if not node.HasField("rollout"):
        return node.version or "-"
    return f"{node.rollout.from_version} -> {node.rollout.to_version} ({share(node.rollout.share)})"


def _state(node: pb.NodeStatus) -> Text:
    more = [node.incident.signature or "incident"] if open_incident(node) else []
    text = ", ".join([node.condition or "unknown", *more, *(["paused"] if node.paused else [])])
    return styled(text, "yellow" if more else STYLES.get(node.condition, ""))


def _requests(node: pb.NodeStatus) -> str:
    bad = sum(one.bad for one in node.instances)
    return count(sum(one.requests for one in node.instances)) + (f" ({count(bad)} failed)" if bad else "")


def host_notes(host: pb.HostStatus) -> list[Text]:
    """What an administrator should know about the host; nothing when all is well."""
    notes = _missing(host.degraded)
    notes += [f"alarm: {one}" for one in host.alarms]
    if host.paused:
        notes.append(_paused(host.paused_by))
    if not host.launcher_up:
        notes.append("noded-launcher is down: nothing can be started or stopped")
    if not host.proxy_up:
        notes.append("the proxy is down: systemctl status noded-proxy")
    return [styled(one, "yellow") for one in notes]


def _missing(degraded: Sequence[str]) -> list[str]:
    """Many protections in one line: a host that lacks them all says so below every table."""
    if len(degraded) <= MOST_MISSING:
        return [f"this host: {one}" for one in degraded]
    names = ", ".join(one.partition(":")[0] for one in degraded)
    return [f"this host: {len(degraded)} protections are missing: {names}; why: nodectl doctor"]


def _paused(by: str) -> str:
    file = holding_file(by)
    ends = [
        *(["nodectl resume --host"] if ORDERED in by or not file else []),
        *([f"rm {file}"] if file else []),
    ]
    return f"paused: noded only keeps processes alive; go on with: {' and '.join(ends)}"


def holding_file(paused_by: str) -> str:
    """The file that keeps the host paused until somebody takes it away; empty when there is none."""
    return paused_by.partition("the file ")[2]


def instance_table(node: pb.NodeStatus) -> list[Text]:
    return columns(INSTANCE_HEAD, [_instance_row(one) for one in node.instances], indent=2, spare=SPARE)


def _instance_row(one: pb.InstanceStatus) -> list[Cell]:
    return [
        one.id,
        one.role,
        styled(one.phase, STYLES.get(one.phase, "")),
        one.version,
        str(one.pid or "-"),
        ago(one.started_at).removesuffix(" ago"),
        size(one.memory),
        share(one.cpu_share),
        duration(one.loop_lag) if one.loop_lag >= 0.05 else f"{one.loop_lag * 1000:.1f}ms",
        count(one.requests),
        count(one.bad),
        str(one.fds),
        str(one.threads),
    ]


def node_page(node: pb.NodeStatus, host: pb.HostStatus) -> list[Text]:
    memory = size(sum(one.memory for one in node.instances))
    limit = f", at most {size(node.memory_limit)} each" if node.memory_limit else ""
    page = [
        Text.assemble((node.name, "bold"), "  ", node.version, "  ", _state(node)),
        *pairs(
            [
                ("detail", node.detail),
                ("release", node.digest),
                ("serves", f"port {node.port}" if node.port else ""),
                ("memory", f"{memory} in {amount(len(node.instances), 'instance')}{limit}"),
                ("restarts", count(node.restarts)),
                ("paused", "yes; go on with: nodectl resume " + node.name if node.paused else ""),
            ]
        ),
    ]
    if node.instances:
        page += [*_title("Instances"), *instance_table(node)]
    if node.HasField("rollout"):
        page += [*_title("Rollout"), *rollout_page(node.name, node.rollout, indent=2)]
    if node.HasField("incident"):
        page += [*_title("Incident"), *incident_page(node.name, node.incident, indent=2)]
    if node.past_rollouts:
        page += [*_title("Past rollouts"), *rollout_rows(node.past_rollouts, indent=2)]
    if node.past_incidents:
        past = [(node.name, one) for one in node.past_incidents]
        page += [*_title("Past incidents"), *incident_rows(past, indent=2)]
    if node.manifest:
        page += [*_title("Manifest (node.toml)"), *_indented(node.manifest)]
    notes = host_notes(host)
    return [*page, Text(), *notes] if notes else page


def _title(words: str) -> list[Text]:
    return [Text(), Text(words, style="bold")]


def _indented(text: str) -> list[Text]:
    return [Text(f"  {line}".rstrip()) for line in clean(text).splitlines()]
