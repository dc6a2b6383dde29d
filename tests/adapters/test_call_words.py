"""Is each call told in the audit in one line, without what is secret in it?"""

from typing import Any

import pytest

from nodeapi.v1 import control_pb2 as pb
from noded.adapters.call_words import described, done

WORDS: list[tuple[str, Any, str]] = [
    ("Command", pb.CommandRequest(verb=pb.VERB_STOP, node="catalog"), "stop catalog"),
    ("Command", pb.CommandRequest(verb=pb.VERB_PAUSE), "pause the host"),
    (
        "Command",
        pb.CommandRequest(verb=pb.VERB_RETRY, node="catalog", force=True),
        "retry the rollout of catalog --force",
    ),
    ("Command", pb.CommandRequest(verb=pb.VERB_HOLD, node="catalog"), "pause the rollout of catalog"),
    (
        "Command",
        pb.CommandRequest(verb=pb.VERB_ROLLBACK, node="catalog", version="1.0\x1b"),
        "roll back catalog 1.0?",
    ),
    ("Command", pb.CommandRequest(verb=77, node="a\nb\x1b[2J"), "order 77 a?b?[2J"),
    ("Apply", pb.ApplyRequest(header=pb.ApplyHeader()), "apply"),
    ("Apply", pb.ApplyRequest(header=pb.ApplyHeader(plan_only=True)), ""),
    ("Apply", None, "apply"),
    ("Restore", pb.RestoreRequest(header=pb.RestoreHeader()), "restore a backup"),
    ("Restore", pb.RestoreRequest(header=pb.RestoreHeader(plan_only=True)), "plan to restore a backup"),
    ("GetStatus", pb.GetStatusRequest(node="catalog"), "describe catalog"),
    ("GetStatus", pb.GetStatusRequest(), ""),
    ("Explain", pb.ExplainRequest(), "explain the host"),
    ("ReadLogs", pb.ReadLogsRequest(node="catalog"), "logs catalog"),
    ("ReadLogs", pb.ReadLogsRequest(node="catalog", instance="catalog.7"), "logs catalog.7"),
    ("Exec", pb.ExecRequest(node="catalog", argv=["ls", "-l", "a b"]), "exec catalog ls -l 'a b'"),
    ("ReadRelease", pb.ReadReleaseRequest(node="catalog", version="1.0"), "read the release catalog 1.0"),
    ("RunTests", pb.RunTestsRequest(node="catalog"), "test catalog"),
    ("Bundle", pb.BundleRequest(), "bundle the host"),
    ("Backup", pb.BackupRequest(), "backup"),
    ("ReadAudit", pb.ReadAuditRequest(), "read the audit"),
    ("GetVersion", pb.GetVersionRequest(), ""),
    ("WatchStatus", pb.WatchStatusRequest(node="catalog"), ""),
]


@pytest.mark.parametrize(("name", "request_", "text"), WORDS, ids=[text or name for name, _, text in WORDS])
def test_the_words_of_a_call(name: str, request_: Any, text: str) -> None:
    assert described(name, request_, whole=True) == text


def test_who_sees_no_settings_reads_nothing_protected() -> None:
    assert described("GetStatus", pb.GetStatusRequest(node="catalog"), whole=False) == ""
    assert described("Explain", pb.ExplainRequest(node="catalog"), whole=False) == ""


@pytest.mark.parametrize(
    "argv",
    [
        ["tool", "--password", "hunter2"],
        ["tool", "--password=hunter2"],
        ["tool", "API_TOKEN=hunter2", "run"],
        ["tool", "--secret-key", "hunter2", "more"],
        ["x" * 250, "hunter2"],
    ],
)
def test_no_secret_of_a_command_line_is_kept(argv: list[str]) -> None:
    text = described("Exec", pb.ExecRequest(node="catalog", argv=argv), whole=True)
    assert "hunter2" not in text
    assert len(text) <= 200


def test_what_only_the_answer_tells() -> None:
    assert done(pb.ApplyResponse(node="catalog", to_version="1.5.0")) == "apply catalog 1.5.0"
    assert done(pb.ExecResponse(instance="catalog.7", exit_code=3)) == "exec in catalog.7 ended with 3"
    nodes = [pb.RestoredNode(node="catalog", version="1.0", result="restored")]
    assert done(pb.RestoreResponse(nodes=nodes)) == "restore catalog 1.0 (restored)"
    assert done(pb.CommandResponse(text="ok")) == ""
