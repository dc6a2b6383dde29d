"""Do the gates that run code decide on the numbers as they say?"""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from nodespec.manifest import NodeSpec, Tests
from regenerator.children import Ran
from regenerator.proof import Baseline, fault_of_tests, stay_useful, stop_growing
from regenerator.sandbox import Sandbox
from regenerator.trial import Bench, Deadline, Load, Tested, environment, sdk_folders
from tests.regenerator.bench import incident

MIB = 1 << 20
PASSED = Ran(0, "", 1.0, "", "")


def load(seconds: float = 2.0, rate: float = 5 * MIB, requests: int = 2500, step: int = 0) -> Load:
    """Resident memory that grows by `rate` bytes a second, in steps when `step` is given."""
    samples = []
    for tick in range(101):
        at = seconds * tick / 100
        grown = int(rate * at)
        samples.append((at, 20 * MIB + (grown - grown % step if step else grown)))
    return Load(requests, seconds, tuple(samples), "")


@pytest.fixture
def broken(tmp_path: Path) -> Bench:
    """A node that cannot start: a second measurement gives nothing."""
    spec = NodeSpec("shop", "1.0.0", ("false",), tests=Tests(("false",), 5.0, ("false",)))
    sandbox = Sandbox("", "/usr/bin/python3", (), tmp_path)
    return Bench(spec, {}, sandbox, Deadline(20.0), tmp_path, incident())


def baseline(measured: Load) -> Baseline:
    return Baseline(Tested(PASSED, 13, 1), measured, measured.growth(2000))


def test_growth_is_that_of_the_last_requests() -> None:
    steady = load()
    assert steady.growth(2000) == pytest.approx(8 * MIB, rel=0.02)
    assert steady.portions(2000) == pytest.approx([2 * MIB] * 4, rel=0.1)
    assert load(step=MIB).growth(2000) == pytest.approx(8 * MIB, rel=0.2)


def test_a_warm_up_is_left_out() -> None:
    samples = tuple((t / 50, min(t, 20) * MIB) for t in range(101))
    warm = Load(2500, 2.0, samples, "")
    assert warm.growth(2000) == 0
    assert sum(warm.portions(2000)) == 0


@pytest.mark.parametrize(
    ("ratio", "passed"), [(0.4, True), (1.0, True), (1.45, True), (1.6, False), (9.0, False)]
)
def test_retained_effect(broken: Bench, tmp_path: Path, ratio: float, passed: bool) -> None:
    parent = baseline(load(2.0))
    gate = asyncio.run(stay_useful(broken, tmp_path, tmp_path, parent, load(2.0 * ratio), tmp_path))
    assert gate.name == "retained-effect"
    assert gate.passed is passed
    assert f"{ratio:.2f} times" in gate.detail


def test_a_bound_that_the_budget_cannot_fill_is_not_proved(broken: Bench, tmp_path: Path) -> None:
    gate, _ = asyncio.run(stop_growing(broken, tmp_path, tmp_path, baseline(load()), 1000 * MIB))
    assert not gate.passed
    assert "the budget leaves" in gate.detail


def test_a_candidate_that_does_not_start(broken: Bench, tmp_path: Path) -> None:
    gate, _ = asyncio.run(stop_growing(broken, tmp_path, tmp_path, baseline(load()), MIB))
    assert not gate.passed
    assert "the candidate ended while starting (exit code 1)" in gate.detail


@pytest.mark.parametrize(
    ("tested", "told"),
    [
        (Tested(PASSED, 13, 1), ""),
        (Tested(PASSED, 13, 0), ""),
        (Tested(replace(PASSED, code=1, last_line="FAILED"), 13, 1), "exit code 1: FAILED"),
        (Tested(replace(PASSED, ended_by="time limit of 5.0 s"), -1, 0), "time limit of 5.0 s"),
        (Tested(PASSED, 12, 1), "12 tests ran, the parent ran 13"),
        (Tested(PASSED, -1, 0), "-1 tests ran, the parent ran 13"),
        (Tested(PASSED, 13, 2), "2 tests were skipped, the parent skipped 1"),
    ],
)
def test_which_test_runs_pass(tested: Tested, told: str) -> None:
    assert fault_of_tests(tested, Tested(PASSED, 13, 1)) == told


def test_the_parents_folder_on_the_path_becomes_that_of_the_trial(broken: Bench, tmp_path: Path) -> None:
    """Else a candidate's trial would run the parent's code."""
    parent, trial, sdk = tmp_path / "parent", tmp_path / "trial", tmp_path / "sdk"
    for folder in (parent, parent / "src", trial, sdk):
        folder.mkdir()
    told = {"PYTHONPATH": f"{parent}:{parent}/src:{sdk}"}
    bench = replace(broken, env=told, origin=parent)
    assert environment(bench, trial, tmp_path)["PYTHONPATH"] == f"{trial}:{trial}/src:{sdk}"
    assert sdk_folders(told, parent) == (str(sdk),)
    enclosed = replace(bench, sandbox=replace(bench.sandbox, bwrap="/usr/bin/bwrap"))
    assert environment(enclosed, trial, tmp_path)["PYTHONPATH"] == f"/node:/node/src:{sdk}"
    wheels = replace(enclosed, spec=replace(bench.spec, requirements="r.txt"))
    assert environment(wheels, trial, tmp_path)["PYTHONPATH"] == f"/node/.noded/site:/node:/node/src:{sdk}"
