"""Does the whole worker prove what is good, refuse what is not, and leave nothing when it is stopped?"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodespec.environment import RECORD, Environment, digest_of_requirements
from nodespec.release import digest_of_tree, pack, unpack
from tests.regenerator.workshop import (
    BWRAP,
    LEAKY,
    SYSTEM_PYTHON,
    Bench,
    bench,
    needs_bwrap,
    processes_with,
    program,
    running,
    wait_for,
)

GATES = ["parse", "paths", "diff-size", "public-names", "policy", "tests", "reproduction", "retained-effect"]


@pytest.fixture
def place() -> Iterator[Bench]:
    with bench() as made:
        yield made


def tree(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


@needs_bwrap
def test_a_leak_becomes_a_candidate(place: Bench) -> None:
    before = tree(place.node)
    incident = place.incident()
    done = place.run(incident)
    assert done.returncode == 0, done.stderr
    report = place.report()
    assert report["verdict"] == "candidate", report["reason"]
    assert [gate["name"] for gate in report["gates"]] == GATES
    assert all(gate["passed"] for gate in report["gates"])
    assert report["sandbox"] == "bubblewrap"
    assert report["generator"] == "codemod:bound-cache/1"
    assert report["site"]["file"] == "leaky/pages.py"
    assert report["parent"] == {"version": "1.0.0", "digest": digest_of_tree(place.node)}
    assert report["constraints"] == ["a page asked for twice is written once"]
    assert report["evidence"] == "sha256:" + hashlib.sha256(incident.read_bytes()).hexdigest()
    assert 0 < report["diff_lines"] <= 120
    assert (place.out / "change.diff").read_text() == report["diff"]
    assert sorted(os.listdir(place.out)) == ["change.diff", "release", "report.json"]

    after = tree(place.out / "release")
    assert {name for name in after if after[name] != before.get(name)} == {"leaky/pages.py", "node.toml"}
    assert after.keys() == before.keys()
    assert after["node.toml"] == before["node.toml"].replace(b'"1.0.0"', b'"1.0.0+heal.1"')
    assert tomllib.loads(after["node.toml"].decode())["node"]["version"] == "1.0.0+heal.1"
    assert tree(place.node) == before


@needs_bwrap
def test_the_wheels_of_the_parent_are_the_candidates_and_nobodys_to_change(place: Bench) -> None:
    site = place.node / ".noded/site"
    site.mkdir(parents=True)
    place.change("node.toml", 'start_timeout = "5s"', 'requirements = "r.txt"')
    (place.node / "r.txt").write_text("x==1\n")
    digest = digest_of_requirements((place.node / "r.txt").read_bytes())
    (place.node / RECORD).write_bytes(Environment(digest, "3.11", "any", "pip").text())
    (site / "written.py").write_bytes((place.node / "leaky/pages.py").read_bytes())
    (site / "spare.py").write_text("kept = {}\n")
    sites = [{"file": ".noded/site/written.py", "line": 18, "bytes": 4_100_000, "count": 1000}]
    done = place.run(place.incident(sites=sites))
    assert done.returncode == 0, done.stderr
    assert place.report()["verdict"] == "none", "a wheel is nobody's to change"

    shutil.rmtree(place.out)
    done = place.run()
    assert done.returncode == 0, done.stderr
    assert place.report()["verdict"] == "candidate", place.report()["reason"]
    before, after = tree(place.node / ".noded"), tree(place.out / "release/.noded")
    assert after == before and len(after) == 3
    assert unpack(pack(place.out / "release").blob, place.folder / "taken").startswith("sha256:")


def test_without_a_sandbox_a_codemod_still_goes_on(place: Bench) -> None:
    done = place.run(NODED_BWRAP="/nowhere/bwrap")
    assert done.returncode == 0, done.stderr
    assert place.report()["verdict"] == "candidate", place.report()["reason"]
    assert place.report()["sandbox"] == "none"


@needs_bwrap
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_as_an_unprivileged_user(place: Bench) -> None:
    os.chown(place.folder, 65534, 65534)
    incident = place.incident()
    place.lock()
    if subprocess.run(
        ["setpriv", "--reuid", "65534", "--clear-groups", sys.executable, "-c", "pass"], check=False
    ).returncode:
        pytest.skip("the interpreter of the tests is not readable by others")
    done = place.run(incident, before=("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"))
    assert done.returncode == 0, done.stderr
    assert place.report()["verdict"] == "candidate", place.report()["reason"]
    assert place.report()["sandbox"] == "bubblewrap"
    made = place.out / "release/leaky/pages.py"
    assert made.stat().st_uid == 65534
    assert made.stat().st_mode & 0o777 == 0o644
    assert sorted(os.listdir(place.out)) == ["change.diff", "release", "report.json"]


def test_a_parent_that_does_not_grow_makes_the_evidence_unfit(place: Bench) -> None:
    place.change("soak.py", 'f"{run}-{number}" if number % 10 else', "")
    place.change("soak.py", "{max(number - 5, 0)}", "{number % 50}")
    assert place.run(budget=12).returncode == 0
    report = place.report()
    assert report["verdict"] == "none"
    assert "evidence unfit" in report["reason"]
    assert place.failed_gate()["name"] == "reproduction"
    assert sorted(os.listdir(place.out)) == ["change.diff", "report.json"]


@pytest.mark.parametrize(
    ("path", "old", "new", "told"),
    [
        ("tests/check_pages.py", '"page a "', '"page b "', "the parent's own tests fail: exit code 1"),
        ("soak.py", "return 0", "return 3", "the parent did not stand the soak load: exit code 3"),
        (
            "leaky/__main__.py",
            "asyncio.run(main())",
            "raise SystemExit(4)",
            "the parent ended while starting (exit code 4)",
        ),
        (
            "leaky/__main__.py",
            "await writer.drain()",
            "raise SystemExit(5)",
            "the parent ended under load (exit code 5)",
        ),
        ("node.toml", 'soak = ["python3", "soak.py"]', "", "no tests.soak"),
        (
            "node.toml",
            "command = [",
            'command = ["/nowhere/python", ',
            "the parent's own tests fail: exit code",
        ),
    ],
)
def test_a_parent_that_cannot_be_measured(place: Bench, path: str, old: str, new: str, told: str) -> None:
    place.change(path, old, new)
    assert place.run(budget=20).returncode == 0
    assert place.report()["verdict"] == "none"
    assert told in place.report()["reason"]
    assert not (place.out / "release").exists()


def test_a_candidate_that_fails_the_tests_of_the_node(place: Bench) -> None:
    place.change(
        "tests/check_pages.py",
        "        before =",
        "        [pages.page(str(n)) for n in range(3000)]\n        before =",
    )
    assert place.run().returncode == 0
    assert place.report()["verdict"] == "rejected"
    assert place.failed_gate()["name"] == "tests"
    assert "run 1 of 3: exit code 1" in place.failed_gate()["detail"]
    assert not (place.out / "release").exists()


def test_a_candidate_that_still_grows(place: Bench) -> None:
    place.change("leaky/pages.py", "made: dict", "kept: list[str] = []\nmade: dict")
    place.change(
        "leaky/pages.py",
        "        made[name] = text",
        '        made[name] = text\n        kept.append(text + "!")',
    )
    assert place.run().returncode == 0
    assert place.report()["verdict"] == "rejected"
    assert place.failed_gate()["name"] == "reproduction"
    assert "the parent grew by" in place.failed_gate()["detail"]


def test_nothing_found_is_told_with_every_refusal(place: Bench) -> None:
    place.change(
        "leaky/pages.py",
        "def render",
        "def everything() -> list[str]:\n    return list(made.values())\n\n\ndef render",
    )
    assert place.run().returncode == 0
    report = place.report()
    assert report["verdict"] == "none"
    assert "iterated" in report["reason"]
    assert report["refused"][0]["site"]["file"] == "leaky/pages.py"
    assert report["gates"] == []


def test_another_signature_and_no_sites(place: Bench) -> None:
    assert place.run(place.incident(signature="latency")).returncode == 0
    assert "no generator knows the signature latency" in place.report()["reason"]
    shutil.rmtree(place.out)
    assert place.run(place.incident(sites=[])).returncode == 0
    assert "names no site" in place.report()["reason"]


def test_a_short_budget_is_kept(place: Bench) -> None:
    place.change(
        "tests/check_pages.py",
        "        before =",
        "        import time\n        time.sleep(30)\n        before =",
    )
    assert place.run(budget=2).returncode == 0
    assert place.report()["verdict"] in {"none", "rejected"}
    assert place.report()["seconds"] < 5
    assert "budget of 2 s is used up" in place.report()["reason"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"node": "other"}, "node.toml: node.name: the incident speaks of 'other', got 'leaky'"),
        ({"parent": {"version": "0.9", "digest": "sha256:" + "0" * 64}}, "node.toml: node.version"),
        ({"line": 3}, "incident.json: line:"),
        ({"parent": {"version": "1.0.0", "digest": "sha256:" + "0" * 64}}, "that the incident names"),
    ],
)
def test_bad_input_makes_nothing(place: Bench, given: dict[str, object], told: str) -> None:
    done = place.run(place.incident(**given))
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not place.out.exists()


def test_bad_arguments(place: Bench) -> None:
    place.out.mkdir()
    (place.out / "mine").write_text("precious")
    done = place.run()
    assert done.returncode == 2
    assert "does not exist or is empty" in done.stderr
    assert os.listdir(place.out) == ["mine"]
    shutil.rmtree(place.out)
    assert place.run(budget=1).returncode == 2
    (place.node / "node.toml").write_text("[node]\nname = 'leaky'\n")
    done = place.run()
    assert done.returncode == 2
    assert "node.toml: node.version" in done.stderr
    shutil.rmtree(place.node / "leaky")
    (place.node / "node.toml").unlink()
    incident = place.folder / "incident.json"
    assert place.run(incident).returncode == 2


@pytest.mark.parametrize(
    ("bwrap", "stage"),
    [pytest.param(BWRAP, "proposal", marks=needs_bwrap), ("/nowhere/bwrap", "passed  tests")],
)
def test_stopped_it_leaves_nothing(place: Bench, bwrap: str, stage: str) -> None:
    mark = f"mark-{place.folder.name}"
    if stage == "proposal":
        place.change(
            "tests/check_pages.py",
            "        before =",
            "        import time\n        time.sleep(30)\n        before =",
        )
    incident = place.incident(env={"MARK": mark})
    place.out.mkdir()
    with running(place, incident, NODED_BWRAP=bwrap) as process:
        assert process.stderr
        for line in process.stderr:
            if stage in line:
                break
        wait_for(lambda: processes_with(mark))
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 1
        assert "interrupted" in process.stderr.read()
    assert processes_with(mark) == []
    assert os.listdir(place.out) == []


@needs_bwrap
def test_killed_it_takes_the_node_along(place: Bench) -> None:
    mark = f"mark-{place.folder.name}"
    place.change(
        "tests/check_pages.py",
        "        before =",
        "        import time\n        time.sleep(30)\n        before =",
    )
    with running(place, place.incident(env={"MARK": mark})) as process:
        wait_for(lambda: any("python" in program(pid) for pid in processes_with(mark)))
        process.kill()
        process.wait(10)
        wait_for(lambda: not processes_with(mark))
    assert not (place.out / "release").exists()
    assert not (place.out / "report.json").exists()


def test_the_trial_node_is_sound() -> None:
    assert (LEAKY / "node.toml").is_file()
    assert Path(SYSTEM_PYTHON).is_absolute()
