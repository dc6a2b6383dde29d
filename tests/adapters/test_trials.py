"""Are a node's tests run by the worker, one at a time, and is whatever it leaves one answer?"""

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nodeapi.v1 import control_pb2 as pb
from noded.adapters.trials import LONGEST, LauncherTrials
from noded.adapters.workshop import GRACE, WORKER
from noded.launch import Launch, Ran
from noded.model.release import Release
from noded.ports import Conflict, NotFound, Refused
from nodespec.release import pack
from tests.adapters.looped import looped
from tests.adapters.office import Office, code_of, offices, opened
from tests.fakes.processes import FakeProcesses
from tests.runtime.nouns import DIGEST, host, node

MANIFEST = '[node]\nname = "catalog"\nversion = "1.4.0"\nrun = ["x"]\n[tests]\ncommand = {command}\n'
GOOD = {"passed": True, "output": "3 passed\n", "seconds": 1.0, "detail": "", "sandbox": "bubblewrap"}

Leave = Callable[[Path], object]


class Worker(FakeProcesses):
    """Does with the place of the outcome what the test says."""

    leave: Leave = staticmethod(lambda out: out.write_text(json.dumps(GOOD)))
    status, printed, late = "code 0", "", False
    waits: asyncio.Event | None = None
    begun: asyncio.Event
    seen: tuple[dict[str, Any], tuple[str, ...]] = ({}, ())

    async def run(self, launch: Launch, timeout: float, into: str = "") -> Ran:
        self.ran.append((launch, timeout, into))
        argv = launch.argv
        given = {
            argv[place]: argv[place + 1] for place in range(1, len(argv) - 1) if argv[place].startswith("--")
        }
        self.seen = (_read(given["--host"]), argv)
        self.begun.set()
        if self.waits is not None:
            await self.waits.wait()
        self.leave(Path(given["--out"]))
        return Ran(self.status, self.printed, 2.5, timed_out=self.late)


def _read(path: str) -> Any:
    return json.loads(Path(path).read_text())


class Yard(Office):
    def __init__(self) -> None:
        super().__init__()
        self.worker = Worker(self.inbox, self.desk.clock)  # type: ignore[arg-type]
        self.worker.begun = asyncio.Event()
        self.processes = self.worker

    @property
    def trials(self) -> LauncherTrials:
        return self.desk.trials

    async def add(self, command: str = '["pytest"]') -> str:
        source = self.folder / f"source-{len(command)}"
        source.mkdir()
        (source / "node.toml").write_text(MANIFEST.format(command=command))
        digest, _ = await self.releases.add(pack(source).blob)
        return digest

    @property
    def left(self) -> list[str]:
        evidence = self.folder / "evidence"
        return os.listdir(evidence) if evidence.is_dir() else []


@pytest.fixture
def yard() -> Iterator[Yard]:
    for made in offices(Yard):
        assert isinstance(made, Yard)
        yield made


@looped
async def test_the_worker_is_asked_and_its_answer_told(yard: Yard) -> None:
    digest = await yard.add()
    found = await yard.trials.run("catalog", digest)
    assert (found.version, found.passed, found.output, found.detail) == ("1.4.0", True, "3 passed\n", "")
    assert found.seconds == 2.5
    ((launch, timeout, into),) = yard.worker.ran
    assert (launch.node, launch.user, launch.data, timeout, into) == (WORKER, "7", False, LONGEST + GRACE, "")
    assert launch.memory and launch.pids
    host, argv = yard.worker.seen
    assert host == {"python": "/usr/bin/python3", "env": {"LANG": "C"}}
    assert argv[:4] == ("/bin/sleep", "--test-only", "--node", str(yard.releases.path(digest)))
    assert yard.left == []


@pytest.mark.parametrize(
    ("change", "passed", "detail"),
    [
        ({"passed": False, "detail": "exit code 3"}, False, "exit code 3"),
        ({"passed": 1}, False, ""),
        ({"passed": "true"}, False, ""),
        ({"output": 7}, True, ""),
        ({"detail": "a\x1b[2Jb"}, True, "a[2Jb"),
        ({"detail": "x" * 5000}, True, "x" * 1000),
    ],
)
@looped
async def test_what_the_outcome_says(yard: Yard, change: dict[str, Any], passed: bool, detail: str) -> None:
    yard.worker.leave = lambda out: out.write_text(json.dumps({**GOOD, **change}))
    found = await yard.trials.run("catalog", await yard.add())
    assert (found.passed, found.detail) == (passed, detail)


@looped
async def test_the_end_of_long_output_is_kept(yard: Yard) -> None:
    yard.worker.leave = lambda out: out.write_text(
        json.dumps({**GOOD, "output": "a" * 100_000 + "\x1bend\n"})
    )
    found = await yard.trials.run("catalog", await yard.add())
    assert len(found.output) < 65536 and found.output.endswith("aend\n")


