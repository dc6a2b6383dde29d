"""locate -> propose -> gate -> report: what comes of this incident?"""

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from regenerator.gates import STATIC
from regenerator.generators import GENERATORS
from regenerator.incident import Evidence
from regenerator.proof import Baseline, Unproved, measure_parent, pass_tests, stay_useful, stop_growing
from regenerator.proposal import Proposal, Refusal
from regenerator.release import build, copy_parent, publish
from regenerator.report import (
    Gate,
    Report,
    Verdict,
    changed_lines,
    difference,
    shown_refusal,
    shown_site,
)
from regenerator.sandbox import open_sandbox
from regenerator.sources import Sources
from regenerator.trial import Bench, Deadline, sdk_folders

MAX_TRIALS = 3


@dataclass(slots=True)
class Course:
    """What happened so far; becomes the report."""

    verdict: Verdict = "none"
    reason: str = ""
    proposal: Proposal | None = None
    gates: list[Gate] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    def passed(self, gate: Gate) -> bool:
        self.gates.append(gate)
        say(f"{'passed' if gate.passed else 'failed'}  {gate.name}: {gate.detail}")
        return gate.passed


@dataclass(frozen=True, slots=True)
class Worker:
    """`work` is a folder inside `out` that is gone when the worker is."""

    sources: Sources
    evidence: Evidence
    out: Path
    work: Path
    bench: Bench

    async def regenerate(self) -> Report:
        started = time.monotonic()
        course = Course()
        try:
            await self._try_all(course)
        except Unproved as unproved:
            course.verdict, course.reason = "none", str(unproved)
            course.passed(Gate("reproduction", False, str(unproved)))
        if self.bench.deadline.left == 0.0 and course.verdict != "candidate":
            course.reason += f" (the budget of {self.bench.deadline.budget:.0f} s is used up)"
        say(f"verdict: {course.verdict}: {course.reason}")
        report = self._report(course, time.monotonic() - started)
        release = None
        if report.verdict == "candidate" and course.proposal is not None:
            release = self.work / "release"
            build(self.sources.root, course.proposal, self.evidence.incident.next_version, release)
        publish(self.work, self.out, {"change.diff": report.diff, "report.json": report.text()}, release)
        return report

    async def _try_all(self, course: Course) -> None:
        incident = self.evidence.incident
        generators = GENERATORS.get(incident.signature, ())
        course.reason = self._unable() or (
            "" if generators else f"no generator knows the signature {incident.signature}"
        )
        if course.reason:
            return
        baseline: Baseline | None = None
        trials = 0
        for generator in generators:
            for answer in generator(self.sources, incident):
                if isinstance(answer, Refusal):
                    course.refused.append(answer)
                    say(f"refused {answer.target or answer.site.file}: {answer.reason}")
                    continue
                if trials == MAX_TRIALS:
                    return
                trials += 1
                baseline = await self._try_one(course, answer, baseline)
                if course.verdict == "candidate":
                    return
        if not trials:
            reasons = "; ".join(dict.fromkeys(refusal.reason for refusal in course.refused))
            course.reason = f"nothing to change was found: {reasons or 'the incident names no site'}"

    def _unable(self) -> str:
        spec = self.sources.spec
        if not spec.tests.command:
            return "node.toml has no tests.command: nothing could prove a candidate"
        if not spec.tests.soak:
            return "node.toml has no tests.soak: no load could reproduce the fault"
        return ""

    async def _try_one(
        self, course: Course, proposal: Proposal, baseline: Baseline | None
    ) -> Baseline | None:
        course.proposal, course.gates = proposal, []
        say(f"proposal of {proposal.generator}: {proposal.reason}")
        course.verdict, course.reason = "rejected", f"{proposal.target}: a gate was not passed"
        for static in STATIC:
            if not course.passed(static(self.sources, proposal)):
                course.reason = _why(course)
                return baseline
        if baseline is None:
            copy_parent(self.sources.root, self.work / "parent")
            baseline = await measure_parent(self.bench, self.work / "parent")
        if await self._proved(course, proposal, baseline):
            course.verdict, course.reason = "candidate", proposal.reason
        else:
            course.reason = _why(course)
        return baseline

    async def _proved(self, course: Course, proposal: Proposal, baseline: Baseline) -> bool:
        parent = self.work / "parent"
        tree = self.work / f"trial-{len(list(self.work.glob('trial-*')))}"
        build(self.sources.root, proposal, self.evidence.incident.next_version, tree)
        if not course.passed(await pass_tests(self.bench, tree, baseline)):
            return False
        gate, load = await stop_growing(self.bench, tree, parent, baseline, proposal.holds)
        if not course.passed(gate) or load is None:
            return False
        return course.passed(await stay_useful(self.bench, tree, parent, baseline, load, parent))

    def _report(self, course: Course, seconds: float) -> Report:
        incident, proposal = self.evidence.incident, course.proposal
        diff = difference(self.sources, proposal)
        return Report(
            verdict=course.verdict,
            reason=course.reason,
            generator=proposal.generator if proposal else "",
            target=proposal.target if proposal else "",
            site=shown_site(proposal.site if proposal else None),
            gates=tuple(course.gates),
            refused=tuple(shown_refusal(refusal) for refusal in course.refused),
            diff_lines=changed_lines(diff),
            diff=diff,
            seconds=round(seconds, 3),
            version=incident.next_version,
            parent=incident.parent,
            constraints=self.sources.spec.regeneration.constraints,
            evidence=self.evidence.digest,
            sandbox=self.bench.sandbox.level,
            node=incident.node,
            incident=incident.incident,
        )


def new_worker(sources: Sources, evidence: Evidence, out: Path, budget: float) -> Worker:
    """Makes `out/.work`, which the caller removes whatever happens."""
    work = out / ".work"
    work.mkdir()
    incident = evidence.incident
    folders = sdk_folders(incident.env, sources.root)
    sandbox = open_sandbox(incident.python, folders, work)
    say(f"sandbox: {sandbox.level}")
    bench = Bench(sources.spec, incident.env, sandbox, Deadline(budget), sources.root, incident)
    return Worker(sources, evidence, out, work, bench)


def say(text: str) -> None:
    print(f"noded-regenerate: {text}", file=sys.stderr, flush=True)


def _why(course: Course) -> str:
    failed = next((gate for gate in course.gates if not gate.passed), None)
    return f"{failed.name}: {failed.detail}" if failed else course.reason
