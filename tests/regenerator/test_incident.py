"""Is a wrong incident refused whole, with every mistake located?"""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from regenerator.incident import BadInput, read_incident

GOOD: dict[str, Any] = {
    "node": "catalog",
    "incident": "catalog-1",
    "signature": "memory-growth",
    "parent": {"version": "1.0.0", "digest": "sha256:" + "0" * 64},
    "next_version": "1.0.0+heal.1",
    "slope": 1200000,
    "limit": 268435456,
    "sites": [{"file": "catalog/quotes.py", "line": 41, "function": "quote", "bytes": 3000, "count": 1}],
    "caches": [{"name": "pages", "entries": 10, "limit": 100}],
    "rungs": [{"rung": "collect", "freed": -12.5, "verdict": "worse"}],
    "env": {"PYTHONPATH": "/usr/lib"},
    "python": sys.executable,
}


def read(tmp_path: Path, content: object) -> object:
    path = tmp_path / "incident.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_incident(path)


def test_a_right_one_is_read_and_hashed(tmp_path: Path) -> None:
    path = tmp_path / "incident.json"
    path.write_text(json.dumps(GOOD))
    evidence = read_incident(path)
    assert evidence.incident.sites[0].line == 41
    assert evidence.incident.slope == 1.2e6
    assert evidence.digest.startswith("sha256:")
    assert len(evidence.digest) == 71


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("node", "Catalog", "node:"),
        ("node", 7, "node:"),
        ("incident", "../../etc", "incident:"),
        ("signature", "", "signature:"),
        ("parent", {"version": "1.0.0"}, "parent.digest:"),
        ("parent", {"version": "1.0.0", "digest": "sha256:abc"}, "parent.digest:"),
        ("parent", {"version": "1/0", "digest": "sha256:" + "0" * 64}, "parent.version:"),
        ("next_version", "1.0.0", "next_version: expected another version"),
        ("next_version", '1"\nrun = ["x"]', "next_version:"),
        ("slope", "fast", "slope:"),
        ("slope", -1, "slope:"),
        ("limit", 1.5, "limit:"),
        ("limit", True, "limit:"),
        ("sites", {}, "sites:"),
        ("sites", [{"file": "a.py"}], "sites.0.line:"),
        ("sites", [{"file": "a.py", "line": "7"}], "sites.0.line:"),
        ("sites", [{"file": "a.py", "line": 0}], "sites.0.line:"),
        ("sites", [{"file": "", "line": 1}], "sites.0.file:"),
        ("sites", [{"file": "a.py", "line": 1, "colour": "red"}], "sites.0.colour:"),
        ("sites", [{"file": "a.py", "line": 1}] * 201, "sites:"),
        ("caches", [{"entries": 3}], "caches.0.name:"),
        ("rungs", ["collect"], "rungs.0:"),
        ("env", {"A-B": "x"}, "env.A-B"),
        ("env", {"NODED_LISTEN": "x"}, "env.NODED_LISTEN:"),
        ("env", {"PYTHONPATH": "here:/usr"}, "env.PYTHONPATH:"),
        ("python", "python3", "python:"),
        ("python", "/nowhere/python3", "python:"),
        ("colour", "red", "colour:"),
    ],
)
def test_each_wrong_key_is_named(tmp_path: Path, key: str, value: object, told: str) -> None:
    with pytest.raises(BadInput) as caught:
        read(tmp_path, GOOD | {key: value})
    assert f"incident.json: {told}" in str(caught.value)


@pytest.mark.parametrize("key", ["node", "incident", "signature", "parent", "next_version"])
def test_each_missing_key_is_named(tmp_path: Path, key: str) -> None:
    with pytest.raises(BadInput, match=f"incident.json: {key}: Field required"):
        read(tmp_path, {name: value for name, value in GOOD.items() if name != key})


def test_all_mistakes_come_at_once(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        read(tmp_path, GOOD | {"node": "", "slope": "x", "sites": [{"line": -1}]})
    assert len(str(caught.value).splitlines()) == 4


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"slope": NaN}', "\x00", "[" * 5000])
def test_what_is_no_incident_at_all(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInput, match=r"incident\.json"):
        read(tmp_path, text)


def test_size_and_absence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="at most 1,048,576 bytes"):
        read(tmp_path, json.dumps(GOOD) + " " * (1 << 20))
    with pytest.raises(BadInput, match="cannot be read: No such file"):
        read_incident(tmp_path / "nothing.json")
    with pytest.raises(BadInput, match="cannot be read: Is a directory"):
        read_incident(tmp_path)
