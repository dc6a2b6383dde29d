"""Can a rollout be seen, followed to its end, and read about afterwards?"""

import json
import threading
import time
from typing import Any

import pytest

from nodeapi.v1 import control_pb2 as pb
from tests.fakes.control import Change, a_node, a_rollout
from tests.nodectl.rollouts import at, ends, whole


def plays(desk: Any, *changes: Change) -> None:
    """Once somebody watches."""

    def play() -> None:
        desk.fake.wait_for("WatchStatus")
        for change in changes:
            time.sleep(0.05)
            desk.fake.change(change)

    threading.Thread(target=play, daemon=True).start()


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize(("phase", "code"), [("promoted", 0), ("rolled back", 1), ("aborted", 1)])
def test_watch_ends_with_the_rollout(rolling: Any, phase: str, code: int, kept: bool) -> None:
    plays(rolling, at(step=1, share=0.5), ends(phase, "because of this", kept))
    lines = rolling("rollout", "watch", "catalog", expect=code).stdout.splitlines()
    assert lines[-1] == f"catalog 1.4.0 -> 1.5.0: {phase}: because of this"
    assert [line.split("  ")[2] for line in lines[:-1]] == [
        "step 1 of 3, share 10 %",
        "step 2 of 3, share 50 %",
        phase,
    ]
    assert "new 1,372 requests 1 bad  old 12,345 requests 3 bad" in lines[0]
    assert "against 0.412 of 100  for 12.3 of 20  12s to go at least  about 210 more requests" in lines[0]


def test_a_reason_is_told_once(rolling: Any) -> None:
    plays(rolling, at(reason="it is good"), at(canary_requests=1400), at(step=1), ends("promoted", "no harm"))
    lines = rolling("rollout", "watch", "catalog").stdout.splitlines()
    assert [line.endswith("it is good") for line in lines] == [False, True, True, False, False]


def test_counts_alone_do_not_flood_the_log(rolling: Any) -> None:
    plays(rolling, *(at(canary_requests=1400 + n) for n in range(8)), ends("promoted"))
    assert len(rolling("rollout", "watch", "catalog").stdout.splitlines()) == 3


def test_watch_as_json_gives_every_state_as_a_line(rolling: Any) -> None:
    plays(rolling, at(step=1), ends("promoted"))
    lines = rolling("rollout", "watch", "catalog", "-o", "json").stdout.splitlines()
    states = [json.loads(line) for line in lines]
    assert [(one["phase"], one["step"]) for one in states] == [("step", 0), ("step", 1), ("promoted", 1)]


def test_watch_outlives_a_restart_of_noded(rolling: Any) -> None:
    rolling.control.cut_watches = True
    plays(rolling, at(step=1), at(step=2), ends("promoted"))
    result = rolling("rollout", "watch", "catalog")
    assert "noded is away" in result.stderr


def test_watch_that_takes_too_long(rolling: Any) -> None:
    stderr = rolling("rollout", "watch", "catalog", "--timeout", "300ms", expect=1).stderr
    assert stderr == (
        "nodectl: the rollout of catalog has not ended within 0.3s\ntry: nodectl rollout status catalog\n"
    )


def test_a_rollout_that_vanishes_has_no_verdict(rolling: Any) -> None:
    plays(rolling, lambda status: status.nodes[0].ClearField("rollout"))
    assert "does not say how it ended" in rolling("rollout", "watch", "catalog", expect=1).stderr


def test_watch_without_a_rollout_tells_of_the_last_one(desk: Any) -> None:
    past = a_rollout(phase="rolled back", ended_at=time.time() - 65, reason="it failed")
    desk.control.status.nodes.append(a_node(past_rollouts=[past]))
    stderr = desk("rollout", "watch", "catalog", expect=1).stderr
    assert (
        "no rollout of catalog is under way; the last one, 1.4.0 -> 1.5.0, ended 1m 5s ago: rolled back"
        in stderr
    )
    assert stderr.endswith(": rolled back: it failed\ntry: nodectl rollout history catalog r-7\n")


@pytest.mark.parametrize("command", ["status", "watch", "history", "promote"])
def test_an_unknown_node(desk: Any, command: str) -> None:
    assert "no such node" in desk("rollout", command, "shop", expect=1).stderr


