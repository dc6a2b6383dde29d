"""Do the classes of `contracts generate` say what the contracts say, and nothing that is smuggled in?"""

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodectl.classes import Contract, class_names, source

ORDER = {
    "type": "object",
    "properties": {
        "note": {"type": "string"},
        "order-id": {"type": "string"},
        "class": {"enum": ["gold", "plain"]},
        "items": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"sku": {"type": "string"}, "price": {"type": "number"}},
                "required": ["sku"],
            },
        },
        "address": {"anyOf": [{"$ref": "#/$defs/address"}, {"type": "null"}]},
        "by_shop": {"type": "object", "additionalProperties": {"$ref": "#/$defs/address"}},
        "tags": {"type": "array", "items": {"type": "string"}},
        "either": {"type": ["string", "integer"]},
        "mixed": {"oneOf": [{"$ref": "#/$defs/address"}, {"type": "string"}]},
        "any": True,
    },
    "required": ["order-id", "items", "address", "class", "loose"],
    "$defs": {
        "address": {
            "type": "object",
            "properties": {"street": {"type": "string"}, "next": {"$ref": "#/$defs/address"}},
            "required": ["street"],
        }
    },
}


def made(*contracts: Contract) -> dict[str, Any]:
    text = source(contracts, "Events.")
    module = sys.modules["made"] = ModuleType("made")
    exec(compile(text, "made.py", "exec"), vars(module))
    return vars(sys.modules.pop("made"))


def test_a_contract_becomes_classes_and_back() -> None:
    names = made(Contract("shop.order.placed", ORDER))
    data = {
        "order-id": "7",
        "class": "gold",
        "items": [{"sku": "a", "price": 1.5}, {"sku": "b"}],
        "address": {"street": "Long", "next": {"street": "Short"}},
        "loose": [1],
        "by_shop": {"x": {"street": "Wide"}},
        "tags": ["new"],
        "either": 3,
        "mixed": "as it is",
    }
    event = names["OrderPlaced"].from_dict({**data, "unknown": 1})
    assert names["OrderPlaced"].TYPE == "shop.order.placed"
    assert (event.order_id, event.class_, event.note, event.loose) == ("7", "gold", None, [1])
    assert event.items[0] == names["OrderPlacedItem"](sku="a", price=1.5)
    assert event.address.next.street == "Short"
    assert event.by_shop["x"].street == "Wide"
    assert event.to_dict() == data
    assert json.loads(json.dumps(event.to_dict())) == data
    with pytest.raises(AttributeError):
        event.note = "changed"
    with pytest.raises(KeyError):
        names["OrderPlaced"].from_dict({"order-id": "7"})
    assert names["OrderPlaced"].from_dict({**data, "address": None}).address is None


def test_the_text_passes_strict_typing_and_does_not_depend_on_order(tmp_path: Path) -> None:
    contracts = [
        Contract("shop.order.placed", ORDER),
        Contract("shop.payment.captured", {"properties": {"dict": {"type": "integer"}, "classmethod": {}}}),
        Contract("tick", None),
        Contract("shop.raw.bytes", {"type": "string"}),
    ]
    text = source(contracts, "Events.")
    assert text == source(contracts[::-1], "Events.")
    assert '# "tick" has no contract: there is no class for it.' in text
    assert '# "shop.raw.bytes" is no object with properties' in text
    (tmp_path / "events.py").write_text(text)
    typed = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "events.py"]
    found = subprocess.run(typed, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize(
    ("types", "names"),
    [
        (["shop.order.placed"], ["OrderPlaced"]),
        (["placed"], ["Placed"]),
        (["a.order.placed", "b.order.placed", "b.order.sent"], ["AOrderPlaced", "BOrderPlaced", "OrderSent"]),
        (["order.placed", "x.order.placed"], ["OrderPlaced", "XOrderPlaced"]),
        (["order-placed", "order_placed"], ["OrderPlaced", "OrderPlaced2"]),
        (["2024.sum"], ["E2024Sum"]),
        (["any"], ["Any2"]),
    ],
)
def test_names(types: list[str], names: list[str]) -> None:
    assert list(class_names(types).values()) == names


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
SCHEMAS = st.recursive(
    JSON,
    lambda inner: st.one_of(
        st.fixed_dictionaries(
            {"type": st.sampled_from(["object", "array", "string", ["null", "object"]])},
            optional={
                "properties": st.dictionaries(st.text(max_size=12), inner, max_size=4),
                "required": st.lists(st.text(max_size=12), max_size=3),
                "items": inner,
                "additionalProperties": inner,
            },
        ),
        st.fixed_dictionaries(
            {},
            optional={
                "enum": st.lists(JSON, max_size=3),
                "anyOf": st.lists(inner, max_size=3),
                "$ref": st.sampled_from(["#", "#/$defs/a", "x"]),
            },
        ),
    ),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(max_size=12), SCHEMAS, max_size=5), SCHEMAS, st.text(max_size=12))
def test_whatever_a_schema_says_the_text_is_python(known: dict[str, Any], a: Any, type: str) -> None:
    made(Contract(type, {"properties": known, "required": list(known), "$defs": {"a": a}}))


@pytest.mark.parametrize(
    "evil", ['x"] = __import__("os")', "a\nimport os", "\\", "'''", '"""', "cls", "__class__"]
)
def test_names_in_schemas_are_never_code(evil: str) -> None:
    names = made(
        Contract(evil, {"properties": {evil: {"enum": [evil]}}, "required": [evil]}),
        Contract("t", {"properties": {evil: {"type": "object", "properties": {evil: {}}}}}),
    )
    assert "os" not in names
    assert names["T"].from_dict({evil: {evil: 3}}).to_dict() == {evil: {evil: 3}}


@pytest.fixture
def folder(node_folder: Path) -> Path:
    (node_folder / "contracts").mkdir()
    (node_folder / "contracts/order.json").write_text(json.dumps(ORDER))
    with (node_folder / "node.toml").open("a") as manifest:
        manifest.write('[[publishes]]\ntype = "shop.order.placed"\nschema = "contracts/order.json"\n')
        manifest.write('[[consumes]]\ntype = "shop.tick"\n[[consumes]]\ntype = "shop.order.placed"\n')
    return node_folder


def test_the_command(desk: Any, folder: Path, tmp_path: Path) -> None:
    shown = desk("contracts", "generate", str(folder)).stdout
    assert shown.startswith('"""The events of catalog.\n')
    assert 'TYPE: ClassVar[str] = "shop.order.placed"' in shown
    assert shown.count("class OrderPlaced:") == 1
    out = tmp_path / "events.py"
    assert desk("contracts", "generate", str(folder), "--out", str(out)).stdout == ""
    assert out.read_text() == shown
    assert out.stat().st_mode & 0o777 == 0o644


def test_a_folder_that_is_no_node(desk: Any, folder: Path, tmp_path: Path) -> None:
    (folder / "contracts/order.json").write_text("{")
    out = tmp_path / "events.py"
    told = desk("contracts", "generate", str(folder), "--out", str(out), expect=2).stderr
    assert "publishes[0].schema" in told
    assert not out.exists()
    told = desk("contracts", "generate", str(tmp_path / "missing"), expect=2).stderr
    assert told.startswith(f"nodectl: cannot generate classes for {tmp_path / 'missing'}:\n")
    (folder / "contracts/order.json").write_text("{}")
    told = desk(
        "contracts", "generate", str(folder), "--out", str(tmp_path / "no/events.py"), expect=1
    ).stderr
    assert "cannot write" in told
