"""Do people and scripts see events as they are, and nothing a node could smuggle in?"""

import base64
import json
import time
from typing import Any

import grpc
import pytest

from nodeapi.v1 import mesh_pb2


def event(number: int = 1, **fields: Any) -> mesh_pb2.Event:
    given: dict[str, Any] = {
        "id": f"shop-1.{number}",
        "source": "/shop",
        "type": "shop.placed",
        "subject": "o-1",
        "time": 1_700_000_000.25 + number,
        "content": "application/json",
        "data": b'{"id": 1, "name": "caf\xc3\xa9"}',
        "trace": "ab" * 16,
        "version": "1.0.0",
        "position": number,
    }
    given = {**given, **fields}
    return mesh_pb2.Event(**{"size": len(given["data"]), **given})


def asked(desk: Any, method: str) -> Any:
    return [request for name, request in desk.control.calls if name == method]


def test_tail_shows_a_line_for_each_event(desk: Any) -> None:
    desk.control.events = [event(1), event(2, subject="", data=b"\x00\xff" * 100, content="image/png")]
    first, second = desk("events", "tail", "--since", "10m", "--no-follow").stdout.splitlines()
    assert first == 'Nov 14 22:13:21.250  shop          shop.placed           o-1  {"id":1,"name":"café"}'
    assert second.endswith("shop.placed           00 ff " + "00 ff " * 10 + "00 ff (200 B)")
    (request,) = asked(desk, "Tail")
    assert request.stop_at_end and abs(request.since - (time.time() - 600)) < 30
    wide = desk("events", "tail", "--since", "10m", "--no-follow", "-o", "wide").stdout
    assert "shop-1.1  " + "ab" * 16 in wide
    assert desk("events", "tail", "--since", "10m", "--no-follow", "-o", "name").stdout == (
        "event/shop-1.1\nevent/shop-1.2\n"
    )


def test_tail_asks_for_what_is_wanted_and_ends_after_so_many(desk: Any) -> None:
    desk.control.events = [event(n) for n in range(1, 5)]
    words = ("shop.placed", "shop.paid", "--source", "shop", "--subject", "o-1", "-n", "2")
    assert len(desk("events", "tail", *words).stdout.splitlines()) == 2
    (request,) = asked(desk, "Tail")
    assert list(request.types) == ["shop.placed", "shop.paid"]
    assert (request.source, request.subject, request.since, request.stop_at_end) == ("shop", "o-1", 0, False)


def test_tail_goes_on_after_a_restart_and_shows_each_event_once(desk: Any) -> None:
    desk.control.events = [event(1), event(2), event(2, id="shop-1.3", index=1)]

    def more() -> None:
        desk.control.events.append(event(2, id="shop-1.4", index=2))
        desk.control.events.append(event(3, id="shop-1.5"))

    desk.control.meanwhile["Tail"] = more
    result = desk("events", "tail", "-n", "5", "-o", "name")
    assert result.stdout.split() == [f"event/shop-1.{n}" for n in range(1, 6)]
    assert "is away" in result.stderr and "is back" in result.stderr
    assert [request.after for request in asked(desk, "Tail")] == [0, 1]


def test_nothing_to_show(desk: Any) -> None:
    assert desk("events", "tail", "--since", "1h", "--no-follow").stdout == "no such events\n"
    assert desk("events", "tail", "--timeout", "200ms").stdout == "no such events\n"
    assert desk("events", "tail", "--timeout", "200ms", "-o", "json").stdout == ""


