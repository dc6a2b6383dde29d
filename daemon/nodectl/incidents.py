"""How does an incident look: its page, its place in the list?"""

from collections.abc import Iterable

from rich.text import Text

from nodeapi.v1 import control_pb2 as pb
from nodectl.screen import Cell, columns, pairs, styled
from nodectl.text import ago, amount, clean, duration, size

STYLES = {
    "gathering evidence": "yellow",
    "choosing a step": "yellow",
    "acting": "yellow",
    "watching the effect": "yellow",
    "rolling out": "cyan",
    "holding": "cyan",
    "waiting for approval": "magenta",
    "resolved": "green",
    "needs a person": "red",
    "held": "green",
    "bought time": "yellow",
    "proposed a candidate": "green",
    "did not hold": "red",
    "failed": "red",
}


def open_incident(node: pb.NodeStatus) -> bool:
    return node.HasField("incident") and not node.incident.closed_at


def incident_rows(
    incidents: Iterable[tuple[str, pb.IncidentStatus]], indent: int = 0, wide: bool = False
) -> list[Text]:
    head: tuple[str, ...] = ("ID", "NODE", "KIND", "STATE", "OPENED", "LASTED", "STEPS", "FINDING")
    if wide:
        head = (*head, "GROWTH", "FOUND AFTER", "OUTCOME")
        return columns(head, [[*_row(node, one), *_more(one)] for node, one in incidents], indent)
    return columns(head, [_row(node, one) for node, one in incidents], indent)


def _more(one: pb.IncidentStatus) -> list[Cell]:
    return [
        _slope(one.slope) if one.slope else "-",
        duration(one.detected_after) if one.detected_after else "-",
        one.outcome or "-",
    ]


def incident_line(node: str, one: pb.IncidentStatus) -> str:
    """For output that is appended."""
    last = [f"{rung.rung} {rung.verdict}".strip() for rung in one.rungs[-1:]]
    return "  ".join([one.id, node, one.signature, one.state, *last, one.outcome or one.finding])


def incident_page(node: str, one: pb.IncidentStatus, indent: int = 0) -> list[Text]:
    head = Text(" " * indent).append_text(styled(f"{one.id}  {node}  {one.signature}", "bold")).append("  ")
    head.append_text(styled(one.state, STYLES.get(one.state, "")))
    page = [head, *pairs(_facts(one), indent + 2)]
    if one.rungs:
        head_row = ("STEP", "VERDICT", "FREED", "AFTERWARDS", "BEGUN", "TOOK", "DETAIL")
        page += [Text(), *columns(head_row, [_rung(rung) for rung in one.rungs], indent + 2)]
    if one.sites:
        sites = [(f"{site.file}:{site.line}", site.function, size(site.bytes)) for site in one.sites]
        page += [Text(), *columns(("GROWS AT", "FUNCTION", "BY"), sites, indent + 2)]
    if one.HasField("regeneration"):
        page += [Text(), *_regeneration(one.regeneration, indent + 2)]
    coming = _next(node, one)
    return [*page, Text(), *pairs([("next", coming)], indent + 2)] if coming else page


def change(one: pb.IncidentStatus) -> list[Text]:
    """The code that was changed, as a diff."""
    styles = {"+": "green", "-": "red", "@": "cyan"}
    lines = clean(one.regeneration.diff).splitlines()
    return [Text(line, style=styles.get(line[:1], "")) for line in lines]


def _row(node: str, one: pb.IncidentStatus) -> list[Cell]:
    return [
        one.id,
        node,
        one.signature,
        styled(one.state, STYLES.get(one.state, "")),
        ago(one.opened_at),
        duration(one.closed_at - one.opened_at) if one.closed_at else "-",
        ", ".join(f"{rung.rung} {rung.verdict}".strip() for rung in one.rungs) or "-",
        one.finding,
    ]


def _facts(one: pb.IncidentStatus) -> list[tuple[str, Cell]]:
    return [
        ("finding", one.finding),
        ("opened", ago(one.opened_at) if one.opened_at else ""),
        (
            "found after",
            f"{duration(one.detected_after)} of the instance's life" if one.detected_after else "",
        ),
        ("growth", _slope(one.slope) if one.slope else ""),
        ("limit in", duration(one.seconds_to_limit) if one.seconds_to_limit else ""),
        ("lasted", duration(one.closed_at - one.opened_at) if one.closed_at else ""),
        ("outcome", one.outcome),
    ]


def _rung(rung: pb.RungStatus) -> list[Cell]:
    return [
        rung.rung,
        styled(rung.verdict, STYLES.get(rung.verdict, "")),
        size(rung.freed),
        _slope(rung.slope_after) if rung.slope_after else "-",
        ago(rung.at),
        duration(rung.seconds) if rung.seconds else "-",
        rung.detail,
    ]


def _regeneration(one: pb.RegenerationStatus, indent: int) -> list[Text]:
    facts: list[tuple[str, Cell]] = [
        ("new code", f"{one.version or 'no version'} by {one.generator}: {one.verdict}"),
        ("change", f"{amount(one.diff_lines, 'line')} in {duration(one.seconds)}" if one.diff_lines else ""),
    ]
    gates: list[tuple[Cell, Cell, Cell]] = [
        (gate.name, styled("passed", "green") if gate.passed else styled("failed", "red"), gate.detail)
        for gate in one.gates
    ]
    return [*pairs(facts, indent), *columns(("GATE", "RESULT", "DETAIL"), gates, indent)]


def _slope(per_second: float) -> str:
    return f"{size(per_second * 60)}/min"


def _next(node: str, one: pb.IncidentStatus) -> str:
    """What comes next, and what the reader can do."""
    last = one.rungs[-1] if one.rungs else pb.RungStatus()
    match one.state:
        case _ if one.closed_at:
            return ""
        case "gathering evidence" | "choosing a step":
            return "the cheapest step that may help"
        case "acting" | "watching the effect":
            return "the effect is compared with what was before; when it does not hold, the next step"
        case "waiting for approval":
            return f"a person approves the step: nodectl incidents approve {node}"
        case "rolling out":
            return f"the new version proves itself under load: nodectl rollout watch {node}"
        case "holding":
            return "it is resolved when it goes on holding"
        case "needs a person":
            return f"a person looks: nodectl explain {node} --incident {one.id}"
        case _ if last.verdict == "advised":
            return f"{last.rung} is advised; noded takes it when [healing.autonomy] in node.toml allows it"
        case _:
            return ""
