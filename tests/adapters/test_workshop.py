"""Does the worker get its evidence, and does whatever it leaves become one outcome?"""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from noded.adapters.processes import Ended
from noded.adapters.releases import FolderReleases
from noded.adapters.workshop import BUDGET, WORKER, Bench, LauncherWorkshop
from noded.model.actions import Regenerate
from noded.model.incident import Site
from noded.model.inputs import CandidateProposed, RegenerationFailed
from noded.model.instance import Process
from noded.ports import Refused, Unavailable
from tests.adapters.looped import looped
from tests.fakes.clock import FakeClock
from tests.fakes.inbox import FakeInbox
from tests.fakes.processes import FakeProcesses
from tests.runtime.nouns import DIGEST

MANIFEST = '[node]\nname = "{name}"\nversion = "{version}"\nrun = ["python3", "app.py"]\n'


class Workers(FakeProcesses):
    """Processes that also tell the workshop when they end."""

    def __init__(self, inbox: FakeInbox) -> None:
        super().__init__(inbox, FakeClock())
        self.waiting: dict[str, Ended] = {}

    def wait(self, instance: str, process: Process, ended: Ended) -> None:
        self.waiting[instance] = ended

    async def kill(self, instance: str) -> None:
        if instance in self.running:
            self.finish(instance, "signal 9")

    def finish(self, instance: str, status: str) -> None:
        self.end(instance, status)
        self.waiting.pop(instance)(status)


class Yard:
    def __init__(self, folder: Path) -> None:
        for name in ("releases", "evidence"):
            (folder / name).mkdir()
        self.folder, self.inbox = folder, FakeInbox()
        self.workers = Workers(self.inbox)
        self.releases = FolderReleases(folder / "releases")

    def shop(self, group: asyncio.TaskGroup, program: str = "/bin/sleep") -> LauncherWorkshop:
        bench = Bench(
            (program, "300"),
            (("PATH", "/bin"),),
            (("LANG", "C"),),
            "/usr/bin/python3",
            "7",
            self.evidence,
        )
        return LauncherWorkshop(bench, self.workers, self.releases, self.inbox, FakeClock(), group)  # type: ignore[arg-type]

    @property
    def evidence(self) -> Path:
        return self.folder / "evidence"

    @property
    def out(self) -> Path:
        argv = self.workers.launched[-1].argv
        return Path(argv[argv.index("--out") + 1])

    def leave(self, report: Any, name: str = "catalog", version: str = "1.4.0+heal.1") -> None:
        self.out.mkdir()
        text = report if isinstance(report, str) else json.dumps(report)
        (self.out / "report.json").write_text(text)
        release = self.out / "release"
        release.mkdir()
        (release / "node.toml").write_text(MANIFEST.format(name=name, version=version))
        (release / "app.py").write_text("print('bounded')\n")


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    yield Yard(tmp_path)
    for place, _, _ in os.walk(tmp_path):
        os.chmod(place, 0o700)
    shutil.rmtree(tmp_path)


@asynccontextmanager
async def begun(yard: Yard, number: int = 1) -> AsyncIterator[tuple[LauncherWorkshop, str]]:
    async with asyncio.TaskGroup() as group:
        shop = yard.shop(group)
        for _ in range(number):
            await shop.begin(order())
        yield shop, yard.workers.launched[-1].instance


def order() -> Regenerate:
    return Regenerate(
        node="catalog",
        incident="catalog-1",
        signature="memory-growth",
        digest=DIGEST,
        version="1.4.0",
        next_version="1.4.0+heal.1",
        slope=1000.0,
        limit=2**28,
        sites=(Site("catalog/quotes.py", 41, "quote_of", 900, 3),),
        tried=("collect: did not hold", "shrink: did not hold"),
        reason="it grows",
    )


GOOD = {
    "verdict": "candidate",
    "reason": "bounded",
    "generator": "boundcache",
    "diff_lines": 7,
    "seconds": 3.5,
}