def test_events_as_json_have_their_data_as_it_is(desk: Any) -> None:
    cut = event(5, data=b"[1, 2", size=70_000)
    desk.control.events = [
        event(1, attributes={"b": "2", "a": "1"}),
        event(2, data=b"plain", content="text/plain"),
        event(3, data=b"\x00\xff", content="image/png"),
        event(4, data=b'{"x": NaN}'),
        cut,
    ]
    lines = desk("events", "tail", "--since", "1h", "--no-follow", "-o", "json").stdout.splitlines()
    first, text, binary, odd, short = map(json.loads, lines)
    assert first["data"] == {"id": 1, "name": "café"} and first["data_base64"] is None
    assert first["attributes"] == {"a": "1", "b": "2"} and first["id"] == "shop-1.1"
    assert text["data"] == "plain"
    assert (binary["data"], base64.b64decode(binary["data_base64"])) == (None, b"\x00\xff")
    assert odd["data"] == '{"x": NaN}'
    assert (short["data"], short["size"]) == ("[1, 2", 70_000)
    assert desk.yaml("events", "tail", "--since", "1h", "-n", "1")["data"]["id"] == 1


NASTY = "\x1b]0;title\x07\x1b[2J\x9b31m\u202eevil\r\n"


@pytest.mark.parametrize("form", [(), ("-o", "wide"), ("-o", "json"), ("-o", "name"), ("-o", "yaml")])
def test_nothing_of_an_event_moves_the_terminal(desk: Any, form: tuple[str, ...]) -> None:
    nasty: dict[str, Any] = {
        name: f"x{NASTY}" for name in ("id", "source", "type", "subject", "cause", "version")
    }
    datas = [NASTY.encode(), json.dumps({NASTY: NASTY}, ensure_ascii=False).encode(), b"\x1b\x9b\xff"]
    desk.control.events = [event(n, data=data, **nasty) for n, data in enumerate(datas, 1)]
    shown = desk("events", "tail", "--since", "1h", "--no-follow", *form).stdout
    outcome = mesh_pb2.Outcome(consumer=NASTY, state=NASTY, reason=NASTY, instance=NASTY)
    page = event(1, data=datas[1], outcomes=[outcome], attributes={"a": NASTY}, **nasty)
    desk.control.answers["Show"] = page
    desk.control.answers["GetTrace"] = mesh_pb2.TraceReply(trace=NASTY, events=[page], unsearched=NASTY)
    dead = mesh_pb2.DeadEvent(node=NASTY, event=page, reason=NASTY, version=NASTY)
    desk.control.answers["ListDead"] = mesh_pb2.DeadReply(dead=[dead], count=1)
    if form[-1:] != ("name",):
        shown += desk("events", "show", "x.1", *form).stdout
    shown += desk("trace", "x.1", *form).stdout
    shown += desk("events", "dead", "list", *form).stdout
    assert not set(shown) & set("\x1b\x9b\x07\u202e\r"), repr(shown)


def test_show_has_the_whole_event_and_what_became_of_it(desk: Any) -> None:
    outcomes = [
        mesh_pb2.Outcome(consumer="bank", state="handled"),
        mesh_pb2.Outcome(consumer="mail", state="in hand", attempts=2, instance="mail.3"),
        mesh_pb2.Outcome(consumer="ship", state="dead", attempts=5, reason="no address", at=1_700_000_100.0),
        mesh_pb2.Outcome(consumer="stock", state="retrying", attempts=1, reason="busy", at=1_700_000_200.0),
    ]
    desk.control.answers["Show"] = event(7, outcomes=outcomes, attributes={"tenant": "x"}, cause="web-1.3")
    lines = desk("events", "show", "shop-1.7").stdout.splitlines()
    assert lines[0].split() == ["id", "shop-1.7"] and lines[2].split() == ["source", "/shop", "1.0.0"]
    assert ["tenant", "x"] in [line.split() for line in lines]
    told = [" ".join(line.split()) for line in lines]
    assert "bank handled - -" in told
    assert "mail in hand: mail.3 2 -" in told
    assert "ship dead 5 no address; set aside Nov 14 22:15:00.000" in told
    assert "stock retrying 1 busy; again at Nov 14 22:16:40.000" in told
    assert lines[-4:] == ["{", '  "id": 1,', '  "name": "café"', "}"]
    assert asked(desk, "Show") == [mesh_pb2.ShowRequest(id="shop-1.7")]
    assert desk.json("events", "show", "shop-1.7")["outcomes"][2]["reason"] == "no address"


