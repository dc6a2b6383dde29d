"""Is the command line complete, forgiving about order, strict about words, and quick?"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from nodectl import VERSION
from nodectl.cli import nodectl
from nodectl.failures import Exit
from tests.docs.markdown import section
from tests.fakes.control import a_node

ROOT = Path(__file__).resolve().parents[2]


def every(command: click.Command, *words: str) -> list[tuple[str, ...]]:
    below = command.commands.items() if isinstance(command, click.Group) else ()
    return [words, *(line for name, one in below for line in every(one, *words, name))]


def test_the_version_without_noded() -> None:
    assert CliRunner().invoke(nodectl, ["--version"]).output == f"nodectl {VERSION}\n"


def test_the_tree() -> None:
    assert [" ".join(words) for words in every(nodectl)][1:] == [
        *("apply", "plan", "validate", "diff", "releases", "test"),
        *("candidate", "candidate export", "contracts", "contracts generate"),
        *("rollout", "rollout status", "rollout watch", "rollout promote", "rollout abort", "rollout pause"),
        *("rollout resume", "rollout retry", "rollout rollback", "rollout history"),
        *("status", "describe", "top", "logs", "explain", "incidents", "incidents list", "incidents approve"),
        *("events", "events tail", "events show", "events publish", "events replay", "events dead"),
        *("events dead list", "events dead requeue", "events dead drop", "map", "trace"),
        *("start", "stop", "restart", "reload", "remove", "exec", "pause", "resume"),
        *("doctor", "audit", "bundle", "backup", "restore", "schema", "completion", "version"),
    ]


def test_the_help_has_every_command_in_its_section(desk: Any) -> None:
    lines = desk("--help").stdout.splitlines()
    first = [line.split()[0] for line in lines if line.startswith("  ")]
    assert [name for name in nodectl.commands if name not in first] == []
    assert [line for line in lines if line in ("Versions:", "Look:", "Events:", "Orders:", "Host:")] == [
        *("Versions:", "Look:", "Events:", "Orders:", "Host:")
    ]
    # what stands in the list is a whole sentence
    assert not [line for line in lines[1:] if line.endswith("...")]


def test_the_exit_codes_are_in_one_table() -> None:
    guide = (ROOT / "docs/guides/administer.md").read_text("utf-8")
    told = {int(found[1]) for found in re.finditer(r"(?m)^\| (\d+) \| ", section(guide, "Exit codes"))}
    assert told == {code.value for code in Exit}


@pytest.mark.parametrize("words", every(nodectl), ids=" ".join)
@pytest.mark.parametrize("asked", ["-h", "--help"])
def test_every_command_has_help(desk: Any, words: tuple[str, ...], asked: str) -> None:
    output = desk(*words, asked).stdout
    assert output.startswith("Usage: nodectl")
    assert "\n\n  " in output  # a sentence below the usage
    assert desk.control.calls == []


BAD_WORDS = {
    "unknown command": (["stauts"], "No such command"),
    "no command of rollout": (["rollout", "catalog"], "No such command"),
    "missing node": (["stop"], "Missing argument"),
    "bad node": (["stop", "Catalog"], "'Catalog' is no node name"),
    "empty node": (["stop", ""], "is no node name"),
    "bad instance": (["logs", "Cat.1"], "is no node name"),
    "no instance": (["logs", "catalog.x"], "expected one such as catalog.7"),
    "too long a node": (["stop", "a" * 33], "is no node name"),
    "unknown option": (["status", "--all"], "No such option"),
    "bad output": (["status", "-o", "xml"], "is not one of"),
    "no wide form": (["describe", "catalog", "-o", "wide"], "is not one of"),
    "no names": (["-o", "name", "describe", "catalog"], "-o name is for lists"),
    "neither node nor host": (["pause"], "nodectl pause NODE; the whole host: nodectl pause --host"),
    "neither, again": (["resume"], "nodectl resume NODE; the whole host: nodectl resume --host"),
    "no program": (["exec", "catalog"], "Missing argument"),
    "an unmarked option": (["exec", "catalog", "ls", "-l"], "No such option"),
    "no file": (["backup"], "Missing option"),
    "a form for a file": (["backup", "-o", "json"], "nodectl -o json backup -o FILE"),
    "no such shell": (["completion", "csh"], "is not one of"),
    "no such schema": (["schema", "fleet"], "is not one of"),
    "bad duration": (["status", "--timeout", "soon"], "expected one such as 30s"),
    "no duration": (["status", "--timeout", "0s"], "expected one such as 30s"),
    "bad count": (["logs", "catalog", "-n", "0"], "is not in the range"),
    "too many words": (["stop", "catalog", "now"], "unexpected extra argument"),
}


@pytest.mark.parametrize("case", BAD_WORDS)
def test_bad_words_are_usage_errors(desk: Any, case: str) -> None:
    words, said = BAD_WORDS[case]
    assert said in desk(*words, expect=2).stderr
    assert desk.control.calls == []


def test_options_stand_before_or_after_the_command(desk: Any, tmp_path: Path) -> None:
    desk.control.status.nodes.append(a_node())
    before = desk("-o", "json", "--timeout", "5s", "describe", "catalog").stdout
    assert before == desk("describe", "-o", "json", "catalog", "--timeout", "5000ms").stdout
    # what stands later wins
    assert desk("-o", "json", "status", "-o", "table").stdout.startswith("NODE")
    # the option before the command is stronger than the environment
    desk("--socket", str(tmp_path / "none"), "status", expect=4)
    desk("rollout", "history", "catalog", "--socket", str(tmp_path / "none"), expect=4)


def typed(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nodectl", *words],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}/daemon:{ROOT}/proto", **environment},
    )


def test_as_a_program(desk: Any) -> None:
    desk.control.status.nodes.append(a_node("catalog", detail="naïve"))
    done = typed("status", NODED_SOCKET_PATH=str(desk.socket))
    assert (done.returncode, done.stderr) == (0, "") and "catalog  1.4.0" in done.stdout
    done = typed("describe", "catalog", NODED_SOCKET_PATH=str(desk.socket), PYTHONIOENCODING="ascii")
    assert done.returncode == 0 and "na\\xefve" in done.stdout


@pytest.mark.parametrize(
    ("module", "dear"),
    [
        ("nodectl.cli", ["grpc", "rich", "yaml", "pydantic"]),
        ("nodectl.commands.status", ["yaml", "pydantic", "nodespec"]),
        ("nodectl.commands.schema", ["grpc", "rich", "yaml"]),
    ],
)
def test_it_starts_quickly(module: str, dear: list[str]) -> None:
    """Milliseconds say little on a shared machine, so the dear imports are counted."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, {module}; print([m for m in {dear} if m in sys.modules])"],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
        env={"PYTHONPATH": f"{ROOT}/daemon:{ROOT}/proto"},
    )
    assert done.stdout == "[]\n"
