"""Does the load of `make bench-mesh` count what came, what did not and what came twice?"""

import json
import time

import pytest

from tests.bench.carried import many, single
from tests.bench.load.events import HEAD, SCHEMA, SIZE, Job, Pace, Tally, compact, made, order, packed


def job(each: int = 3, rate: int = 0) -> Job:
    return Job("c0", "unix:/x", ((4, "bench.d0.t4"), (5, "bench.d1.t5")), each, "bytes", rate)


def test_a_job_is_read_as_it_was_written() -> None:
    assert Job.read(job().written()) == job()


def test_flows_come_by_turns_and_every_event_once() -> None:
    found = [(kind, HEAD.unpack_from(data)[:2]) for kind, data, _ in made(job(2), packed)]
    assert found == [
        ("bench.d0.t4", (4, 0)),
        ("bench.d1.t5", (5, 0)),
        ("bench.d0.t4", (4, 1)),
        ("bench.d1.t5", (5, 1)),
    ]


def test_one_in_a_hundred_is_traced() -> None:
    assert sum(traced for _, _, traced in made(job(500), packed)) == 10


def test_both_forms_are_as_long() -> None:
    assert len(packed(0, 1)) == SIZE
    assert abs(len(compact(order(0, 123_456))) - SIZE) <= 8


def test_every_event_arrived() -> None:
    done: list[bool] = []
    tally = Tally(job(), lambda: done.append(True))
    for _, data, _ in made(job(), packed):
        assert not done
        tally.take(*HEAD.unpack_from(data))
    assert done == [True]
    assert (tally.told()["missing"], tally.told()["repeated"]) == (0, 0)


def test_a_repeated_event_does_not_stand_for_a_missing_one() -> None:
    done: list[bool] = []
    tally = Tally(job(), lambda: done.append(True))
    events = [HEAD.unpack_from(data) for _, data, _ in made(job(), packed)]
    for event in (*events[:5], events[0], events[1]):
        tally.take(*event)
    assert not done
    assert (tally.told()["missing"], tally.told()["repeated"]) == (1, 2)
    tally.take(*events[5])
    assert done == [True]
    assert (tally.told()["missing"], tally.told()["repeated"]) == (0, 2)


@pytest.mark.parametrize("event", [(9, 0, 0), (4, 3, 0)])
def test_an_event_that_nobody_published_is_no_arrival(event: tuple[int, int, int]) -> None:
    with pytest.raises(LookupError):
        Tally(job(), lambda: None).take(*event)


def test_delays_are_counted_from_the_publishing() -> None:
    tally = Tally(job(rate=1000), lambda: None)
    for late in (0.001, 0.002, 0.5):
        tally.take(4, 0, time.monotonic_ns() - int(late * 1e9))
    found = tally.told()["delays_us"]
    assert isinstance(found, list)
    assert 2_000 <= found[0] < 100_000 <= found[1]


def test_without_a_rate_all_are_due() -> None:
    pace, counts = Pace(0, 150), []
    while pace.left:
        counts.append(pace.due())
    assert sum(counts) == 150
    assert pace.wait() == 0.0


def test_no_more_are_due_than_the_rate_allows() -> None:
    began, pace = time.monotonic(), Pace(1000, 50)
    published = 0
    while pace.left:
        published += pace.due()
        assert published <= (time.monotonic() - began) * 1000 + 1
        time.sleep(pace.wait())
    assert published == 50
    assert time.monotonic() - began >= 0.048


def test_many_reach_two_consumers_each_and_types_have_one_publisher() -> None:
    publishing, consuming = many(200).jobs("a")
    published = [flow for one in publishing for flow in one.flows]
    consumed = [flow for one in consuming for flow in one.flows]
    assert len(publishing) == 10 and len(consuming) == 5
    assert len(set(published)) == len(published) == 20
    assert all(consumed.count(flow) == 2 for flow in published)
    assert all(one.each == 10 for one in (*publishing, *consuming))


def test_a_single_one_reaches_its_only_consumer() -> None:
    publishing, consuming = single(7, "json", 5).jobs("a")
    assert [one.flows for one in publishing] == [one.flows for one in consuming]
    assert consuming[0].domains == ["bench.d0"]


def test_the_contract_is_json() -> None:
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA
