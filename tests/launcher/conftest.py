"""One launcher for all tests of a file that do not need their own."""

from collections.abc import Iterator

import pytest

from tests.launcher.lab import Client, Lab, lab


@pytest.fixture(scope="module")
def shared() -> Iterator[Lab]:
    yield from lab()


@pytest.fixture
def client(shared: Lab) -> Iterator[Client]:
    made = shared.client()
    yield made
    made.close()
