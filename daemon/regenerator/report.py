"""What is told about a regeneration, whatever came of it?"""

import difflib
import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from regenerator.incident import Parent, Site
from regenerator.proposal import Proposal, Refusal
from regenerator.sources import Sources

Verdict = Literal["candidate", "none", "rejected"]


@dataclass(frozen=True, slots=True)
class Gate:
    """`detail` carries the numbers that decided."""

    name: str
    passed: bool
    detail: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    verdict: Verdict
    reason: str
    generator: str
    target: str
    site: dict[str, object]
    gates: tuple[Gate, ...]
    refused: tuple[dict[str, object], ...]
    diff_lines: int
    diff: str
    seconds: float
    version: str
    parent: Parent
    constraints: tuple[str, ...]
    evidence: str
    sandbox: Literal["bubblewrap", "none"]
    node: str
    incident: str

    def text(self) -> str:
        return json.dumps(_rounded(asdict(self)), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _rounded(told: dict[str, Any]) -> dict[str, Any]:
    for gate in told["gates"]:
        gate["seconds"] = round(gate["seconds"], 3)
    return told


def shown_site(site: Site | None) -> dict[str, object]:
    return {"file": site.file, "line": site.line} if site else {}


def shown_refusal(refusal: Refusal) -> dict[str, object]:
    return {"site": shown_site(refusal.site), "target": refusal.target, "reason": refusal.reason}


def difference(sources: Sources, proposal: Proposal | None) -> str:
    """A unified difference of sources; the manifest's new version is told elsewhere."""
    if proposal is None:
        return ""
    return "".join(
        line if line.endswith("\n") else line + "\n\\ No newline at end of file\n"
        for path, after in sorted(proposal.files.items())
        for line in difflib.unified_diff(
            sources.texts.get(path, "").splitlines(keepends=True),
            after.splitlines(keepends=True),
            f"a/{path}",
            f"b/{path}",
        )
    )


def changed_lines(diff: str) -> int:
    return sum(line[:1] in "+-" and line[:4] not in {"+++ ", "--- "} for line in diff.splitlines() if line)
