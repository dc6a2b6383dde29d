"""Does what was written down say everything, and is what was damaged told apart?"""

import json
from typing import Any

import pytest

from noded.model.actions import Answer, Note, RenewShare, WakeAt
from noded.model.inputs import (
    CandidateProposed,
    InstanceExited,
    RegenerationFailed,
    Sampled,
    TrafficCounted,
    Woken,
)
from noded.model.state import HostState
from noded.ports import Entry, Unavailable
from noded.runtime.journal import SEGMENT_SECONDS, Journal, header, read_segment
from tests.fakes.chronicle import FakeChronicle
from tests.fakes.ring import FakeRing
from tests.runtime.nouns import NEXT, applied, host, node, ordered, release, report, route, spec, start

CLOCK = 1000.0


def journal(**sizes: Any) -> tuple[Journal, FakeRing, FakeChronicle]:
    ring, chronicle = FakeRing(**sizes), FakeChronicle()
    return Journal(ring, chronicle, "build-1"), ring, chronicle


def exited(at: float = CLOCK) -> InstanceExited:
    return InstanceExited(at, "catalog", "catalog.1", "signal 9")


def test_a_segment_begins_with_the_state_before_its_first_input() -> None:
    made, ring, _ = journal()
    state = host(node())
    made.note(state, exited(), (start(),))
    made.flush()
    found = read_segment(ring.segments[0])
    assert (found.build, found.at, found.state) == ("build-1", CLOCK, state)
    assert [line[:2] for line in found.lines] == ["I ", "A "]
    assert found.last_at == CLOCK


def test_a_segment_ends_by_size_and_by_age() -> None:
    made, ring, _ = journal(segment=3000)
    for number in range(100):
        made.note(HostState(), exited(CLOCK + number), ())
        made.flush()
    assert len(ring.segments) > 2
    assert all(len(text) < 3600 for text in ring.segments)
    made, ring, _ = journal()
    for at in (0.0, SEGMENT_SECONDS, SEGMENT_SECONDS + 1):
        made.note(HostState(), exited(CLOCK + at), ())
        made.flush()
    assert len(ring.segments) == 2


def test_the_last_time_is_that_of_the_last_input() -> None:
    made, ring, _ = journal()
    made.note(HostState(), exited(CLOCK), ())
    made.note(HostState(), Woken(CLOCK + 5, "a"), (start(),))
    made.flush()
    assert read_segment(ring.segments[0]).last_at == CLOCK + 5
    assert read_segment(header("b", 7.0, HostState()) + "\n").last_at == 7.0


def test_a_line_that_was_cut_off_is_left_out() -> None:
    made, ring, _ = journal()
    made.note(HostState(), exited(), (start(),))
    made.flush()
    whole = ring.segments[0]
    first = whole.index("\n") + 1
    for end in range(first, len(whole)):
        lines = read_segment(whole[:end]).lines
        assert "\n".join((*lines, "")) == whole[first : first + len("\n".join((*lines, "")))]
        assert len(lines) == whole[first:end].count("\n")


WHOLE = header("b", 1.0, HostState())
BAD_HEADERS = {
    "empty": "",
    "cut off": WHOLE[:-5],
    "zeros": "\0" * 4096,
    "no JSON": "I am no header\n",
    "a list": "[]\n",
    "no state": '{"build":"b","at":1.0}\n',
    "no build": json.dumps({"at": 1.0, "state": json.loads(WHOLE)["state"]}) + "\n",
    "a state of another shape": '{"build":"b","at":1.0,"state":{"nodes":[]}}\n',
    "a state that is a list": '{"build":"b","at":1.0,"state":[]}\n',
    "an unknown key": '{"build":"b","at":1.0,"state":{"weather":"fine"}}\n',
    "a time that is none": WHOLE.replace('"at":1.0', '"at":"noon"') + "\n",
    "nested too deep": '{"state":' + "[" * 100_000 + "\n",
}


@pytest.mark.parametrize("text", BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_a_header_that_is_not_whole_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="does not begin with a whole snapshot"):
        read_segment(text)


