"""Is a measured program heard, and is it told why it failed?"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bench.disk import fdatasyncs
from tests.bench.measured import Program

Begin = Callable[[str], Program]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    begun: list[Program] = []

    def run(code: str) -> Program:
        begun.append(Program([sys.executable, "-c", code], tmp_path, os.environ, tmp_path / "complaints"))
        return begun[-1]

    yield run
    for program in begun:
        program.end(within=5.0)


def test_words_are_exchanged_and_it_ends_by_itself(begin: Begin) -> None:
    program = begin("print('ready', flush=True); print('{\"got\": %d}' % len(input()), flush=True)")
    program.expect("ready", 10.0)
    assert program.running()
    assert program.resident() > 1_000_000
    assert program.told(10.0) == {"got": len("tell")}
    assert not program.running()


def test_two_lines_that_came_together_are_two(begin: Begin) -> None:
    program = begin("print('ready\\ndone', flush=True); input()")
    program.expect("ready", 10.0)
    program.expect("done", 10.0)


def test_its_time_is_counted(begin: Begin) -> None:
    program = begin(
        "print('ready', flush=True); input(); sum(range(20_000_000)); print('done', flush=True); input()"
    )
    program.expect("ready", 10.0)
    before = program.cpu()
    program.tell("go")
    program.expect("done", 60.0)
    assert program.cpu() - before > 0.05


@pytest.mark.parametrize(
    ("code", "said"),
    [("import sys; sys.exit('no broker')", "no broker"), ("print('sorry', flush=True); input()", "'sorry'")],
)
def test_what_goes_wrong_is_told(begin: Begin, code: str, said: str) -> None:
    with pytest.raises(RuntimeError, match=said):
        begin(code).expect("ready", 30.0)


def test_silence_is_told_with_the_complaints(begin: Begin) -> None:
    program = begin(
        "import sys; sys.stderr.write('slow disk'); sys.stderr.flush(); print('here', flush=True); input()"
    )
    program.expect("here", 30.0)
    with pytest.raises(TimeoutError, match="slow disk"):
        program.expect("ready", 0.1)


def test_who_does_not_obey_is_killed(begin: Begin) -> None:
    program = begin(
        "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    )
    program.expect("ready", 10.0)
    began = time.monotonic()
    program.end(within=0.2)
    assert not program.running()
    assert time.monotonic() - began < 5.0


def test_the_disk_is_asked_as_often_as_its_time_allows(tmp_path: Path) -> None:
    assert len(fdatasyncs(tmp_path, times=3, most=60.0)) == 3
    assert len(fdatasyncs(tmp_path, times=3, most=0.0)) == 0
    assert all(took > 0 for took in fdatasyncs(tmp_path, times=3))
