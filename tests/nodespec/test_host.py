"""Does the schema of noded.toml say the same as its reader?"""

import json
import tomllib
from typing import Any

import pytest

from nodespec.host import LATER, Settings, schema
from nodespec.tables import ManifestError, read


def places(whole: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Section and key -> what the schema says of it."""
    found = {}
    for section, there in whole["properties"].items():
        table = whole["$defs"][there["$ref"].removeprefix("#/$defs/")]
        assert table["additionalProperties"] is False and table["required"] == []
        found |= {f"{section}.{key}": said for key, said in table["properties"].items()}
    return found


def test_every_default_of_the_schema_is_the_readers() -> None:
    """A file that writes them all reads as an empty one; the host's name is the machine's."""
    whole = json.loads(json.dumps(schema()))
    written: dict[str, list[str]] = {}
    for place, said in places(whole).items():
        section, _, key = place.partition(".")
        if place != "host.name":
            written.setdefault(section, []).append(f"{key} = {toml(said['default'])}")
    text = "".join(f"[{section}]\n" + "\n".join(keys) + "\n" for section, keys in written.items())
    assert tomllib.loads(text)["proxy"]["ports"] == ["8100-8163"]
    assert read(text, "noded.toml", Settings, LATER) == read("", "noded.toml", Settings, LATER)


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(one)}" for key, one in value.items()) + " }"
    return json.dumps(value)


def test_every_key_says_its_type_and_what_is_expected() -> None:
    whole = schema()
    assert whole["title"] == "noded.toml" and whole["additionalProperties"] is False
    for place, said in places(whole).items():
        assert said["type"] and said["description"], place


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('[proxy]\nports = ["8100-8163", "8163"]\n', "proxy.ports"),
        ("[proxy]\nports = []\n", "proxy.ports"),
        ('[nodes]\nenv = { NODED_NODE = "x" }\n', "nodes.env"),
        ("[control]\nadmins = [-1]\n", "control.admins"),
        ("[regenerate]\ncommand = []\n", "regenerate.command"),
        ('[metrics]\nlisten = "9464"\n', "metrics.listen"),
    ],
)
def test_the_reader_is_stricter_than_the_schema(text: str, wrong: str) -> None:
    with pytest.raises(ManifestError) as refused:
        read(text, "noded.toml", Settings, LATER)
    assert [mistake.key for mistake in refused.value.mistakes] == [wrong]
