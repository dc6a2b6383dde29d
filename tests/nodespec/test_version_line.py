"""The version of a release is found in its manifest, wherever [node] stands."""

import pytest

from nodespec.version_line import version_line

MANIFESTS = [
    ('[node]\nname = "a"\nversion = "1"\n', 2),
    ('[health]\nversion = "9"\n[node]\nversion = "1"\n', 3),
    ('[node]\nname = "a"\nversion= "1" # [x]\n[regeneration]\nversion = "9"\n', 2),
    ('node.name = "a"\nnode . version = "1"\n', 1),
    ('[node]\n"version" = "1"\n', 1),
    ('note = """\n[node]\nversion = "0"\n"""\n[ node ]\n  version = "1"\n', 5),
    ('[node.env]\nversion = "9"\n[node]\nversion = "1"\n', 3),
    ('[node]\nversion = "1', None),
    ('[other]\nversion = "1"\n[node]\nname = "a"\n', None),
    ('node = { version = "1" }\n', None),
    ("node = 1\n", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "number"), MANIFESTS)
def test_the_line_that_says_it(text: str, number: int | None) -> None:
    assert version_line(text.splitlines(keepends=True)) == number
