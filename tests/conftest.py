"""What holds for every test: order, seeds, and the time the whole run took."""

import os
import signal
import time

import pytest
from hypothesis import settings

# Shared two-core machines pause for seconds; a deadline per example would only measure them.
settings.register_profile("local", deadline=None)
# The same examples on every run: a red build is the change's fault, and repeats at any desk.
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

# Before gRPC is imported: programs that the tests start would now and then die between fork and exec.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

# Who starts the tests in the background leaves Ctrl-C ignored. Programs inherit that; a handler they do not.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """End-to-end tests last: a broken rule is told in seconds, not after minutes."""
    items.sort(key=lambda item: item.get_closest_marker("e2e") is not None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    started = os.environ.get("NODED_TEST_STARTED")
    if started:
        seconds = time.time() - float(started)
        terminalreporter.write_line(f"total with set-up and checks: {seconds:.0f} s")
