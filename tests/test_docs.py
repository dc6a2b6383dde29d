"""Do the documents say what the code does?"""

import importlib
import math
import re
import tomllib
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Any, get_type_hints

import click
import pytest

from nodectl.cli import nodectl
from noded.config import LATER as SETTINGS_LATER
from noded.config import Settings
from noded.model import incident, instance, rollout
from noded.policy import trend, verdict
from nodespec.forms import LATER
from nodespec.manifest import Autonomy, OnInconclusive, Rung
from nodespec.reading import read, read_node, schema
from tests import house_rules
from tests.docs import markdown

ROOT = Path(__file__).resolve().parents[1]
TOP = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")
OURS = sorted((ROOT / "docs").rglob("*.md")) + [ROOT / name for name in TOP]
GUIDES = ROOT / "docs/guides"
ADRS = sorted((ROOT / "docs/adr").glob("*.md"))


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def words(path: str) -> str:
    return (ROOT / path).read_text("utf-8")


# What the documents name is there.


@pytest.mark.parametrize("path", OURS, ids=shown)
def test_named_files_are_there(path: Path) -> None:
    named = list(markdown.named_files(path.read_text("utf-8")))
    assert [name for name in named if not markdown.is_there(ROOT, name)] == []


@pytest.mark.parametrize("path", OURS, ids=shown)
def test_links_lead_somewhere(path: Path) -> None:
    targets = list(markdown.links(path.read_text("utf-8")))
    assert [target for target in targets if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("path", OURS, ids=shown)
def test_shown_commands_of_nodectl_parse(path: Path) -> None:
    for line in house_rules.shown_commands(path.read_text("utf-8"), "nodectl"):
        assert unknown(line) == "", f"nodectl {' '.join(line)}"


def unknown(line: list[str]) -> str:
    """The first word that the tree of commands does not know."""
    command: click.Command = nodectl
    # What stands behind "--" is another program's.
    rest = line[: line.index("--")] if "--" in line else list(line)
    while isinstance(command, click.Group):
        options = [word for word in rest if not word.startswith("-")]
        name = options[0] if options else ""
        if name not in command.commands:
            if "list" in command.commands:
                command = command.commands["list"]
                break
            return name or "no command"
        rest.remove(name)
        command = command.commands[name]
    known = {
        option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
    }
    return next((word for word in rest if word.startswith("-") and word not in known), "")


# ARCHITECTURE.md


@pytest.mark.parametrize(
    ("title", "enum"),
    [("An instance", instance.Phase), ("An incident", incident.Stage), ("A rollout: ", rollout.Stage)],
    ids=["instance", "incident", "rollout"],
)
def test_diagrams_show_every_stage_and_no_other(title: str, enum: type[Enum]) -> None:
    drawn = markdown.diagram(markdown.section(words("ARCHITECTURE.md"), title))
    assert drawn.states == {member.name: member.value for member in enum}
    ends = {end for edge in drawn.edges for end in edge}
    assert ends == {*drawn.states, "[*]"}


@pytest.mark.parametrize(
    ("title", "enum", "over"),
    [("An incident", incident.Stage, incident.CLOSED), ("A rollout: ", rollout.Stage, rollout.ENDED)],
    ids=["incident", "rollout"],
)
def test_diagrams_end_where_the_model_ends(title: str, enum: type[Enum], over: tuple[Enum, ...]) -> None:
    drawn = markdown.diagram(markdown.section(words("ARCHITECTURE.md"), title))
    assert {a for a, b in drawn.edges if b == "[*]"} == {stage.name for stage in over}
    assert [edge for edge in drawn.edges if edge[0] in {s.name for s in over} and edge[1] != "[*]"] == []


def test_every_room_and_program_is_named() -> None:
    text = words("ARCHITECTURE.md")
    rooms = [path.stem for path in (ROOT / "daemon/noded").iterdir() if not path.name.startswith("_")]
    assert [room for room in rooms if not re.search(rf"\b{room}\b", text)] == []
    scripts = house_rules.settings(ROOT).get("options.entry_points", "console_scripts")
    programs = [line.partition("=")[0].strip() for line in scripts.strip().splitlines()]
    assert [program for program in programs if f"`{program}`" not in text] == []


def test_every_policy_can_be_found() -> None:
    text = words("ARCHITECTURE.md") + (GUIDES / "how-healing-decides.md").read_text("utf-8")
    policies = [p.name for p in (ROOT / "daemon/noded/policy").glob("*.py") if p.name != "__init__.py"]
    inward = {"notes.py", "proxy.py"}
    assert [name for name in policies if f"policy/{name}" not in text and name not in inward] == []


# docs/guides


def manifest_rows() -> list[list[str]]:
    return [cells for cells in markdown.rows((GUIDES / "write-a-node.md").read_text("utf-8"))
            if re.fullmatch(r"`[a-z0-9_.]+`", cells[0])]  # fmt: skip


def keys_in(schema: dict[str, Any], place: dict[str, Any], prefix: str = "") -> list[str]:
    """Dotted names of the keys below a place of the JSON Schema."""
    found: list[str] = []
    for name, key in place["properties"].items():
        named = key.get("items", key).get("$ref", "")
        table = schema["$defs"].get(named.rpartition("/")[2])
        found += keys_in(schema, table, f"{prefix}{name}.") if table else [prefix + name]
    return found


def test_the_manifest_guide_has_every_key() -> None:
    documented = [cells[0].strip("`") for cells in manifest_rows()]
    assert sorted(documented) == sorted(keys_in(schema(), schema()))


def test_the_manifest_guide_has_the_defaults() -> None:
    """A manifest that writes every documented default reads as one that writes none."""
    needed = '[node]\nname = "x"\nversion = "1"\nrun = ["x"]\n[serves]\nport = 8100\n'
    events = '[[publishes]]\ntype = "a"\n[[consumes]]\ntype = "a"\n'
    lists = {name: ['type = "a"'] for name in ("publishes", "consumes")}
    tables = {"serves": ["port = 8100"], "node": needed.splitlines()[1:4], **lists}
    for key, default, *_ in manifest_rows():
        table, _, name = key.strip("`").rpartition(".")
        if default not in ("needed", "as readiness", "none"):
            tables.setdefault(table, []).append(f"{name} = {default.strip('`')}")
    heads = {table: f"[[{table}]]" if table in lists else f"[{table}]" for table in tables}
    text = "".join(f"{heads[table]}\n" + "\n".join(lines) + "\n" for table, lines in tables.items())
    needed += events
    assert read_node(text, "node.toml") == read_node(needed, "node.toml")


def test_the_manifest_guide_names_what_is_not_there_yet() -> None:
    later = markdown.section((GUIDES / "write-a-node.md").read_text("utf-8"), "Not yet supported")
    assert set(re.findall(r"`([a-z_.]+(?:=[a-z-]+)?)`", later)) == set(LATER)


def test_the_settings_guide_has_every_key_and_default() -> None:
    text = (GUIDES / "administer.md").read_text("utf-8")
    (example,) = [block for block in markdown.blocks(text, "toml") if "# Every key of noded.toml" in block]
    parts = {part.name: get_type_hints(Settings)[part.name] for part in fields(Settings)}
    known = [f"{name}.{key.name}" for name, part in parts.items() for key in fields(part)]
    assert leaves(tomllib.loads(example)) == known
    example = re.sub(r"(?m)^name = .*$", "", example)
    assert read(example, "noded.toml", Settings) == read("", "noded.toml", Settings)
    assert set(re.findall(r"`\[([a-z]+)\]`", markdown.section(text, "noded.toml"))) >= set(SETTINGS_LATER)


def leaves(table: dict[str, object], prefix: str = "") -> list[str]:
    found = []
    for name, value in table.items():
        deep = isinstance(value, dict) and name not in ("env", "peers", "tls")
        found += leaves(value, f"{prefix}{name}.") if deep else [prefix + name]  # type: ignore[arg-type]
    return found


def test_the_constants_are_those_of_the_code() -> None:
    guides = [(GUIDES / f"how-{name}-decide{end}.md") for name, end in (("healing", "s"), ("rollouts", ""))]
    told = {name: value for path in guides for name, value in markdown.constants(path.read_text("utf-8"))}
    assert len(told) >= 30
    for name, value in told.items():
        module, _, rest = name.partition(".")
        found: object = importlib.import_module(f"noded.policy.{module}")
        for part in rest.split("."):
            found = getattr(found, part)
        assert isinstance(found, int | float), name
        assert math.isclose(float(found), value), f"{name} is {found}, the guide says {value}"


def test_the_guide_names_every_rung_level_and_verdict() -> None:
    text = (GUIDES / "how-healing-decides.md").read_text("utf-8")
    for member in (*Rung, *Autonomy, *incident.Verdict):
        assert f"`{member.value}`" in text, member
    widths = ", ".join(f"{grain.width:g}" for grain in trend.GRAINS[:-1])
    assert f"{widths} and {trend.GRAINS[-1].width:g} s" in text


def test_the_guide_names_every_stage_signal_and_choice_of_a_rollout() -> None:
    text = words("docs/guides/how-rollouts-decide.md")
    for member in (*rollout.Stage, *OnInconclusive):
        assert f"`{member.value}`" in text, member
    assert re.search(r'on_failure = "freeze"', text) and re.search(r'canary = "instances"', text)
    told = {
        signal: float(cells[3].removesuffix(" each"))
        for cells in markdown.rows(markdown.section(text, "What is counted"))
        for signal in re.findall(r"`([^`]+)`", cells[0])
    }
    assert told == verdict.WEIGHTS


def judged(share: float, canary_bad: int, stable_bad: int, requests: int = 1000) -> verdict.Verdict:
    counts = verdict.Counts(share, requests, canary_bad, 9 * requests, stable_bad)
    return verdict.weigh(verdict.Case((counts,)))


def test_the_examples_of_the_verdict_hold() -> None:
    text = words("docs/guides/how-rollouts-decide.md")
    checked = 0
    for cells in markdown.rows(text):
        if re.fullmatch(r"\d+ %", cells[0]):
            share, stable_bad, needed = markdown.quantity(cells[0]), int(cells[1]), int(cells[2])
            kinds = [judged(share, bad, stable_bad).kind for bad in range(1, needed + 1)]
            assert kinds.index(verdict.ROLL_BACK) == needed - 1, cells
            checked += 1
    assert checked >= 5
    assert f"{judged(0.1, 0, 0, 0).requests_needed} requests" in text
    assert f"up to {verdict.DEFAULT.tolerance} times" in text
    assert f"At {1 / verdict.DEFAULT.false_rollback:.0f} it rolls back" in text
    assert f"It needs {1 / verdict.DEFAULT.false_promotion:.0f}." in text


# docs/adr


@pytest.mark.parametrize("path", ADRS, ids=shown)
def test_decisions_have_their_form(path: Path) -> None:
    text = path.read_text("utf-8")
    number = path.name[:4]
    assert re.match(rf"# {number}: .+\n", text)
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert [h for h in headings if h != "Measured"] == ["Context", "Decision", "Consequences"]
    assert len(text.splitlines()) <= 60, "a decision fits on a page"


def test_decisions_are_numbered_and_listed() -> None:
    assert [path.name[:4] for path in ADRS] == [f"{n:04}" for n in range(1, len(ADRS) + 1)]
    index = words("docs/README.md")
    assert [path.name for path in ADRS if f"(adr/{path.name})" not in index] == []


# All documents


@pytest.mark.parametrize("path", OURS, ids=shown)
def test_nothing_is_praised(path: Path) -> None:
    assert markdown.marketing(path.read_text("utf-8")) == []


def test_no_machine_is_named() -> None:
    assert list(house_rules.machine_paths(ROOT, OURS)) == []


def test_the_targets_are_those_of_the_demo() -> None:
    demo = pytest.importorskip("tests.e2e.demo")
    rows = {cells[0]: cells[1] for cells in markdown.rows(words("README.md")) if len(cells) == 2}
    limits = {key: re.search(r"[\d.]+", value) for key, value in rows.items()}

    def limit(begin: str) -> float:
        (found,) = [value for key, value in limits.items() if key.startswith(begin)]
        assert found
        return float(found[0])

    assert limit("whole demo") == demo.TARGETS["duration_s"]
    assert limit("failed requests") == demo.TARGETS["failed"]
    assert limit("users' errors") == demo.TARGETS["user_errors"]
    assert limit("resident memory") == demo.TARGETS["noded_mb"]


# Every rule notices an offence.


def test_notices_files_that_are_not_there() -> None:
    text = "see `policy/nothing.py`, `model/X.py`, `tests/gone/` and `policy/decide.py`\n"
    named = list(markdown.named_files(text))
    assert named == ["policy/nothing.py", "tests/gone/", "policy/decide.py"]
    assert [name for name in named if not markdown.is_there(ROOT, name)] == named[:2]


def test_notices_praise_but_not_in_code() -> None:
    assert markdown.marketing("A powerful, seamless thing.") == ["powerful", "seamless"]
    assert markdown.marketing("```\nsmart\n```\nA plain thing.\n") == []


def test_notices_unknown_commands() -> None:
    assert unknown(["status", "-w", "catalog"]) == ""
    assert unknown(["incidents", "catalog"]) == ""
    assert unknown(["exec", "catalog", "--", "ls", "--all"]) == ""
    assert unknown(["rollout", "heal", "catalog"]) == "heal"
    assert unknown(["status", "--colour"]) == "--colour"


def test_reads_diagrams_and_quantities() -> None:
    drawn = markdown.diagram('```mermaid\nstate "a b" as AB\n[*] --> AB : x\n AB --> [*]\n```\n')
    assert drawn == markdown.Diagram({"AB": "a b"}, (("[*]", "AB"), ("AB", "[*]")))
    assert [markdown.quantity(text) for text in ("5 s", "50 %", "10 min", "1,024")] == [5, 0.5, 600, 1024]
    with pytest.raises(ValueError, match="unit"):
        markdown.quantity("5 apples")