def test_bytes_are_shown_as_the_beginning_of_a_dump(desk: Any) -> None:
    desk.control.answers["Show"] = event(1, data=bytes(range(256)) * 2, content="application/protobuf")
    lines = desk("events", "show", "shop-1.1").stdout.splitlines()
    assert lines[-17].startswith("000000  00 01 02 03") and lines[-17].endswith("................")
    assert lines[-13] == "000040  40 41 42 43 44 45 46 47 48 49 4a 4b 4c 4d 4e 4f  @ABCDEFGHIJKLMNO"
    assert lines[-1] == "… 256 bytes more"


def test_publish(desk: Any) -> None:
    desk.control.answers["Send"] = mesh_pb2.SendReply(id="nodectl-7.1")
    words = ("events", "publish", "shop.placed", '{"id": 1}', "--subject", "o-1", "--attribute", "tenant=x=y")
    assert desk(*words).stdout == "published nodectl-7.1\n"
    (sent,) = asked(desk, "Send")
    assert (sent.type, sent.subject, sent.data, sent.content) == ("shop.placed", "o-1", b'{"id": 1}', "")
    assert dict(sent.attributes) == {"tenant": "x=y"}
    assert desk.json(*words) == {"id": "nodectl-7.1"}
    assert desk(*words, "-o", "name").stdout == "event/nodectl-7.1\n"


def test_publish_from_a_pipe_or_a_file(desk: Any, tmp_path: Any) -> None:
    desk.control.answers["Send"] = mesh_pb2.SendReply(id="nodectl-7.1")
    desk("events", "publish", "shop.placed", "-", answer="[1]")
    file = tmp_path / "data"
    file.write_bytes(b"\x00\xff")
    desk("events", "publish", "shop.placed", "--file", str(file), "--content", "image/png")
    assert [(sent.data, sent.content) for sent in asked(desk, "Send")] == [
        (b"[1]", ""),
        (b"\x00\xff", "image/png"),
    ]
    file.write_bytes(b"0" * (1024 * 1024 + 1))
    for words, said in (
        (("{",), "the data is no JSON"),
        (('{"a": NaN}',), "NaN is no number in JSON"),
        ((), "give DATA"),
        (("1", "--file", str(file)), "give DATA"),
        (("--file", str(file)), "at most 1048576 bytes"),
        (("--file", str(tmp_path / "none")), "No such file"),
        (("1", "--attribute", "x"), "expected NAME=VALUE"),
    ):
        assert said in desk("events", "publish", "shop.placed", *words, expect=2).stderr
    assert len(asked(desk, "Send")) == 2


def test_replay(desk: Any) -> None:
    desk.control.answers["Replay"] = mesh_pb2.ReplayReply(events=1234)
    words = ("events", "replay", "--to", "bank", "--since", "2023-11-14T22:00+00:00", "--type", "shop.placed")
    result = desk(*words, "--until", "2023-11-14T23:00Z", answer="y\n")
    assert result.stdout == "1,234 events sent again to bank\n"
    assert "Have bank handle its events since Nov 14 22:00:00 again?" in result.stderr
    (request,) = asked(desk, "Replay")
    assert (request.node, request.since, request.until) == ("bank", 1_699_999_200.0, 1_700_002_800.0)
    assert list(request.types) == ["shop.placed"]
    assert desk.json(*words, "--yes") == {"events": 1234}
    desk("events", "replay", "--to", "bank", "--id", "shop-1.1", answer="n\n", expect=1)
    assert len(asked(desk, "Replay")) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("replay", "--to", "bank"), "give --since, or --id"),
        (("replay", "--to", "bank", "--since", "1h", "--id", "s.1"), "give --since, or --id"),
        (("replay", "--to", "bank", "--since", "1h", "--until", "2h"), "--until is not after --since"),
        (("replay", "--since", "1h"), "--to"),
        (("replay", "--to", "Bank!", "--since", "1h"), "is no node name"),
        (("replay", "--to", "bank", "--since", "soon"), "'soon' is no moment: expected one such as 10m"),
        (("tail", "--since", "20231114"), "is no moment"),
        (("tail", "--since", "9999-01-01"), "is yet to come"),
        (("tail", "--no-follow"), "--no-follow needs --since"),
        (("tail", "a\nb"), "is no event type"),
        (("dead", "drop", "bank"), "Give their ids, or --all"),
        (("dead", "requeue", "bank", "s.1", "--all"), "Give their ids, or --all"),
    ],
)
def test_usage(desk: Any, words: tuple[str, ...], said: str) -> None:
    assert said in desk("events", *words, expect=2).stderr
    assert desk.control.calls == []


