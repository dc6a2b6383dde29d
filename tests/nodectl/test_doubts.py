"""Is a node that cannot start told before anything is asked of noded, and nothing else?"""

import json
from pathlib import Path
from typing import Any

import pytest

from nodectl.doubts import KEYWORDS, unknown
from nodekit.schema import KEYWORDS as JUDGED


def test_the_keywords_are_those_that_events_are_held_against() -> None:
    assert frozenset(JUDGED) == KEYWORDS


def program(folder: Path, run: str) -> None:
    (folder / "node.toml").write_text(f'[node]\nname = "catalog"\nversion = "1.5.0"\nrun = ["{run}"]\n')


@pytest.mark.parametrize("run", ["./serve", "bin/serve"])
def test_a_program_that_is_not_there(desk: Any, node_folder: Path, run: str) -> None:
    program(node_folder, run)
    result = desk("validate", str(node_folder))
    assert result.stderr == (
        f"warning: node.run: there is no {run} in {node_folder}: the node will not start\n"
    )
    assert "is valid" in result.stdout
    file = node_folder / run
    file.parent.mkdir(exist_ok=True)
    file.write_text("#!/bin/sh\n")
    told = desk("plan", str(node_folder), expect=3).stderr
    assert told == f"warning: node.run: {run} may not be executed: chmod +x {file}\n"
    file.chmod(0o755)
    assert desk("validate", str(node_folder)).stderr == ""


@pytest.mark.parametrize("run", ["python3", "/opt/x/serve", ".noded/site/bin/serve", "./.noded/site/bin/x"])
def test_programs_that_lie_elsewhere(desk: Any, node_folder: Path, run: str) -> None:
    program(node_folder, run)
    assert desk("validate", str(node_folder)).stderr == ""


@pytest.mark.parametrize(("check", "told"), [("reject", True), ("warn", True), ("off", False)])
def test_a_misspelt_contract(desk: Any, node_folder: Path, check: str, told: bool) -> None:
    with (node_folder / "node.toml").open("a") as manifest:
        manifest.write(f'[[publishes]]\ntype = "a.b"\nschema = "b.json"\ncheck = "{check}"\n')
        manifest.write('[[consumes]]\ntype = "a.c"\nschema = "b.json"\n')
    schema = {"properties": {"id": {"type": "string", "minLenght": 1}}}
    (node_folder / "b.json").write_text(json.dumps(schema))
    stderr = desk("validate", str(node_folder)).stderr
    place = "warning: publishes[0].schema: b.json: #/properties/id: no event can be held against 'minLenght'"
    assert stderr.startswith(place) is told
    assert stderr.endswith("; did you mean minLength?\n") is told


def test_only_keywords_are_looked_at() -> None:
    inner = {"wrong": 1}
    schema = {
        **{"title": "x", "enum": [inner], "const": inner, "default": inner, "required": ["wrong"]},
        **{"properties": {"wrong": inner}, "$defs": {"odd": inner}, "anyOf": [True, inner]},
        **{"prefixItems": [inner], "items": inner, "additionalProperties": inner, "not": inner},
    }
    assert [place for place, _ in unknown(schema)] == [
        *("#/properties/wrong", "#/$defs/odd", "#/anyOf/1", "#/prefixItems/0"),
        *("#/items", "#/additionalProperties", "#/not"),
    ]
    deep: Any = inner
    for _ in range(100):
        deep = {"not": deep}
    assert list(unknown(deep)) == []
