"""`pytest tests/playbooks --rewrite` writes into every story what is decided now; read the difference."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite", action="store_true", help="write what is decided now into the stories")
