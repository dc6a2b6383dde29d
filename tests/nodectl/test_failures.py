"""Does every failure say what to do next, with the right exit code and never a traceback?"""

import os
import socket
import stat
from pathlib import Path
from typing import Any

import grpc
import pytest

from nodectl.failures import MEANINGS, Exit
from nodectl.session import Session

CODES = {
    grpc.StatusCode.CANCELLED: 4,
    grpc.StatusCode.DEADLINE_EXCEEDED: 4,
    grpc.StatusCode.PERMISSION_DENIED: 5,
    grpc.StatusCode.UNAUTHENTICATED: 5,
    grpc.StatusCode.NOT_FOUND: 1,
    grpc.StatusCode.FAILED_PRECONDITION: 1,
    grpc.StatusCode.ALREADY_EXISTS: 1,
    grpc.StatusCode.INTERNAL: 1,
    grpc.StatusCode.UNKNOWN: 1,
    grpc.StatusCode.UNIMPLEMENTED: 1,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 1,
    grpc.StatusCode.ABORTED: 3,
    grpc.StatusCode.INVALID_ARGUMENT: 2,
}


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
def test_every_status_has_its_exit_code_and_says_what_to_do(desk: Any, code: grpc.StatusCode) -> None:
    desk.control.refusals["Command"] = (code, "the cause")
    first, second = desk("stop", "catalog", expect=CODES[code]).stderr.splitlines()
    assert first.startswith("nodectl: cannot stop catalog: ")
    too_old = code is grpc.StatusCode.UNIMPLEMENTED
    assert "the cause" in first or MEANINGS[code.name].says or too_old
    assert second.startswith("try: ")


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, *CODES], ids=lambda code: code.name)
def test_streams_fail_as_other_calls(desk: Any, code: grpc.StatusCode) -> None:
    desk.control.refusals["Explain"] = (code, "the cause")
    assert desk("explain", "-f", expect=CODES.get(code, 4)).stderr.startswith("nodectl: cannot ")


def test_what_noded_calls_a_failure_is_not_said_twice(desk: Any) -> None:
    desk.control.refusals["Command"] = (grpc.StatusCode.INTERNAL, "cannot write the journal: no space left")
    stderr = desk("stop", "catalog", expect=1).stderr
    assert stderr == "nodectl: cannot write the journal: no space left\ntry: journalctl -u noded\n"


def test_what_a_node_lacks_is_looked_for_there(desk: Any) -> None:
    for text, hint in (
        ("no such node: catalog", "nodectl status"),
        ("no such instance of catalog: catalog.9", "nodectl status catalog"),
    ):
        desk.control.refusals["ReadLogs"] = (grpc.StatusCode.NOT_FOUND, text)
        assert desk("logs", "catalog.9", expect=1).stderr.splitlines()[-1] == f"try: {hint}"
    desk.control.refusals["Bundle"] = (grpc.StatusCode.NOT_FOUND, "no such node: catalog")
    told = desk("bundle", "catalog", "-o", "/tmp/nd-never", expect=1).stderr
    assert told == "nodectl: cannot bundle catalog: no such node\ntry: nodectl status\n"


def test_what_noded_advises_is_what_to_try(desk: Any) -> None:
    text = "no rollout of catalog is under way: nodectl rollout history catalog"
    desk.control.refusals["Command"] = (grpc.StatusCode.FAILED_PRECONDITION, text)
    assert desk("incidents", "approve", "catalog", expect=1).stderr.splitlines() == [
        "nodectl: cannot approve the next step for catalog: no rollout of catalog is under way",
        "try: nodectl rollout history catalog",
    ]


def test_an_error_cannot_write_on_the_terminal(desk: Any) -> None:
    desk.control.refusals["Command"] = (grpc.StatusCode.INTERNAL, "bad\x1b[2J \x1b]0;title\x07\x9b1mnews")
    assert desk("stop", "catalog", expect=1).stderr.startswith("nodectl: cannot stop catalog: bad news\n")