def test_dead_letters(desk: Any) -> None:
    letter = mesh_pb2.DeadEvent(
        node="bank", event=event(1), attempts=5, reason="no such account", at=1_700_000_100.0, version="1.2.0"
    )
    desk.control.answers["ListDead"] = mesh_pb2.DeadReply(dead=[letter], count=1500)
    result = desk("events", "dead", "list", "bank", "-n", "1")
    head, row = result.stdout.splitlines()
    assert head.split("  ")[0] == "NODE" and "bank  shop-1.1  shop.placed  o-1" in row
    assert row.endswith("Nov 14 22:15:00.000  5      1.2.0    no such account")
    assert result.stderr == "1 of 1,500; more with -n\n"
    assert asked(desk, "ListDead") == [mesh_pb2.DeadRequest(node="bank", limit=1)]
    assert desk("events", "dead", "list", "-o", "name").stdout == "dead/bank/shop-1.1\n"
    assert desk("events", "dead", "list", "-o", "wide").stdout.rstrip().endswith('{"id":1,"name":"café"}')
    assert desk.json("events", "dead", "list")[0]["event"]["data"]["id"] == 1
    desk.control.answers["ListDead"] = mesh_pb2.DeadReply()
    assert desk("events", "dead", "list").stdout == "no dead letters\n"
    result = desk("events", "dead", "list", "bank")
    assert result.stdout == "no dead letters of bank\n"
    assert result.stderr == "bank is no node of this host: nodectl status\n"
    desk.control.status.nodes.add(name="bank")
    assert desk("events", "dead", "list", "bank").output == "no dead letters of bank\n"
    assert desk.json("events", "dead", "list") == []


def test_dead_letters_are_sent_again_or_dropped(desk: Any) -> None:
    desk.control.answers["RequeueDead"] = desk.control.answers["DropDead"] = mesh_pb2.DeadReply(count=1)
    assert desk("events", "dead", "requeue", "bank", "s.1").stdout == "1 dead letter of bank sent again\n"
    assert desk("events", "dead", "requeue", "bank", "--all").exit_code == 0
    assert list(asked(desk, "RequeueDead")[0].ids) == ["s.1"] and not asked(desk, "RequeueDead")[1].ids
    result = desk("events", "dead", "drop", "bank", "--all", answer="y\n")
    assert "Give up all dead letters of bank for good?" in result.stderr
    assert result.stdout == "1 dead letter of bank dropped\n"
    desk("events", "dead", "drop", "bank", "s.1", answer="n\n", expect=1)
    assert desk.json("events", "dead", "drop", "bank", "s.1", "--yes") == {"count": 1}
    assert len(asked(desk, "DropDead")) == 2


def flow(**fields: Any) -> mesh_pb2.Flow:
    given = {"type": "shop.placed", "publisher": "shop", "consumer": "bank", "published": 1200, "acked": 1000}
    return mesh_pb2.Flow(**{**given, **fields})


