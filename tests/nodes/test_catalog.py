"""Is the catalogue good enough to be the demonstration: right, quick, and leaking where it should?"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nodekit.noded_side import DEADLINE, NODES, NodedSide, environ

CATALOG = NODES / "catalog"


@pytest.fixture
def noded() -> Iterator[NodedSide]:
    side = NodedSide()
    yield side
    side.close()


@pytest.fixture
def catalog(noded: NodedSide) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "catalog"]
    program = subprocess.Popen(
        command, cwd=CATALOG, env=environ(**noded.environ), stderr=subprocess.PIPE, text=True
    )
    noded.hear_line("READY=1")
    yield program
    program.kill()
    program.communicate(timeout=DEADLINE)


def soak(noded: NodedSide, requests: int) -> subprocess.Popen[str]:
    env = environ(NODED_LISTEN=f"unix:{noded.http}", NODED_SOAK_REQUESTS=str(requests))
    return subprocess.Popen(
        [sys.executable, "soak.py"], cwd=CATALOG, env=env, stdout=subprocess.PIPE, text=True
    )


def finish(program: subprocess.Popen[str]) -> str:
    out, _ = program.communicate(timeout=3 * DEADLINE)
    assert program.returncode == 0, out
    return out


def test_its_own_tests_pass_quickly() -> None:
    started = time.monotonic()
    command = [sys.executable, "-m", "unittest", "discover", "-s", "tests"]
    found = subprocess.run(command, cwd=CATALOG, env=environ(), capture_output=True, text=True, timeout=30)
    assert found.returncode == 0, found.stderr
    assert re.search(r"Ran 1\d tests", found.stderr)
    assert time.monotonic() - started < 3.0


def test_its_tests_notice_a_removed_cache(tmp_path: Path) -> None:
    quotes = (CATALOG / "catalog" / "quotes.py").read_text()
    store = "        written_quotes[token] = text\n"
    assert store in quotes
    for name in ("__init__.py", "products.py", "pages.py"):
        (tmp_path / "catalog").mkdir(exist_ok=True)
        (tmp_path / "catalog" / name).write_text((CATALOG / "catalog" / name).read_text())
    (tmp_path / "catalog" / "quotes.py").write_text(quotes.replace(store, ""))
    (tmp_path / "test_quotes.py").write_text((CATALOG / "tests" / "test_quotes.py").read_text())
    command = [sys.executable, "-m", "unittest", "test_quotes"]
    found = subprocess.run(command, cwd=tmp_path, env=environ(), capture_output=True, text=True, timeout=30)
    assert found.returncode == 1
    assert "FAIL: test_a_quote_that_is_opened_again_is_not_written_again" in found.stderr


def test_it_leaks_a_few_kilobytes_per_request_and_names_the_line(
    noded: NodedSide, catalog: subprocess.Popen[str]
) -> None:
    finish(soak(noded, 500))
    before = noded.order("describe")["result"]
    finish(soak(noded, 3000))
    after = noded.order("describe")["result"]
    assert after["progress"] - before["progress"] == 3000
    assert 2500 < (after["rss"] - before["rss"]) / 3000 < 4000
    assert noded.order("profile_start", frames=1)["ok"]
    finish(soak(noded, 1000))
    site = noded.order("profile_stop", top=15)["result"]["sites"][0]
    assert (site["file"], site["function"]) == ("catalog/quotes.py", "quote")
    line = (CATALOG / "catalog" / "quotes.py").read_text().splitlines()[site["line"] - 1]
    assert "write(product, customer, quantity)" in line
    assert 800 < site["count"] < 1000
    assert 2500 < site["bytes"] / site["count"] < 4000


def test_the_cheap_rungs_do_not_cure_it(noded: NodedSide, catalog: subprocess.Popen[str]) -> None:
    finish(soak(noded, 3000))
    grown = noded.order("describe")["result"]["rss"]
    noded.order("collect")
    shrunk = noded.order("shrink", fraction=0.5)["result"]
    assert shrunk["caches"][0]["name"] == "pages"
    assert shrunk["after"] > 0.9 * grown


def test_a_stop_under_load_loses_nothing(noded: NodedSide, catalog: subprocess.Popen[str]) -> None:
    """A client may find its connection closed, as it was told; half an answer would be a loss."""
    load = soak(noded, 1_000_000)
    time.sleep(1.0)
    catalog.send_signal(signal.SIGTERM)
    _, err = catalog.communicate(timeout=DEADLINE)
    said = [line for line in err.splitlines() if "NODED_MESH is not set" not in line]
    assert (catalog.returncode, said) == (0, [])
    out, _ = load.communicate(timeout=DEADLINE)
    faults = [line for line in out.splitlines() if ": " in line and not line.startswith("soak:")]
    assert len(faults) <= 8, "one per client: the next request on a connection that was told to close"
    assert all(
        re.match(r"\s*(IncompleteReadError: 0 bytes|BrokenPipeError|ConnectionResetError)", each)
        for each in faults
    )


def test_a_request_is_cheap(noded: NodedSide, catalog: subprocess.Popen[str]) -> None:
    before = cpu(catalog.pid)
    finish(soak(noded, 3000))
    assert (cpu(catalog.pid) - before) / 3000 < 0.001


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_the_load_fails_when_an_answer_is_not_200(noded: NodedSide) -> None:
    program = """
        from nodekit import Node, HttpError
        node = Node()
        @node.get("/quote/{sku}")
        def quote(request, sku):
            raise HttpError(500, "no")
        node.main()
    """
    lines = "\n".join(
        line.strip() if "raise" not in line else "    raise HttpError(500, 'no')"
        for line in program.split("\n")
    )
    broken = subprocess.Popen([sys.executable, "-c", lines], env=environ(**noded.environ))
    try:
        noded.hear_line("READY=1")
        load = soak(noded, 50)
        out, _ = load.communicate(timeout=DEADLINE)
        assert load.returncode == 1
        assert "HTTP/1.1 500" in out
    finally:
        broken.kill()
        broken.wait()


def test_the_load_fails_when_nobody_listens(noded: NodedSide) -> None:
    load = soak(noded, 50)
    out, _ = load.communicate(timeout=DEADLINE)
    assert load.returncode == 1
    assert "FileNotFoundError" in out


def test_heartbeats_carry_the_registered_cache(noded: NodedSide, catalog: subprocess.Popen[str]) -> None:
    finish(soak(noded, 500))
    beat = noded.hear_message("heartbeat", progress=500)
    assert [cache["name"] for cache in beat["caches"]] == ["pages"]
    assert beat["caches"][0]["entries"] > 5
    assert json.dumps(beat)
