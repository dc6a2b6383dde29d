"""Does the client of the benches count from the right moment to the right answer, and nothing else?"""

import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.bench.client import pid_at, send, until_answered
from tests.bench.fleet import cpu_seconds, watched_processes
from tests.ports import free_ports


class Answers(ThreadingHTTPServer):
    """Says what the test wants."""

    daemon_threads = True
    status = 200
    body = b'{"pid": 1}'
    silent = False
    paths: tuple[str, ...] = ()


class Handler(BaseHTTPRequestHandler):
    server: Answers

    def do_GET(self) -> None:
        self.server.paths += (self.path,)
        if self.server.silent:
            time.sleep(0.5)
            return
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Answers]:
    with Answers(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        yield made
        made.shutdown()
        thread.join(5)


def later(server: Answers, seconds: float, **changes: object) -> threading.Timer:
    def change() -> None:
        for name, value in changes.items():
            setattr(server, name, value)

    timer = threading.Timer(seconds, change)
    timer.start()
    return timer


@pytest.mark.parametrize(
    "first",
    [{"body": b'{"pid": 1}'}, {"status": 503}, {"body": b"no JSON"}, {"body": b"{}"}, {"silent": True}],
    ids=["the old process", "an error", "no JSON", "no pid", "silence"],
)
def test_only_a_good_answer_of_another_process_counts(server: Answers, first: dict[str, object]) -> None:
    for name, value in first.items():
        setattr(server, name, value)
    timer = later(server, 0.3, status=200, body=b'{"pid": 2}', silent=False)
    took = until_answered(server.server_port, lambda: None, gone=1, timeout=10.0)
    timer.join()
    assert 0.28 < took < 5.0


def test_it_counts_from_the_trigger(server: Answers) -> None:
    triggered: list[float] = []

    def trigger() -> None:
        triggered.append(time.monotonic())
        server.body = b'{"pid": 2}'

    began = time.monotonic()
    took = until_answered(server.server_port, trigger, gone=1)
    assert len(triggered) == 1
    assert took <= time.monotonic() - triggered[0] <= time.monotonic() - began


def test_nobody_there() -> None:
    port = free_ports()
    with pytest.raises(TimeoutError, match=f"nobody answered on port {port} within 0 s"):
        until_answered(port, lambda: None, timeout=0.1)
    with pytest.raises(TimeoutError, match="nobody answered"):
        pid_at(port, timeout=0.1)


def test_who_answers_now(server: Answers) -> None:
    server.body = b'{"pid": 77}'
    assert pid_at(server.server_port) == 77


def test_a_request_whose_answer_nobody_reads_is_sent(server: Answers) -> None:
    with send(server.server_port, "/block"):
        until = time.monotonic() + 5
        while "/block" not in server.paths:
            assert time.monotonic() < until
            time.sleep(0.01)


def test_the_processor_time_of_a_process_is_counted() -> None:
    before = cpu_seconds(os.getpid())
    until = time.process_time() + 0.2
    while time.process_time() < until:
        pass
    assert 0.15 <= cpu_seconds(os.getpid()) - before < 5.0


def test_processes_that_are_watched_are_counted() -> None:
    before = watched_processes(os.getpid())
    held = [os.pidfd_open(os.getpid()) for _ in range(3)]
    try:
        assert watched_processes(os.getpid()) == before + 3
    finally:
        for file in held:
            os.close(file)
