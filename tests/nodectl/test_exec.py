"""Do `exec` and `test` show what a program wrote and end with its code?"""

import json
from pathlib import Path
from typing import Any

import grpc
import pytest

from nodeapi.v1 import control_pb2 as pb


def ran(**fields: Any) -> pb.ExecResponse:
    return pb.ExecResponse(**{"instance": "catalog.1", "output": "uid=991\n", "seconds": 0.1, **fields})


def test_output_and_code_are_the_programs(desk: Any) -> None:
    desk.control.answers["Exec"] = ran(exit_code=7)
    result = desk("exec", "catalog", "--instance", "2", "--timeout", "5s", "--", "id", "-u", "--", expect=7)
    assert (result.stdout, result.stderr) == ("uid=991\n", "")
    wanted = pb.ExecRequest(node="catalog", instance="catalog.2", argv=["id", "-u", "--"], timeout=5.0)
    assert desk.control.calls == [("Exec", wanted)]


def test_without_options_the_mark_may_be_left_out(desk: Any) -> None:
    desk.control.answers["Exec"] = ran()
    desk("exec", "catalog", "id")
    assert desk.control.calls[0][1] == pb.ExecRequest(node="catalog", argv=["id"], timeout=60.0)


def test_output_is_given_as_it_was_written(desk: Any) -> None:
    desk.control.answers["Exec"] = ran(output="\x1b[31mred\x1b[0m\rno end", truncated=True)
    result = desk("exec", "catalog", "--", "x")
    assert result.stdout_bytes == b"\x1b[31mred\x1b[0m\rno end"
    assert result.stderr == "only the newest part of what it wrote is shown\n"


def test_a_program_that_is_out_of_time(desk: Any) -> None:
    desk.control.answers["Exec"] = ran(output="so far\n", exit_code=137, timed_out=True, seconds=5.0)
    result = desk("exec", "catalog", "--timeout", "5s", "--", "sleep", "9", expect=124)
    assert result.stdout == "so far\n"
    assert result.stderr == "sleep was ended in catalog.1 after 5s; give it --timeout\n"


@pytest.mark.parametrize(("told", "code"), [(0, 0), (255, 255), (137, 137), (-1, 1), (256, 1)])
def test_codes_that_a_shell_can_take(desk: Any, told: int, code: int) -> None:
    desk.control.answers["Exec"] = ran(exit_code=told)
    desk("exec", "catalog", "--", "x", expect=code)


def test_what_could_not_be_run_is_told_apart(desk: Any, tmp_path: Path) -> None:
    refusals = desk.control.refusals
    refusals["Exec"] = (grpc.StatusCode.FAILED_PRECONDITION, "no instance of catalog runs")
    assert desk("exec", "catalog", "--", "id", expect=125).stderr.splitlines() == [
        "nodectl: cannot run id in catalog: no instance of catalog runs",
        "try: nodectl describe catalog",
    ]
    desk("--socket", str(tmp_path / "none"), "exec", "catalog", "--", "id", expect=125)
    refusals["Exec"] = (grpc.StatusCode.NOT_FOUND, "no such instance: catalog.9")
    assert (
        "cannot run id in catalog.9"
        in desk("exec", "catalog", "--instance", "catalog.9", "--", "id", expect=125).stderr
    )


def test_longer_than_noded_allows_is_not_asked(desk: Any) -> None:
    assert "exec takes at most 10m" in desk("exec", "catalog", "--timeout", "11m", "--", "x", expect=2).stderr
    assert desk.control.calls == []


def test_exec_as_json(desk: Any) -> None:
    desk.control.answers["Exec"] = ran(exit_code=3)
    found = json.loads(desk("exec", "-o", "json", "catalog", "--", "id", expect=3).stdout)
    assert (found["exit_code"], found["output"], found["timed_out"]) == (3, "uid=991\n", False)


def outcome(**fields: Any) -> pb.RunTestsResponse:
    given = {"version": "1.4.0", "passed": True, "output": "3 passed", "seconds": 2.5}
    return pb.RunTestsResponse(**{**given, **fields})


def test_tests_that_pass(desk: Any) -> None:
    desk.control.answers["RunTests"] = outcome()
    result = desk("test", "catalog")
    assert result.stdout == "3 passed\ncatalog 1.4.0: the tests passed in 2.5s\n"
    assert result.stderr == "the tests of catalog run\n"
    assert desk.control.calls == [("RunTests", pb.RunTestsRequest(node="catalog"))]


def test_tests_that_fail(desk: Any) -> None:
    desk.control.answers["RunTests"] = outcome(passed=False, output="E boom\n", detail="ended with status 1")
    result = desk("test", "catalog", "1.4.0", expect=1)
    assert result.stdout == "E boom\n"
    assert result.stderr.splitlines()[1:] == [
        "nodectl: the tests of catalog 1.4.0 failed: ended with status 1"
    ]
    assert desk.control.calls[0][1].version == "1.4.0"
    assert desk.json("test", "catalog", expect=1)["passed"] is False


def test_a_node_without_tests(desk: Any) -> None:
    text = "catalog has no [tests] command"
    desk.control.refusals["RunTests"] = (grpc.StatusCode.FAILED_PRECONDITION, text)
    assert f"cannot test catalog: {text}" in desk("test", "catalog", expect=1).stderr
