"""What does a histogram in Prometheus' text format say? It is a program's word: read strictly, and whole.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

import re
from collections.abc import Collection, Iterator
from itertools import pairwise

from noded.model.signals import Answers

MOST_LINES = 2048
MOST_EDGES = 64
LABEL = rb'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"'
NUMBER = rb"[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]{1,2})?"
LABELS = re.compile(LABEL)
LINE = re.compile(
    rb"((?:" + LABEL + rb",)*" + LABEL + rb",?)\}[ \t]+(" + NUMBER + rb")(?:[ \t]+-?[0-9]+)?[ \t]*\r?"
)
EDGE = re.compile(rb"\+Inf|" + NUMBER)
ENDLESS = float("inf")
Series = dict[frozenset[tuple[bytes, bytes]], dict[float, int]]


def answers(instance: str, text: bytes, name: str, without: Collection[str]) -> Answers:
    """The histogram `name`, over all its labels; what has one of the values `without` is left out.

    Raises ValueError.
    """
    series: Series = {}
    for line in _lines(text, name):
        labels, count = _read(line)
        edge = _edge(labels.pop(b"le", b""))
        if any(value.decode("utf-8", "replace") in without for value in labels.values()):
            continue
        buckets = series.setdefault(frozenset(labels.items()), {})
        if edge in buckets:
            raise ValueError(f"{name}: a bucket is there twice")
        buckets[edge] = count
    return _summed(instance, name, series)


def _lines(text: bytes, name: str) -> Iterator[bytes]:
    """What stands behind the braces' beginning of each bucket."""
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


def _read(line: bytes) -> tuple[dict[bytes, bytes], int]:
    found = LINE.fullmatch(line)
    count = float(found[6]) if found else -1.0
    if found is None or not count.is_integer() or not 0 <= count < 2**53:
        raise ValueError(f"expected labels, a brace and a whole number, found {_shown(line)}")
    pairs = LABELS.findall(found[1])
    labels = dict(pairs)
    if len(labels) < len(pairs):
        raise ValueError(f"a label is there twice: {_shown(line)}")
    return labels, int(count)


def _edge(text: bytes) -> float:
    edge = float(text) if EDGE.fullmatch(text) else 0.0
    if edge <= 0:
        raise ValueError(f"a bucket's le: expected seconds above 0 or +Inf, found {_shown(text)}")
    return edge


def _summed(instance: str, name: str, series: Series) -> Answers:
    if not series:
        return Answers(instance, 0)
    edges = sorted(next(iter(series.values())))
    if edges[-1] != ENDLESS or len(edges) > MOST_EDGES + 1:
        raise ValueError(f"{name}: expected at most {MOST_EDGES} buckets and one for +Inf")
    for buckets in series.values():
        if sorted(buckets) != edges:
            raise ValueError(f"{name}: expected the same buckets for all labels")
        if any(buckets[low] > buckets[high] for low, high in pairwise(edges)):
            raise ValueError(f"{name}: expected buckets that hold what smaller ones do")
    within = [sum(buckets[edge] for buckets in series.values()) for edge in edges]
    if within[-1] >= 2**53:
        raise ValueError(f"{name}: its counts are too high")
    return Answers(instance, within[-1], 0, tuple(edges[:-1]), tuple(within[:-1]))


def _shown(line: bytes) -> str:
    return repr(line[:80].decode("ascii", "replace"))