@looped
async def test_the_worker_gets_evidence_and_limits(yard: Yard) -> None:
    async with begun(yard) as (_, name):
        launch = yard.workers.launched[0]
        yard.workers.finish(name, "code 0")
    assert launch.node == WORKER
    assert launch.instance.startswith(f"{WORKER}.")
    words = dict(zip(launch.argv[2::2], launch.argv[3::2], strict=True))
    assert words == {
        "--node": str(yard.releases.path(DIGEST)),
        "--incident": str(yard.evidence / "catalog-1/incident.json"),
        "--out": str(yard.evidence / "catalog-1/attempt-1"),
        "--budget": f"{BUDGET:g}",
    }
    assert (launch.user, launch.data, launch.memory > 0, launch.pids > 0) == ("7", False, True, True)
    told = json.loads((yard.evidence / "catalog-1/incident.json").read_text())
    assert told["parent"] == {"version": "1.4.0", "digest": DIGEST}
    assert told["sites"] == [
        {"file": "catalog/quotes.py", "line": 41, "function": "quote_of", "bytes": 900, "count": 3}
    ]
    assert told["rungs"][0] == {"rung": "collect", "verdict": "did not hold"}
    assert (told["env"], told["python"]) == ({"LANG": "C"}, "/usr/bin/python3")


@looped
async def test_evidence_that_cannot_be_kept_is_told(yard: Yard) -> None:
    (yard.evidence / "catalog-1").write_text("in the way")
    async with asyncio.TaskGroup() as group:
        with pytest.raises(Unavailable, match=r"cannot keep the evidence of catalog-1 in .*: "):
            await yard.shop(group).begin(order())
    assert yard.workers.launched == []


@looped
async def test_a_candidate_is_stored_and_proposed(yard: Yard) -> None:
    async with begun(yard) as (_, name):
        yard.leave({**GOOD, "gates": [{"name": "tests", "passed": True, "detail": "3 passed"}]})
        yard.workers.finish(name, "code 0")
    (found,) = yard.inbox.all(CandidateProposed)
    assert (found.node, found.incident, found.spec.version) == ("catalog", "catalog-1", "1.4.0+heal.1")
    assert found.release.origin == "incident catalog-1"
    assert yard.releases.spec(found.release.digest) == found.spec
    assert (found.report.generator, found.report.diff_lines, found.report.seconds) == ("boundcache", 7, 3.5)
    assert [(gate.name, gate.passed) for gate in found.report.gates] == [("tests", True)]
    assert yard.workers.running == {}
    assert yard.inbox.all(RegenerationFailed) == []


@looped
async def test_a_worker_that_leaves_nothing(yard: Yard) -> None:
    async with begun(yard) as (_, name):
        yard.workers.finish(name, "signal 9")
    (found,) = yard.inbox.all(RegenerationFailed)
    text = "the worker left no report (signal 9): see its log noded-regenerate/noded-regenerate."
    assert found.report.reason.startswith(text)
    assert yard.workers.running == {}


@looped
async def test_a_worker_that_found_nothing_says_why(yard: Yard) -> None:
    async with begun(yard) as (_, name):
        yard.leave({"verdict": "none", "reason": "no cache without a bound\x1b[2J"})
        yard.workers.finish(name, "code 3")
    (found,) = yard.inbox.all(RegenerationFailed)
    assert (found.report.verdict, found.report.reason) == ("none", "no cache without a bound[2J")


@looped
async def test_what_a_program_printed_in_the_sandbox_is_masked(yard: Yard) -> None:
    said = "ended while starting (code 1): cannot reach postgres://u:s3cr3tvalue@db"
    async with begun(yard) as (_, name):
        gates = [{"name": "soak", "passed": False, "detail": said}]
        yard.leave({"verdict": "none", "reason": f"soak: {said}", "gates": gates})
        yard.workers.finish(name, "code 3")
    report = yard.inbox.all(RegenerationFailed)[0].report
    kept = said.replace("u:s3cr3tvalue@", "***")
    assert (report.reason, report.gates[0].detail) == (f"soak: {kept}", kept)