@pytest.mark.parametrize(
    "leave",
    [
        lambda out: out.write_text("{"),
        lambda out: out.write_text("[]"),
        lambda out: out.write_bytes(b"\xff"),
        lambda out: out.write_text("[" * 100_000),
        lambda out: out.write_text(json.dumps({**GOOD, "output": "a" * 600_000})),
        lambda out: os.mkfifo(out),
        lambda out: out.mkdir(),
    ],
)
@looped
async def test_what_is_no_outcome_has_not_passed(yard: Yard, leave: Leave) -> None:
    yard.worker.leave = leave
    found = await asyncio.wait_for(yard.trials.run("catalog", await yard.add()), 10)
    assert not found.passed and found.output == ""
    assert found.detail == "what was left of the run is not what a worker leaves"


@pytest.mark.parametrize("leave", [lambda out: None, lambda out: out.symlink_to("/etc/passwd")])
@looped
async def test_a_worker_that_leaves_nothing(yard: Yard, leave: Leave) -> None:
    yard.worker.leave, yard.worker.status = leave, "code 2"
    yard.worker.printed = "a line\nnoded-regenerate: bad\x1b input\n"
    found = await yard.trials.run("catalog", await yard.add())
    assert found.detail == "they could not be run (code 2): noded-regenerate: bad input"
    yard.worker.printed = ""
    found = await yard.trials.run("catalog", await yard.add('["other"]'))
    assert found.detail.endswith("it printed nothing")


@looped
async def test_an_outcome_of_a_worker_that_was_killed_does_not_count(yard: Yard) -> None:
    yard.worker.status = "signal 9"
    assert not (await yard.trials.run("catalog", await yard.add())).passed


@looped
async def test_one_that_takes_too_long(yard: Yard) -> None:
    yard.worker.late = True
    found = await yard.trials.run("catalog", await yard.add())
    assert (found.passed, found.detail) == (False, "they were ended after 2 s")
    assert yard.left == []


@looped
async def test_one_at_a_time_for_each_node(yard: Yard) -> None:
    digest, trials = await yard.add(), yard.trials
    yard.worker.waits = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(trials.run("catalog", digest))
        await yard.worker.begun.wait()
        with pytest.raises(Conflict, match="the tests of catalog run already"):
            await trials.run("catalog", digest)
        yard.worker.waits.set()
    assert first.result().passed
    assert (await trials.run("catalog", digest)).passed


@looped
async def test_a_caller_that_goes_away_leaves_nothing(yard: Yard) -> None:
    digest, trials = await yard.add(), yard.trials
    yard.worker.waits = asyncio.Event()
    task = asyncio.create_task(trials.run("catalog", digest))
    await yard.worker.begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert yard.left == []
    yard.worker.waits = None
    assert (await trials.run("catalog", digest)).passed


@looped
async def test_what_an_earlier_noded_left_is_in_nobodys_way(yard: Yard) -> None:
    left = yard.folder / "evidence/.tests-catalog"
    left.mkdir(parents=True)
    (left / "outcome").write_text(json.dumps({**GOOD, "output": "old"}))
    assert (await yard.trials.run("catalog", await yard.add())).output == "3 passed\n"


@looped
async def test_what_cannot_be_tested(yard: Yard) -> None:
    with pytest.raises(Refused, match=r"catalog 1.4.0 has no tests: tests.command"):
        await yard.trials.run("catalog", await yard.add("[]"))
    with pytest.raises(NotFound):
        await yard.trials.run("catalog", DIGEST)
    assert yard.worker.ran == [] and yard.left == []


@looped
async def test_over_the_wire(yard: Yard) -> None:
    digest = await yard.add()
    record = {"node": "catalog", "version": "1.4.0", "digest": digest, "origin": "", "at": 1.0}
    await yard.registry.put("releases/catalog/1.4.0", json.dumps(record).encode())
    yard.state = host(node("catalog", release=Release("catalog", "1.4.0", digest, "uid 0")))
    async with opened(yard) as stub:
        for version in ("", "1.4.0"):
            found = await stub.RunTests(pb.RunTestsRequest(node="catalog", version=version), timeout=10)
            assert (found.version, found.passed, found.output) == ("1.4.0", True, "3 passed\n")
        for request, code in (
            (pb.RunTestsRequest(node="nobody"), "NOT_FOUND"),
            (pb.RunTestsRequest(node="catalog", version="9"), "NOT_FOUND"),
            (pb.RunTestsRequest(node="../x"), "INVALID_ARGUMENT"),
            (pb.RunTestsRequest(node="catalog", version="../x"), "INVALID_ARGUMENT"),
        ):
            assert (await code_of(stub.RunTests(request, timeout=10)))[0] == code
        await yard.releases.remove(digest)
        assert (await code_of(stub.RunTests(pb.RunTestsRequest(node="catalog"), timeout=10)))[
            0
        ] == "NOT_FOUND"
