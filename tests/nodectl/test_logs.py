"""Do `logs` and `explain` bring every line, once, and end?"""

import json
from typing import Any

import yaml

from nodeapi.v1 import control_pb2 as pb
from nodectl.commands.logs import Place


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
    for words in (("catalog",), ("catalog.7",)):
        result = desk("logs", *words)
        assert result.stdout == ""
        assert result.stderr.startswith(f"{words[0]} has written nothing that is kept")
        assert result.stderr.endswith("nodectl explain -v catalog\n")
    assert desk("logs", "catalog", "-o", "json").output == ""
    desk.control.output = [piece("catalog.1", b"one\n")]
    assert desk("logs", "catalog").stderr == ""


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
    desk.control.journal = [entry(1)]
    desk("explain", "catalog", "-n", "5", "--incident", "i-3")
    desk("explain", "-f", "--timeout", "200ms")
    assert [request for _, request in desk.control.calls] == [
        pb.ExplainRequest(node="catalog", limit=5, incident="i-3"),
        pb.ExplainRequest(limit=200, follow=True),
    ]


def test_following_explain_goes_on_after_a_restart_and_repeats_nothing(desk: Any) -> None:
    control = desk.control
    control.journal = [entry(1), entry(2, text="before")]
    control.meanwhile["Explain"] = lambda: control.journal.append(entry(3, text="meanwhile"))
    result = desk("explain", "catalog", "-f", "-n", "2", "--timeout", "700ms")
    assert [line.split()[-1] for line in result.stdout.splitlines()] == [
        *("CollectGarbage", "before", "meanwhile")
    ]
    assert result.stderr == "noded is away; waiting for it\nnoded is back\n"
    assert [request.limit for _, request in control.calls] == [2, 10_000]


def test_a_journal_begun_anew_is_followed_from_its_beginning(desk: Any) -> None:
    control = desk.control
    control.journal = [entry(41), entry(42, text="before")]

    def anew() -> None:
        control.journal = [entry(1, at=1_700_000_009.0, text="anew")]

    control.meanwhile["Explain"] = anew
    assert "anew" in desk("explain", "-f", "--timeout", "700ms").stdout


def test_following_logs_goes_on_after_a_restart_and_repeats_nothing(desk: Any) -> None:
    control = desk.control
    control.output = [piece("catalog.1", b"one\ntwo\n"), piece("catalog.1", b"three\n")]

    def meanwhile() -> None:
        control.output = [
            piece("catalog.1", b"zero\none\ntwo\nthree\nfour\n"),
            piece("catalog.1", b"three\n"),
            piece("catalog.2", b"new\n"),
        ]

    control.meanwhile["ReadLogs"] = meanwhile
    result = desk("logs", "catalog", "-f", "-n", "2", "--timeout", "700ms")
    assert [line.partition(" | ")[2] for line in result.stdout.splitlines()] == [
        *("one", "two", "three", "four", "three", "new")
    ]
    assert result.stderr == "noded is away; waiting for it\nnoded is back\n"
    assert [request.lines for _, request in control.calls] == [2, 10_000]


def test_logs_that_were_cut_down_meanwhile_say_so(desk: Any) -> None:
    control = desk.control
    control.output = [piece("catalog.1", b"one\n")]

    def rotated() -> None:
        control.output = [piece("catalog.1", b"two\n")]

    control.meanwhile["ReadLogs"] = rotated
    result = desk("logs", "catalog.1", "-f", "--timeout", "700ms")
    assert result.stdout == "one\ntwo\n"
    assert "catalog.1: some lines may be missing or come twice" in result.stderr


def test_the_place_in_a_long_output_is_found(desk: Any) -> None:
    before = b"".join(b"line %d\n" % n for n in range(20_000))
    place = Place()
    place.begin()
    assert place.fresh("catalog.1", before) == before
    place.begin()
    tail = b"".join(b"line %d\n" % n for n in range(15_000, 20_005))
    assert place.fresh("catalog.1", tail).startswith(b"line 20000\n")


def test_what_is_not_followed_is_not_asked_again(desk: Any) -> None:
    desk.control.journal = [entry(1)]
    desk.control.meanwhile["Explain"] = lambda: None
    assert "cannot reach noded" in desk("explain", expect=4).stderr
    assert len(desk.control.calls) == 1


def test_explain_without_entries(desk: Any) -> None:
    assert "no such node" in desk("explain", "catalog", expect=1).stderr
    desk.control.status.nodes.add(name="catalog")
    assert desk("explain", "catalog").stdout == "nothing is remembered of catalog\n"
    told = desk("explain", "catalog", "--incident", "catalog-9").stdout
    assert told == "nothing is remembered of catalog-9 of catalog\n"
    assert desk("explain").stdout == "nothing is remembered of this host\n"
    told = desk("explain", "--incident", "x-9").stdout
    assert told == "nothing is remembered of x-9 of this host\n"
    assert desk("explain", "-o", "json").stdout == ""


def test_explain_as_json(desk: Any) -> None:
    desk.control.journal = [entry(1, body='{"a": 1}'), entry(2)]
    found = [json.loads(line) for line in desk("explain", "-o", "json").stdout.splitlines()]
    assert [one["sequence"] for one in found] == [1, 2]
    assert found[0]["at"] == 1_700_000_000.25 and found[0]["body"] == '{"a": 1}'


TRACEBACK = "".join(f'  File "migrate.py", line {n}, in step\n' for n in range(40))


def test_explain_shows_operators_what_a_failed_command_printed(desk: Any) -> None:
    body = json.dumps({"problem": "it ended with code 1", "output": f"{TRACEBACK}\x1b[2JOSError\n"})
    said = json.dumps({"reason": "no sign of life", "said": "no queue"})
    desk.control.journal = [
        entry(1, name="Prepared", text="it ended", body=body),
        entry(2, name="KillInstance", text="no sign of life", body=said),
        *(entry(3 + n, text="fine", body=odd) for n, odd in enumerate(('{"output": 7}', "[1]", "{", "{}"))),
    ]
    lines = desk("explain", "catalog", "-v").stdout.splitlines()
    assert lines[1:42] == [f"    | {line}" for line in (*TRACEBACK.splitlines(), "OSError")]
    assert lines[43] == "    | no queue"
    assert len(lines) == 48
    assert len(desk("explain", "catalog").stdout.splitlines()) == 6


def test_explain_tells_viewers_who_may_read_it(desk: Any) -> None:
    desk.control.journal = [entry(1, name="Prepared", text="it ended")]
    assert desk("explain", "-v").stderr == "what programs printed is told to operators only\n"
    assert desk("explain").stderr == ""