def test_status_shows_the_present_one_else_the_last(desk: Any) -> None:
    old, new = (
        a_rollout(id="r-1", to_version="1.4.1"),
        a_rollout(id="r-2", to_version="1.4.2", phase="promoted"),
    )
    old.started_at = 1.0
    desk.control.status.nodes.append(a_node(past_rollouts=[old, new]))
    assert "1.4.0 -> 1.4.2  promoted" in desk("rollout", "status", "catalog").stdout
    desk.control.status.nodes[0].rollout.CopyFrom(a_rollout())
    output = desk("rollout", "status", "catalog").stdout
    assert "1.4.0 -> 1.5.0  step 1 of 3, share 10 %" in output
    assert "12s to go at least" in output and "[10 %]; 50 %; 100 %" in output
    assert desk.json("rollout", "status", "catalog")["to_version"] == "1.5.0"


def test_a_node_without_rollouts(desk: Any) -> None:
    desk.control.status.nodes.append(a_node())
    assert "has had no rollout" in desk("rollout", "status", "catalog", expect=1).stderr
    assert desk("rollout", "history", "catalog").stdout == "catalog has had no rollout\n"
    assert desk.json("rollout", "history", "catalog") == []


def test_history_is_newest_first(desk: Any) -> None:
    past = [
        a_rollout(
            id=f"r-{n}", started_at=1e9 + n, ended_at=1e9 + n + 75, phase="rolled back", reason="errors"
        )
        for n in (1, 3, 2)
    ]
    desk.control.status.nodes.append(a_node(past_rollouts=past))
    lines = desk("rollout", "history", "catalog").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["ID", "r-3", "r-2", "r-1"]
    assert "1m 15s" in lines[1] and lines[1].endswith("errors")
    assert [one["id"] for one in desk.yaml("rollout", "history", "catalog")] == ["r-3", "r-2", "r-1"]


def test_the_page_shows_both_versions_beside_each_other(rolling: Any) -> None:
    rolling.control.status.nodes[0].rollout.CopyFrom(whole())
    lines = rolling("rollout", "status", "catalog").stdout.splitlines()
    assert lines[0].startswith("catalog 1.4.0 -> 1.5.0  step 1 of 3, share 10 %  ")
    assert lines[1].split() == ["share", "[####" + "." * 36 + "]", "10", "%"]
    rows = {line.split()[0]: line.split() for line in lines if line.startswith("  ")}
    assert rows["VERSION"] == (
        ["VERSION", "REQUESTS", "ERRORS", "RATIO", "READY", "RATE", "P50", "P99", "MEMORY"]
    )
    assert rows["old"] == (
        ["old", "1.4.0", "12,345", "3", "0.02", "%", "2/2", "1,234/s", "1.2ms", "8ms", "31.0", "MiB"]
    )
    assert rows["new"] == ["new", "1.5.0", "1,372", "1", "0.07", "%", "1/2", "10.5/s", "-", "2s", "-"]


def test_the_page_shows_each_signal_and_how_near_it_is(rolling: Any) -> None:
    rolling.control.status.nodes[0].rollout.CopyFrom(whole())
    lines = rolling("rollout", "status", "catalog").stdout.splitlines()
    rows = {line.split()[0]: line for line in lines}
    assert rows["errors"].split("  ")[1:] != []
    assert " ".join(rows["errors"].split()) == (
        "errors 0.412 of 200 1 of 1,372 3 of 12,345 failed requests and events"
    )
    assert " ".join(rows["events"].split()) == "events - 1 of 9 - failed events, part of errors"
    assert rows["slow-99"].endswith("answers slower than 8ms")
    assert rows["objective"].endswith("promised are 2 % at most")
    assert rows["memory"].endswith("holds 2.0 MiB more than a fresh old one")


def test_the_page_shows_how_it_came_here(rolling: Any) -> None:
    rolling.control.status.nodes[0].rollout.CopyFrom(whole())
    text = rolling("rollout", "status", "catalog").stdout
    lines = [" ".join(line.split()) for line in text.splitlines()]
    here = lines.index("WHEN STAGE SHARE BY WHY")
    assert lines[here + 1 :] == [
        "3m 20s ago preparing 0 % uid 1000 waiting for the canary to be ready",
        "12s ago step 10 % noded 10%: the canary is ready",
    ]
    assert "reason" not in text


NEEDED = {
    "about 210 more requests to the new version, 20s at this rate": whole(),
    "about 210 more requests to the new version, and none come": whole(rate=0.0),
    "about 210 more requests to the new version, and hardly any come": whole(rate=1e-5),
    "no more requests": whole(promotion_evidence=25.0, requests_needed=0),
    "no number of requests would do while so many of them fail": whole(requests_needed=0),
    "1.5.0 ready: 1 of 2 so far": whole(phase="preparing"),
    "": whole(phase="soak"),
}