REPORTS = {
    "cut off": '{"verdict": "candidate"',
    "too large": json.dumps({"verdict": "candidate", "diff": "x" * 2_000_000}),
    "a number that is none": '{"verdict": "candidate", "diff_lines": "many"}',
}


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
@looped
async def test_a_report_that_is_none(yard: Yard, report: str) -> None:
    async with begun(yard) as (_, name):
        yard.leave(report)
        yard.workers.finish(name, "code 0")
    assert len(yard.inbox.all(RegenerationFailed)) == 1
    assert yard.inbox.all(CandidateProposed) == []


OTHERS = [("basket", "1.4.0+heal.1"), ("catalog", "1.4.0"), ("catalog", "9.9.9")]


@pytest.mark.parametrize(("name", "version"), OTHERS)
@looped
async def test_a_release_of_something_else_is_refused(yard: Yard, name: str, version: str) -> None:
    async with begun(yard) as (_, instance):
        yard.leave(GOOD, name, version)
        yard.workers.finish(instance, "code 0")
    (found,) = yard.inbox.all(RegenerationFailed)
    assert found.report.reason == f"the worker made {name} {version}, not catalog 1.4.0+heal.1"


@looped
@pytest.mark.parametrize("after", ['{"type": "null"}', None])
async def test_a_changed_contract_is_for_a_person(yard: Yard, after: str | None) -> None:
    events = '[[publishes]]\ntype = "a"\nschema = "a.json"\n'
    before = yard.releases.path(DIGEST)
    before.mkdir(parents=True)
    async with begun(yard) as (_, name):
        yard.leave(GOOD)
        manifest = yard.out / "release/node.toml"
        manifest.write_text(manifest.read_text() + events)
        (yard.out / "release/a.json").write_text(after or "{}")
        if after is not None:
            (before / "a.json").write_text("{}")
        yard.workers.finish(name, "code 0")
    (found,) = yard.inbox.all(RegenerationFailed)
    assert found.report.reason == "the worker changed the contract a.json: that is for a person"


@looped
async def test_a_candidate_without_a_tree_is_refused(yard: Yard) -> None:
    async with begun(yard) as (_, name):
        yard.leave(GOOD)
        shutil.rmtree(yard.out / "release")
        yard.workers.finish(name, "code 0")
    assert "cannot pack" in yard.inbox.all(RegenerationFailed)[0].report.reason


@looped
async def test_links_out_of_the_tree_are_refused(yard: Yard) -> None:
    async with begun(yard) as (_, name):
        yard.leave(GOOD)
        (yard.out / "release/secret").symlink_to("/etc/passwd")
        yard.workers.finish(name, "code 0")
    assert "secret" in yard.inbox.all(RegenerationFailed)[0].report.reason
    assert os.listdir(yard.folder / "releases") == []


@looped
async def test_work_can_be_cancelled(yard: Yard) -> None:
    async with begun(yard) as (shop, _):
        await shop.cancel("catalog-9")
        await shop.cancel("catalog-1")
    assert yard.inbox.all(RegenerationFailed)[0].report.reason.startswith(
        "the worker left no report (signal 9)"
    )


@looped
async def test_each_attempt_has_a_folder_of_its_own(yard: Yard) -> None:
    for number in (1, 2):
        async with begun(yard) as (_, name):
            assert yard.out.name == f"attempt-{number}"
            yard.leave({"verdict": "none", "reason": "nothing"})
            yard.workers.finish(name, "code 3")


@looped
async def test_a_worker_that_cannot_be_started_is_told_at_once(yard: Yard) -> None:
    async with asyncio.TaskGroup() as group:
        with pytest.raises(Refused, match="/missing/worker"):
            await yard.shop(group, "/missing/worker").begin(order())
    assert yard.inbox.facts == []