def test_an_order_that_noded_does_not_know(desk: Any) -> None:
    desk.control.refusals["Command"] = (grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
    assert desk("reload", "catalog", expect=1).stderr.splitlines() == [
        "nodectl: cannot reload catalog: noded 0.1.0 (build abc1234) does not know the order; "
        "it is older than this nodectl (0.1.0)",
        "try: upgrade noded, or use the nodectl that came with it",
    ]
    desk.control.refusals["GetVersion"] = (grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
    assert "this noded does not know the order" in desk("reload", "catalog", expect=1).stderr


def test_what_roles_deny_is_told_as_it_is(desk: Any) -> None:
    text = "anna (uid 1000) is viewer; exec needs admin: ask for the group noded-admin"
    desk.control.refusals["Exec"] = (grpc.StatusCode.PERMISSION_DENIED, text)
    desk.control.refusals["ReadAudit"] = (grpc.StatusCode.PERMISSION_DENIED, text)
    assert text in desk("audit", expect=5).stderr
    assert text in desk("exec", "catalog", "--", "id", expect=125).stderr


def test_permission(desk: Any) -> None:
    text = "uid 1000 may not call Command; ask an administrator (see [control] admins in noded.toml)"
    desk.control.refusals["Command"] = (grpc.StatusCode.PERMISSION_DENIED, text)
    stderr = desk("stop", "catalog", "--no-wait", expect=5).stderr
    assert stderr == f"nodectl: cannot stop catalog: {text}\ntry: the same command with sudo\n"


@pytest.mark.parametrize(
    "words", [["status"], ["stop", "catalog"], ["version"], ["logs", "catalog"], ["status", "-w"]]
)
def test_no_socket(desk: Any, tmp_path: Path, words: list[str]) -> None:
    stderr = desk("--socket", str(tmp_path / "none"), *words, expect=4).stderr
    assert (
        f"cannot reach noded at {tmp_path}/none: No such file or directory\ntry: systemctl status noded"
        in stderr
    )


def test_a_socket_nobody_listens_at(desk: Any, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "s"))
    stderr = desk("status", "--socket", str(tmp_path / "s"), expect=4).stderr
    assert "nobody listens there\ntry: systemctl start noded" in stderr


def test_a_path_that_cannot_be_one(desk: Any) -> None:
    stderr = desk("status", "--socket", "/tmp/" + "s" * 200, expect=2).stderr
    assert stderr.startswith("nodectl: the path of the socket is longer than 107 bytes: /tmp/sss")


def test_a_server_that_hangs_up(desk: Any, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen(64)
        assert stat.S_ISSOCK(os.stat(tmp_path / "s").st_mode)
        desk("status", "--socket", str(tmp_path / "s"), "--timeout", "500ms", expect=4)


def test_a_noded_that_does_not_answer(desk: Any) -> None:
    desk.control.silent.add("GetStatus")
    stderr = desk("status", "--timeout", "200ms", expect=4).stderr
    assert "cannot show the status: noded did not answer in time\ntry: a longer --timeout" in stderr


def test_version_says_its_own_also_alone(desk: Any, tmp_path: Path) -> None:
    assert desk("version").stdout == "nodectl 0.1.0\nnoded   0.1.0 (build abc1234), protocol 1\n"
    assert desk.json("version")["noded"]["protocol"] == 1
    result = desk("version", "--socket", str(tmp_path / "none"), expect=4)
    assert result.stdout == "nodectl 0.1.0\n"
    assert desk.json("version", "--socket", str(tmp_path / "none"), expect=4)["noded"] is None


def test_the_codes_are_what_the_help_says() -> None:
    assert [(code.name, code.value) for code in Exit][:6] == [
        ("OK", 0),
        ("FAILED", 1),
        ("USAGE", 2),
        ("DIFFERENCES", 3),
        ("NOT_REACHABLE", 4),
        ("NOT_PERMITTED", 5),
    ]


def test_patience_is_for_answers_and_for_effects() -> None:
    assert (Session().answer, Session().effect) == (15.0, 120.0)
    assert (Session(timeout=3.0).answer, Session(timeout=3.0).effect) == (3.0, 3.0)