def names(chronicle: FakeChronicle) -> list[tuple[str, str, str]]:
    return [(e.kind, e.name, e.node) for e in chronicle.entries]


def test_people_read_news_and_decisions_not_readings() -> None:
    made, _, chronicle = journal()
    for quiet in (Sampled(1.0), TrafficCounted(1.0), Woken(1.0, "catalog")):
        made.note(HostState(), quiet, ())
    made.flush()
    assert chronicle.entries == []
    made.note(HostState(), Sampled(2.0), (start(),))
    made.note(HostState(), exited(), ())
    assert chronicle.entries == [], "what is not written yet may still be decided otherwise"
    made.flush()
    assert names(chronicle) == [
        ("action", "StartInstance", "catalog"),
        ("input", "InstanceExited", "catalog"),
    ]
    assert [e.text for e in chronicle.entries] == ["0 of 1 run", "catalog.1 exited: signal 9"]


def test_routine_is_not_told_unless_an_answer_has_a_reason() -> None:
    made, ring, chronicle = journal()
    routine = (
        WakeAt("catalog", 9.0, "later"),
        RenewShare("catalog", route(), "the lease"),
        Answer(1, "catalog", "", "done"),
    )
    made.note(
        HostState(), Woken(1.0, "catalog"), (*routine, Answer(2, "catalog", "", "ok", reason="uid 0 did"))
    )
    made.flush()
    assert names(chronicle) == [("action", "Answer", "catalog")]
    assert ring.segments[0].count("\nA ") == 4  # the ring holds everything


def test_a_conclusion_is_told_with_its_subject() -> None:
    made, _, chronicle = journal()
    made.note(HostState(), Woken(1.0, "catalog"), (Note("catalog", "catalog-1", "it leaks"),))
    made.flush()
    assert chronicle.entries == [
        Entry(1.0, "catalog", "catalog-1", "action", "Conclusion", "it leaks", chronicle.entries[0].body, 1)
    ]
    assert json.loads(chronicle.entries[0].body)["reason"] == "it leaks"


def test_what_was_applied_is_told_with_its_node() -> None:
    made, _, chronicle = journal()
    made.note(HostState(), applied(), ())
    made.note(HostState(), ordered("pause", node=""), ())
    made.flush()
    assert [(e.node, e.text) for e in chronicle.entries] == [
        ("catalog", "uid 1000 applied catalog 1.4.0"),
        ("", "uid 0 ordered pause of the host"),
    ]


def test_what_regeneration_brought_is_found_with_its_incident() -> None:
    made, _, chronicle = journal()
    proposed = CandidateProposed(1.0, "catalog", "catalog-1", spec(), release(digest=NEXT), report())
    made.note(HostState(), proposed, ())
    made.note(HostState(), RegenerationFailed(2.0, "catalog", "catalog-2", report()), ())
    made.flush()
    assert [e.subject for e in chronicle.entries] == ["catalog-1", "catalog-2"]


def test_a_segment_never_begins_within_what_is_written_at_once() -> None:
    made, ring, _ = journal(segment=200)
    for number in range(5):
        made.note(HostState(), exited(CLOCK + number), ())
    made.flush()
    assert len(ring.segments) == 1


def test_what_was_lost_is_forgotten_and_a_new_segment_begins_with_the_state() -> None:
    made, ring, chronicle = journal()
    made.note(HostState(), exited(CLOCK), ())
    made.flush()
    ring.is_full_disk = True
    made.note(HostState(), exited(CLOCK + 1), ())
    with pytest.raises(Unavailable):
        made.flush()
    made.lost()
    ring.is_full_disk = False
    state = host(node())
    made.note(state, exited(CLOCK + 2), ())
    made.flush()
    assert [read_segment(text).at for text in ring.segments] == [CLOCK, CLOCK + 2]
    assert read_segment(ring.segments[1]).state == state
    assert [entry.at for entry in chronicle.entries] == [CLOCK, CLOCK + 2]
