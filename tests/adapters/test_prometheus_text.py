"""Is a program's histogram read whole and strictly, or not at all?"""

import time

import pytest

from noded.adapters.prometheus_text import MOST_EDGES, MOST_LINES, answers
from noded.model.signals import Answers

PLAIN = """\
# HELP latency How long it took.
# TYPE latency histogram
latency_bucket{le="0.005"} 3
latency_bucket{le="0.1"} 4
latency_bucket{le="+Inf"} 5
latency_sum 1.25
latency_count 5
latency_bucket_other{le="0.1"} 99
other_latency_bucket{le="0.1"} 99
"""


def read(text: str, *without: str) -> Answers:
    return answers("a.1", text.encode(), "latency", without)


def test_a_histogram() -> None:
    assert read(PLAIN) == Answers("a.1", 5, 0, (0.005, 0.1), (3, 4))


def test_labels_are_summed_over() -> None:
    text = """\
latency_bucket{path="/a",le="0.1"} 1
latency_bucket{path="/a",le="+Inf"} 2
latency_bucket{le="0.1",path="/b"} 10 1700000000000
latency_bucket{path="/b",le="+Inf",} 2e+01
"""
    assert read(text) == Answers("a.1", 22, 0, (0.1,), (11,))


def test_what_noded_asks_for_itself_is_left_out() -> None:
    text = """\
latency_bucket{handler="/metrics",le="0.1"} 100
latency_bucket{handler="/metrics",le="+Inf"} 100
latency_bucket{handler="/a",le="0.1"} 1
latency_bucket{handler="/a",le="+Inf"} 2
"""
    assert read(text, "/metrics", "/healthz") == Answers("a.1", 2, 0, (0.1,), (1,))
    assert read("\n".join(text.splitlines()[:2]), "/metrics") == Answers("a.1", 0)


def test_quotes_braces_and_other_line_ends() -> None:
    text = (
        'latency_bucket{p="a}\\"\\\\ {,=",le="1e-1"}\t7 -5 \r\nlatency_bucket{p="a}\\"\\\\ {,=",le="+Inf"} 7'
    )
    assert read(text) == Answers("a.1", 7, 0, (0.1,), (7,))


INF = '\nlatency_bucket{le="+Inf"} 9'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "there is no such histogram"),
        ("\x00\xff<html>", "there is no such histogram"),
        ("latency_sum 3\nlatency_count 4", "there is no such histogram"),
        ("latency_bucket 3", "there is no such histogram"),
        ('latency_bucket{le="0.1"} 3', "one for +Inf"),
        ('latency_bucket{le="0.1"} 3' + INF.replace("9", "2"), "hold what smaller ones do"),
        ('latency_bucket{le="0.1"} 3.5' + INF, "a whole number"),
        ('latency_bucket{le="0.1"} -3' + INF, "a whole number"),
        ('latency_bucket{le="0.1"} NaN' + INF, "a whole number"),
        ('latency_bucket{le="0.1"} 1e99' + INF, "a whole number"),
        ('latency_bucket{le="0.1"} 1e999' + INF, "a whole number"),
        ('latency_bucket{le="0.1"}3' + INF, "a whole number"),
        ('latency_bucket{le="0.1"} ' + INF, "a whole number"),
        ('latency_bucket{le="0.1"} 3 4 5' + INF, "a whole number"),
        ('latency_bucket{le="0.1" 3' + INF, "labels, a brace"),
        ('latency_bucket{le="0.1} 3' + INF, "labels, a brace"),
        ("latency_bucket{le=0.1} 3" + INF, "labels, a brace"),
        ('latency_bucket{,le="0.1"} 3' + INF, "labels, a brace"),
        ('latency_bucket{le="0.1"path="/"} 3' + INF, "labels, a brace"),
        ("latency_bucket{} 3" + INF, "labels, a brace"),
        ('latency_bucket{path="/"} 3' + INF, "has no le"),
        ('latency_bucket{le="0"} 3' + INF, "expected seconds above 0"),
        ('latency_bucket{le="-1"} 3' + INF, "expected seconds above 0"),
        ('latency_bucket{le="soon"} 3' + INF, "expected seconds above 0"),
        ('latency_bucket{le="NaN"} 3' + INF, "expected seconds above 0"),
        ('latency_bucket{le="0.1",le="0.2"} 3' + INF, "one for +Inf"),
        ('latency_bucket{le="0.1"} 3\nlatency_bucket{le="0.10"} 3' + INF, "the same buckets"),
        ('latency_bucket{p="a",le="0.1"} 3\nlatency_bucket{p="a",le="+Inf"} 3' + INF, "the same buckets"),
        ("\n".join(f'latency_bucket{{le="{n}"}} 1' for n in range(1, MOST_EDGES + 2)) + INF, "at most 64"),
        (f'latency_bucket{{le="+Inf"}} {2**53 - 1}\nlatency_bucket{{p="a",le="+Inf"}} 9', "too high"),
        ('latency_bucket{le="0.1"} 1\n' * (MOST_LINES + 1), "there twice"),
        ("\n".join(f'latency_bucket{{p="{n}",le="+Inf"}} 1' for n in range(MOST_LINES + 1)), "at most 4096"),
    ],
)
def test_what_cannot_be_meant_is_refused_whole(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why.replace("+", r"\+")) as refused:
        read(text)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    "text",
    [
        'latency_bucket{a="' + "\\" * 400_000,
        "latency_bucket{" + 'a="b",' * 100_000,
        "latency_bucket{" * 50_000,
    ],
    ids=["backslashes", "labels", "beginnings"],
)
def test_nothing_costs_more_than_its_length(text: str) -> None:
    began = time.process_time()
    with pytest.raises(ValueError, match=r"expected labels"):
        read(text)
    assert time.process_time() - began < 1.0