@pytest.mark.parametrize("words", NEEDED)
def test_what_is_still_needed(rolling: Any, words: str) -> None:
    rolling.control.status.nodes[0].rollout.CopyFrom(NEEDED[words])
    lines = [line.split() for line in rolling("rollout", "status", "catalog").stdout.splitlines()]
    told = [" ".join(line[1:]) for line in lines if line[0] == "needed"]
    assert told == ([words] if words else [])


def test_one_that_a_person_holds_or_has_to_decide(rolling: Any) -> None:
    held = whole(held=True, frozen="the canary is worse", forced="contract: total went away")
    rolling.control.status.nodes[0].rollout.CopyFrom(held)
    text = rolling("rollout", "status", "catalog").stdout
    assert "step 1 of 3, share 10 %, held, frozen" in text
    assert "nodectl rollout resume" not in text, "it would be refused"
    assert (
        "the canary is worse; a person decides: nodectl rollout abort catalog, or nodectl rollout promote"
        in text
    )
    assert "contract: total went away" in text
    rolling.control.status.nodes[0].rollout.CopyFrom(whole(held=True))
    text = rolling("rollout", "status", "catalog").stdout
    assert "harm still ends it; go on with: nodectl rollout resume catalog" in text


def test_a_rollout_of_an_older_noded_has_fewer_figures(rolling: Any) -> None:
    text = rolling("rollout", "status", "catalog").stdout
    assert "READY" not in text and "SIGNAL" not in text and "WHEN" not in text
    assert "about 210 more requests to the new version\n" in text


def test_figures_that_tell_nothing(rolling: Any) -> None:
    empty = whole(canary_requests=0, canary_bad=0, stable_requests=0, stable_bad=0)
    empty.signals.add(signal="slow-50", weight=0.1)
    empty.signals.add(signal="something new", canary=1, limit=3.0)
    rolling.control.status.nodes[0].rollout.CopyFrom(empty)
    text = rolling("rollout", "status", "catalog").stdout
    assert "slow-50 0 of 1000 - - " in " ".join(text.split())
    assert "something new" in text


def test_history_shows_the_one_under_way_first(rolling: Any) -> None:
    node = rolling.control.status.nodes[0]
    node.past_rollouts.append(a_rollout(id="r-6", phase="promoted", started_at=1e9, ended_at=1e9 + 1))
    lines = rolling("rollout", "history", "catalog").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["ID", "r-7", "r-6"]
    assert "step 1 of 3, share 10 %" in lines[1]


def test_the_history_of_one(desk: Any) -> None:
    done = [pb.StepStatus(share=0.1, seconds=35, canary_requests=70, canary_bad=1, stable_requests=600)]
    past = whole(phase="rolled back", started_at=1e9, ended_at=1e9 + 75, reason="errors", digest="sha256:ab")
    past.done.extend(done)
    past.history.add(at=1e9 + 75, phase="rolled back", reason="errors", by="uid 7")
    desk.control.status.nodes.append(a_node(past_rollouts=[past, a_rollout(id="r-6")]))
    lines = [
        " ".join(one.split()) for one in desk("rollout", "history", "catalog", "r-7").stdout.splitlines()
    ]
    assert lines[:5] == [
        "catalog 1.4.0 -> 1.5.0 rolled back",
        "id r-7",
        "release sha256:ab",
        "begun Sep 09 01:46:40.000, by root",
        "took 1m 15s",
    ]
    assert lines[5:7] == ["SHARE LASTED NEW NEW ERRORS OLD OLD ERRORS", "10 % 35s 70 1 600 0"]
    assert lines[7] == "WHEN STAGE SHARE BY WHY"
    assert lines[-1] == "Sep 09 01:47:55.000 rolled back 0 % uid 7 errors"
    told = desk.json("rollout", "history", "catalog", "r-7")
    assert (told["id"], told["done"][0]["canary_requests"], told["history"][-1]["by"]) == ("r-7", 70, "uid 7")


def test_the_history_of_the_one_under_way_counts_the_present_step(rolling: Any) -> None:
    now = whole()
    now.done.add(share=0.05, seconds=35, canary_requests=372, canary_bad=1, stable_requests=345)
    rolling.control.status.nodes[0].rollout.CopyFrom(now)
    lines = [
        " ".join(one.split()) for one in rolling("rollout", "history", "catalog", "r-7").stdout.splitlines()
    ]
    assert "5 % 35s 372 1 345 0" in lines
    assert "10 % so far 1,000 0 12,000 3" in lines


def test_the_history_of_one_that_is_not_known(rolling: Any) -> None:
    stderr = rolling("rollout", "history", "catalog", "r-1", expect=1).stderr
    assert stderr == (
        "nodectl: catalog has no rollout r-1; noded remembers the newest ones\n"
        "try: nodectl rollout history catalog\n"
    )