@pytest.fixture
def flows(desk: Any) -> None:
    version = mesh_pb2.VersionCount(version="1.2.0", delivered=1001, acked=1000, failed=1)
    desk.control.answers["GetMap"] = mesh_pb2.MapReply(
        flows=[
            flow(lag=200, oldest=90.0, dead=3, sessions=2, retried=4, versions=[version]),
            flow(consumer="mail", lag=0, sessions=0),
            flow(type="shop.lost", consumer=""),
            flow(type="web.seen", publisher=""),
        ],
        log_bytes=3 * 2**20,
        log_limit=2**30,
        peers=[mesh_pb2.PeerState(name="web2", address="web2:9466", problem="refused")],
    )


@pytest.mark.usefixtures("flows")
def test_the_map(desk: Any) -> None:
    result = desk("map")
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["TYPE", "FROM", "TO", "PUBLISHED", "WAITING", "OLDEST", "DEAD", "READERS"],
        ["shop.placed", "shop", "bank", "1,200", "200", "1m", "30s", "3", "2"],
        ["shop.placed", "shop", "mail", "1,200", "0", "-", "0", "0"],
        ["shop.lost", "shop", "-", "1,200", "-", "-", "-", "-"],
        ["web.seen", "-", "bank", "-", "0", "-", "0", "0"],
    ]
    assert result.stderr == (
        "event log: 3.0 MiB of 1.0 GiB\npeer web2 at web2:9466: not connected: refused\n"
    )
    assert desk.json("map")["flows"][0]["versions"][0]["failed"] == 1
    desk("map", "-o", "name", expect=2)


@pytest.mark.usefixtures("flows")
def test_the_map_with_rates(desk: Any) -> None:
    head, first, *_ = (line.split() for line in desk("map", "-o", "wide").stdout.splitlines())
    assert head[-4:] == ["PUBLISHED/S", "HANDLED/S", "RETRIED", "VERSIONS"]
    assert first[-7:] == ["0", "0", "4", "1.2.0", "1,000", "(1", "failed)"]
    assert len(asked(desk, "GetMap")) == 2


@pytest.mark.usefixtures("flows")
def test_the_map_for_graphviz(desk: Any) -> None:
    lines = desk("map", "-o", "dot").stdout.splitlines()
    assert (lines[0], lines[-1]) == ("digraph events {", "}")
    assert lines[2] == '  "shop" -> "bank" [label="shop.placed\\n200 wait", color=red];'
    assert lines[3] == '  "shop" -> "mail" [label="shop.placed"];'
    assert lines[4] == '  "shop" -> "(nobody)" [label="shop.lost"];'


def test_an_empty_map(desk: Any) -> None:
    desk.control.answers["GetMap"] = mesh_pb2.MapReply()
    assert "no node publishes or consumes events" in desk("map").stdout
    assert desk("map", "-o", "dot").stdout.splitlines()[-1] == "}"


def test_a_trace_is_a_tree(desk: Any) -> None:
    begun = 1_700_000_000.0
    handled = [mesh_pb2.Outcome(consumer="bank", state="handled")]
    dead = [mesh_pb2.Outcome(consumer="mail", state="dead", attempts=5, reason="no address")]
    events = [
        event(1, time=begun, outcomes=handled),
        event(2, id="bank.1", source="/bank", type="bank.paid", cause="shop-1.1", time=begun + 0.012),
        event(
            3, id="bank.2", source="/bank", type="bank.told", cause="bank.1", time=begun + 2, outcomes=dead
        ),
        event(4, id="ship.1", source="/ship", type="ship.sent", cause="shop-1.1", time=begun + 65),
        event(5, id="lost.1", cause="gone.9", subject="", time=begun + 66),
    ]
    reply = mesh_pb2.TraceReply(trace="ab" * 16, events=events, unsearched="its earlier part")
    desk.control.answers["GetTrace"] = reply
    result = desk("trace", "shop-1.1")
    assert result.stdout.splitlines() == [
        f"trace {'ab' * 16}: 5 events in 1m 6s",
        "Nov 14 22:13:20.000  shop.placed  /shop  o-1  shop-1.1",
        "     bank handled",
        "├─ +12ms  bank.paid  /bank  o-1  bank.1",
        "│  └─ +2s  bank.told  /bank  o-1  bank.2",
        "│          mail dead (5 tries): no address",
        "└─ +1m 5s  ship.sent  /ship  o-1  ship.1",
        "Nov 14 22:14:26.000  shop.placed  /shop  lost.1",
    ]
    assert result.stderr == "not looked through: its earlier part\n"
    assert asked(desk, "GetTrace") == [mesh_pb2.TraceRequest(id="shop-1.1")]
    assert [one["id"] for one in desk.json("trace", "x")["events"]] == [one.id for one in events]


