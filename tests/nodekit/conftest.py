"""What the tests of nodekit share."""

from collections.abc import Iterator

import pytest

from tests.nodekit.noded_side import NodedSide


@pytest.fixture
def noded() -> Iterator[NodedSide]:
    side = NodedSide()
    yield side
    side.close()
