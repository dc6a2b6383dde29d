"""What does a histogram in Prometheus' text format say? It is a program's word: read strictly, and whole.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

import re
from collections.abc import Collection, Iterator
from itertools import pairwise

from noded.model.signals import Answers

MOST_LINES = 4096
"""Of one histogram, some 25 ms of work: 50 routes with 5 statuses and 16 buckets."""
MOST_EDGES = 64
LABEL = rb'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\]|\\.)*"'
NUMBER = rb"[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]{1,2})?"
LINE = re.compile(
    rb"((?:" + LABEL + rb",)*" + LABEL + rb",?)\}[ \t]+(" + NUMBER + rb")(?:[ \t]+-?[0-9]+)?[ \t]*\r?"
)
LE = re.compile(rb'(?:^|,)le="([^"\\]*)"')
VALUE = re.compile(rb'="((?:[^"\\]|\\.)*)"')
EDGE = re.compile(rb"\+Inf|" + NUMBER)
ENDLESS = float("inf")
Series = dict[bytes, dict[bytes, int]]
"""Counts by the text of their edges, by the text of all other labels."""


def answers(instance: str, text: bytes, name: str, without: Collection[str]) -> Answers:
    """The histogram `name`, over all its labels; what has one of the values `without` is left out.

    Raises ValueError.
    """
    series: Series = {}
    for line in _lines(text, name):
        labels, edge, count = _read(line)
        buckets = series.setdefault(labels, {})
        if edge in buckets:
            raise ValueError(f"{name}: a bucket is there twice")
        buckets[edge] = count
    left_out = {value.encode() for value in without}
    kept = [b for labels, b in series.items() if left_out.isdisjoint(VALUE.findall(labels))]
    return _summed(instance, name, kept)


def _lines(text: bytes, name: str) -> Iterator[bytes]:
    """What stands behind the opening brace of each bucket."""
    wanted = f"\n{name}_bucket{{".encode()
    text = b"\n" + text
    at = text.find(wanted)
    if at < 0:
        raise ValueError(f"{name}: there is no such histogram")
    for _ in range(MOST_LINES):
        end = text.find(b"\n", at + 1)
        yield text[at + len(wanted) : end if end >= 0 else len(text)]
        at = text.find(wanted, end) if end >= 0 else -1
        if at < 0:
            return
    raise ValueError(f"{name}: expected at most {MOST_LINES} buckets over all labels")


def _read(line: bytes) -> tuple[bytes, bytes, int]:
    """Its labels without `le`, that, and the count."""
    found = LINE.fullmatch(line)
    count = float(found[2]) if found else -1.0
    if found is None or not count.is_integer() or not 0 <= count < 2**53:
        raise ValueError(f"expected labels, a brace and a whole number, found {_shown(line)}")
    labels = found[1].removesuffix(b",")
    le = LE.search(labels)
    if le is None:
        raise ValueError(f"a bucket has no le: {_shown(line)}")
    return (labels[: le.start()] + labels[le.end() :]).strip(b","), le[1], int(count)


def _edge(text: bytes) -> float:
    edge = float(text) if EDGE.fullmatch(text) else 0.0
    if edge <= 0:
        raise ValueError(f"a bucket's le: expected seconds above 0 or +Inf, found {_shown(text)}")
    return edge


def _summed(instance: str, name: str, series: list[dict[bytes, int]]) -> Answers:
    if not series:
        return Answers(instance, 0)
    texts = {_edge(text): text for text in series[0]}
    edges = sorted(texts)
    if edges[-1] != ENDLESS or len(edges) > MOST_EDGES + 1:
        raise ValueError(f"{name}: expected at most {MOST_EDGES} buckets and one for +Inf")
    counts = [[buckets.get(texts[edge], -1) for edge in edges] for buckets in series]
    if any(len(buckets) != len(edges) for buckets in series) or min(map(min, counts)) < 0:
        raise ValueError(f"{name}: expected the same buckets for all labels")
    if any(low > high for each in counts for low, high in pairwise(each)):
        raise ValueError(f"{name}: expected buckets that hold what smaller ones do")
    within = [sum(column) for column in zip(*counts, strict=True)]
    if within[-1] >= 2**53:
        raise ValueError(f"{name}: its counts are too high")
    return Answers(instance, within[-1], 0, tuple(edges[:-1]), tuple(within[:-1]))


def _shown(line: bytes) -> str:
    return repr(line[:80].decode("ascii", "replace"))
