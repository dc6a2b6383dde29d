"""Does the launcher live on after a mistake of its own, and does whoever waits hear of it?"""

import os
import threading

import pytest

from launcher.loop import Loop, Pause, Task
from launcher.orders import Refusal, Result
from launcher.spawn import _last
from tests.launcher.lab import Client, Lab

DUE = 0.01


def run_until_stopped(loop: Loop) -> None:
    thread = threading.Thread(target=loop.run, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


def test_a_task_with_a_mistake_is_answered(capfd: pytest.CaptureFixture[str]) -> None:
    def at_once() -> Task:
        yield from ()
        raise KeyError("8 is not registered")

    def later() -> Task:
        yield Pause(DUE)
        raise ZeroDivisionError("x" * 9999)

    loop = Loop()
    heard: list[Result | Refusal] = []
    loop.begin(at_once(), heard.append)
    loop.begin(later(), heard.append)
    loop.after(0.1, loop.stop)
    run_until_stopped(loop)
    assert [isinstance(one, Refusal) and one.kind for one in heard] == ["unavailable", "unavailable"]
    assert "a mistake of the launcher's own: KeyError" in str(heard[0])
    assert len(str(heard[1])) < 300
    told = capfd.readouterr().err
    assert "Traceback" in told
    assert "ZeroDivisionError" in told


def test_a_timer_and_a_descriptor_with_mistakes_keep_nobody_waiting(
    capfd: pytest.CaptureFixture[str],
) -> None:
    loop = Loop()
    source, sink = os.pipe()
    os.write(sink, b"x")
    calls = []

    def wrong(_events: int = 0) -> None:
        calls.append(1)
        raise ValueError("never again")

    loop.watch(source, wrong)
    loop.after(DUE, wrong)
    loop.after(0.3, loop.stop)
    run_until_stopped(loop)
    assert len(calls) == 2  # The descriptor is ready all the time, and rests.
    assert capfd.readouterr().err.count("ValueError: never again") == 2
    loop.forget(source)
    loop.forget(source)
    os.close(source)
    os.close(sink)


def test_what_rests_is_watched_again_unless_it_was_forgotten() -> None:
    loop = Loop()
    pipes = [os.pipe(), os.pipe()]
    calls: list[int] = []

    def once_wrong(fd: int) -> None:
        calls.append(fd)
        if calls.count(fd) == 1:
            raise ValueError(fd)
        loop.stop()

    for source, sink in pipes:
        os.write(sink, b"x")
        loop.watch(source, lambda _, fd=source: once_wrong(fd))
    loop.after(DUE, lambda: loop.forget(pipes[1][0]))
    loop.after(8.0, loop.stop)
    run_until_stopped(loop)
    assert (calls.count(pipes[0][0]), calls.count(pipes[1][0])) == (2, 1)
    for end in (end for pair in pipes for end in pair):
        os.close(end)


def test_more_open_orders_than_are_read_and_events(shared: Lab, client: Client) -> None:
    client.do("start", **shared.order("open.1", "sleep", "1000"))
    other = shared.client()
    last = [client.send("kill", instance="open.1", timeout=10) for _ in range(1100)][-1]
    assert client.reply(last)
    assert client.exited("open.1")
    assert other.do("hello")
    other.do("remove", instance="open.1")


def test_a_start_that_fails_with_many_words(shared: Lab, client: Client) -> None:
    order = shared.order("wordy.1", "nosuch")
    kind, text = client.refused("start", **{**order, "env": {"PATH": "é:" * 20000}})
    assert (kind, "exec nosuch: No such file" in text) == ("not_found", True)
    assert len(text) < 5000
    places = [f"/srv/{number}{'é' * 400}/x" for number in range(60)]
    kind, text = client.refused("start", **{**order, "write": places})
    assert (kind, len(text) < 5000) == ("refused", True)
    assert client.do("hello")


def test_the_last_whole_word_counts() -> None:
    assert _last(b'"join a"\n"cwd /') == "join a"
    assert _last(b'"cwd') == "fork"
