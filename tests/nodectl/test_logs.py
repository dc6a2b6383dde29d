"""Do `logs` and `explain` bring every line, once, and end?"""

import json
from typing import Any

import yaml

from nodeapi.v1 import control_pb2 as pb


def piece(instance: str, text: bytes) -> pb.ReadLogsResponse:
    return pb.ReadLogsResponse(instance=instance, text=text)


def test_lines_begin_with_their_instance(desk: Any) -> None:
    desk.control.output = [piece("catalog.1", b"one\ntwo\n"), piece("catalog.2", b"three\n")]
    assert desk("logs", "catalog").stdout == "catalog.1 | one\ncatalog.1 | two\ncatalog.2 | three\n"


def test_one_instance_is_given_as_it_wrote(desk: Any) -> None:
    desk.control.output = [piece("catalog.1", b"\x1b[31mred\x1b[0m\r\nraw \xff\x00\nno end")]
    result = desk("logs", "catalog.1", "-n", "7")
    assert result.stdout_bytes == b"\x1b[31mred\x1b[0m\r\nraw \xff\x00\nno end\n"
    assert desk.control.calls == [
        ("ReadLogs", pb.ReadLogsRequest(node="catalog", instance="catalog.1", lines=7))
    ]


def test_following_ends_in_time(desk: Any) -> None:
    desk.control.output = [piece("catalog.1", b"one\n")]
    assert desk("logs", "catalog", "-f", "--timeout", "300ms").stdout == "catalog.1 | one\n"
    assert desk.control.calls[0][1].follow


def test_logs_as_json(desk: Any) -> None:
    desk.control.output = [piece("catalog.1", b"one\ntwo \x9b2J\xc2\x9b2J\n")]
    lines = desk("logs", "catalog", "-o", "json").stdout.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"instance": "catalog.1", "text": "one"},
        {"instance": "catalog.1", "text": "two \ufffd2J\x9b2J"},
    ]
    assert "\x9b" not in lines[1]
    assert len(list(yaml.safe_load_all(desk("logs", "catalog", "-o", "yaml").stdout))) == 2


def test_a_node_without_output(desk: Any) -> None:
    assert desk("logs", "catalog").output == ""


def test_a_noded_that_does_not_answer(desk: Any) -> None:
    for method, words in {"ReadLogs": ["logs", "catalog"], "Explain": ["explain", "catalog"]}.items():
        desk.control.silent.add(method)
        desk(*words, "--timeout", "200ms", expect=4)


def entry(sequence: int, **fields: Any) -> pb.ExplainResponse:
    given = {"at": 1_700_000_000.25, "node": "catalog", "kind": "action", "name": "CollectGarbage"}
    return pb.ExplainResponse(sequence=sequence, **{**given, **fields})


def test_explain_tells_time_node_type_and_reason(desk: Any) -> None:
    desk.control.journal = [
        entry(1, kind="input", name="InstanceExited", text="catalog.1 exited with status 1"),
        entry(2, text="memory grows\n5 MiB/min \x1b[31m\x9b2J\u202edlrow"),
        entry(3, node="", name="Paused", text="by root"),
    ]
    lines = desk("explain", "catalog").stdout.splitlines()
    assert [line.split(maxsplit=5)[3:] for line in lines] == [
        ["catalog", "InstanceExited", "catalog.1 exited with status 1"],
        ["catalog", "CollectGarbage", "memory grows 5 MiB/min dlrow"],
        ["host", "Paused", "by root"],
    ]
    assert lines[0].startswith("Nov 1") and ".250  catalog       InstanceExited        catalog.1" in lines[0]


def test_explain_asks_for_what_was_wanted(desk: Any) -> None:
    desk("explain", "catalog", "-n", "5", "--incident", "i-3")
    desk("explain", "-f", "--timeout", "200ms")
    assert [request for _, request in desk.control.calls] == [
        pb.ExplainRequest(node="catalog", limit=5, incident="i-3"),
        pb.ExplainRequest(limit=200, follow=True),
    ]


def test_explain_without_entries(desk: Any) -> None:
    assert desk("explain", "catalog").stdout == "nothing has happened to catalog yet\n"
    assert desk("explain").stdout == "nothing has happened to this host yet\n"
    assert desk("explain", "-o", "json").stdout == ""


def test_explain_as_json(desk: Any) -> None:
    desk.control.journal = [entry(1, body='{"a": 1}'), entry(2)]
    found = [json.loads(line) for line in desk("explain", "-o", "json").stdout.splitlines()]
    assert [one["sequence"] for one in found] == [1, 2]
    assert found[0]["at"] == 1_700_000_000.25 and found[0]["body"] == '{"a": 1}'