def test_a_trace_in_a_circle_and_a_deep_one_end(desk: Any) -> None:
    circle = [
        event(1, id="a.1", cause="b.1"),
        event(2, id="b.1", cause="a.1"),
        event(3, id="c.1", cause="c.1"),
    ]
    desk.control.answers["GetTrace"] = mesh_pb2.TraceReply(events=circle)
    assert len(desk("trace", "a.1").stdout.splitlines()) == 4
    deep = [event(n, id=f"a.{n}", cause=f"a.{n - 1}") for n in range(1, 1001)]
    desk.control.answers["GetTrace"] = mesh_pb2.TraceReply(events=deep)
    lines = desk("trace", "a.1").stdout.splitlines()
    assert len(lines) == 1001 and max(map(len, lines)) < 250


@pytest.mark.parametrize("words", [("map",), ("events", "show", "s.1"), ("events", "tail", "-n", "1")])
def test_a_mesh_that_is_away_is_told_in_its_words(desk: Any, words: tuple[str, ...]) -> None:
    text = "noded-mesh does not answer at /run/noded-mesh/control.sock: systemctl status noded-mesh"
    for method in ("GetMap", "Show", "Tail"):
        desk.control.refusals[method] = (grpc.StatusCode.UNAVAILABLE, text)
    said = desk(*words, expect=4).stderr
    assert "noded-mesh does not answer at /run/noded-mesh/control.sock\n" in said
    assert said.endswith("try: systemctl status noded-mesh\n")


def test_refusals_are_told_with_what_helps(desk: Any) -> None:
    denied = "anna is a viewer; Tail needs operator"
    refusals = {
        "Tail": (grpc.StatusCode.PERMISSION_DENIED, denied),
        "GetTrace": (grpc.StatusCode.NOT_FOUND, "the log does not hold s.1"),
        "Show": (grpc.StatusCode.NOT_FOUND, "the log does not hold s.1: it never came, or is not kept"),
        "Send": (
            grpc.StatusCode.FAILED_PRECONDITION,
            "nobody publishes or consumes 'x': nodectl map",
        ),
    }
    desk.control.refusals.update(refusals)
    assert denied in desk("events", "tail", expect=5).stderr
    assert "cannot show s.1: the log does not hold s.1" in desk("events", "show", "s.1", expect=1).stderr
    assert desk("trace", "s.1", expect=1).stderr.endswith("try: nodectl map\n")
    said = desk("events", "publish", "x", "1", expect=1).stderr
    assert "cannot publish x: nobody publishes or consumes 'x'" in said
    assert said.endswith("try: nodectl map\n")


def test_an_id_may_be_given_as_it_was_printed(desk: Any) -> None:
    desk.control.answers["Show"] = event(2)
    desk.control.answers["GetTrace"] = mesh_pb2.TraceReply(events=[event(2)])
    desk("events", "show", "event/shop-1.2")
    desk("trace", "event/shop-1.2")
    assert [request.id for request in (*asked(desk, "Show"), *asked(desk, "GetTrace"))] == ["shop-1.2"] * 2
