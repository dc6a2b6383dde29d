"""Are the commands that come before a release run, and their end told without their words?"""

import pytest

from noded.launch import Ran
from noded.model import actions as a
from noded.model.inputs import Prepared
from tests.adapters.looped import looped
from tests.runtime.bench import Bench
from tests.runtime.nouns import DIGEST, spec


def prepare() -> a.Prepare:
    return a.Prepare("catalog", DIGEST, "1.4.0", "it starts for the first time")


@looped
async def test_what_comes_before_is_run_in_order_and_told() -> None:
    bench = Bench()
    before = (("/bin/true", "first"), ("/bin/true", "second"))
    bench.releases.specs[DIGEST] = spec(before=before, start_timeout=7.0)
    await bench.perform(prepare())
    assert [(launch.argv, timeout) for launch, timeout, _ in bench.processes.ran] == [
        (b, 7.0) for b in before
    ]
    assert bench.inbox.facts == [Prepared(bench.clock.now(), "catalog", DIGEST)]


@looped
async def test_the_first_that_fails_is_the_last_and_its_word_is_told() -> None:
    bench = Bench()
    bench.releases.specs[DIGEST] = spec(before=(("/bin/sh", "-c", "echo oops; exit 3"), ("/bin/true",)))
    await bench.perform(prepare())
    assert len(bench.processes.ran) == 1
    (told,) = bench.inbox.all(Prepared)
    why = "/bin/sh -c echo oops; exit 3 came before 1.4.0 and ended with code 3"
    assert (told.problem, told.output) == (f"{why}: nodectl explain -v catalog", "oops\n")


@looped
async def test_one_that_takes_too_long_has_failed() -> None:
    bench = Bench()
    bench.releases.specs[DIGEST] = spec(before=(("/bin/sleep", "300"),))
    await bench.perform(prepare())
    (told,) = bench.inbox.all(Prepared)
    late = "/bin/sleep 300 came before 1.4.0 and was ended after 30 s: [node] start_timeout"
    assert told.problem == f"{late}: nodectl explain -v catalog"
    assert told.output == "(it printed nothing)"


@looped
async def test_what_a_program_printed_is_masked_and_in_no_reason() -> None:
    bench = Bench()
    argv = ("python", "-m", "migrate", "--password", "hunter22")
    bench.releases.specs[DIGEST] = spec(before=(argv,))
    lines = "".join(f'  File "catalog/migrate.py", line {n}, in step\n' for n in range(40))
    said = f"Traceback\n{lines}OSError: cannot connect to postgres://u:s3cr3tvalue@db\n"
    bench.processes.ends[argv] = Ran("code 1", said, 0.1)
    await bench.perform(prepare())
    (told,) = bench.inbox.all(Prepared)
    assert told.output == said.replace("u:s3cr3tvalue@", "***")
    assert told.problem.startswith("python -m migrate --password *** came before 1.4.0 and ended with")


@pytest.mark.parametrize(
    ("output", "truncated", "kept"),
    [
        ("x" * 60_000, False, "(it printed nothing)"),
        ("cut off\nwhole\n", True, "whole\n"),
        ("line\n" * 5_000, False, ("line\n" * 5_000)[-4096:]),
        ("half a pair \udcff\n", False, "half a pair ?\n"),
    ],
)
@looped
async def test_the_newest_is_kept_and_no_line_without_its_beginning(
    output: str, truncated: bool, kept: str
) -> None:
    bench = Bench()
    bench.releases.specs[DIGEST] = spec(before=(("talks",),))
    bench.processes.ends["talks",] = Ran("code 1", output, 0.1, truncated)
    await bench.perform(prepare())
    assert bench.inbox.all(Prepared)[0].output == kept
