"""Are the numbers of the contract that other languages keep those of the code?"""

import importlib
import math
from pathlib import Path

import pytest

from tests.docs import markdown

GUIDE = Path(__file__).resolve().parents[2] / "docs/guides/any-language.md"
ROWS = [
    row
    for row in markdown.rows(GUIDE.read_text("utf-8"))
    if len(row) == 3 and row[2].startswith("`nodemesh.")
]


def value(name: str) -> float:
    """Of a constant, a field's default, or an option of gRPC, whose unit is in its name."""
    parts = name.split(".")
    depth = next(n for n in range(1, len(parts)) if not parts[n].islower())
    found: object = getattr(importlib.import_module(".".join(parts[:depth])), parts[depth])
    rest = ".".join(parts[depth + 1 :])
    if rest:
        found = dict(found)[rest] if isinstance(found, tuple) else getattr(found(), rest)  # type: ignore[operator]
    assert isinstance(found, int | float), name
    return found / 1000 if rest.endswith("_ms") else float(found)


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_the_number_is_that_of_the_code(row: list[str]) -> None:
    assert math.isclose(markdown.quantity(row[1]), value(row[2].strip("`")))


def test_there_are_many() -> None:
    assert len(ROWS) >= 25
