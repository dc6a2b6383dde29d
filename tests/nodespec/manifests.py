"""A small manifest, and how the tests bend it."""

import pytest

from nodespec.reading import ManifestError, read_node

SMALL = """
[node]
name = "payment"
version = "1.4.0"
run = ["python", "-m", "payment"]
"""


def mistakes(text: str) -> list[str]:
    with pytest.raises(ManifestError) as refused:
        read_node(text, "node.toml")
    assert all(line.startswith("node.toml: ") for line in str(refused.value).splitlines())
    return [str(mistake) for mistake in refused.value.mistakes]


def in_table(table: str, lines: str) -> str:
    """The small manifest with these lines added to one table of it."""
    return f"{SMALL}{lines}\n" if table == "node" else f"{SMALL}[{table}]\n{lines}\n"
