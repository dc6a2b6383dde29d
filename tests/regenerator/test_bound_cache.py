"""Is the right cache bounded, only that one, and with nothing else in the file touched?"""

import ast
import difflib
from pathlib import Path

import pytest

from regenerator.boundcache.propose import GENERATOR, bound, bytes_per_entry, propose
from regenerator.gates import STATIC
from regenerator.incident import Site
from tests.regenerator.bench import incident, site, sources, split
from tests.regenerator.cases.acting import ACTING
from tests.regenerator.cases.caches import CACHES, Cache
from tests.regenerator.cases.followed import FOLLOWED
from tests.regenerator.cases.shared import SHARED
from tests.regenerator.cases.stateful import STATEFUL
from tests.regenerator.cases.unbounded import UNBOUNDED

ALL = CACHES | FOLLOWED
REFUSED = ACTING | SHARED | STATEFUL | UNBOUNDED


def proposed(text: str, **others: str) -> tuple[str, str]:
    """The changed file and its new text."""
    parent = sources(case=text, **others)
    proposals, refusals = split(list(propose(parent, incident(site("shop/case.py", text)))))
    assert len(proposals) == 1, [refusal.reason for refusal in refusals]
    assert proposals[0].generator == GENERATOR
    [(path, after)] = proposals[0].files.items()
    for gate in STATIC:
        result = gate(parent, proposals[0])
        assert result.passed, (result.name, result.detail)
    return path, after


def answers(text: str, case: Cache, numbers: list[int]) -> tuple[list[object], int]:
    space: dict[str, object] = {"__name__": "case"}
    exec(compile(text, "case.py", "exec"), space)
    return [eval(case.ask, space, {"n": n}) for n in numbers], eval(case.kept, space)


@pytest.mark.parametrize("name", ALL)
def test_a_cache_is_bounded_and_answers_as_before(name: str) -> None:
    case = ALL[name]
    _, after = proposed(case.source)
    numbers = [*range(400), *range(100), *range(390, 400)]
    before, grown = answers(case.source, case, numbers)
    now, kept = answers(after, case, numbers)
    assert now == before
    assert grown == 400
    assert 100 <= kept <= 128


@pytest.mark.parametrize("name", ALL)
def test_everything_else_stays_as_it_was(name: str) -> None:
    _, after = proposed(ALL[name].source)
    diff = difflib.ndiff(ALL[name].source.splitlines(), after.splitlines())
    removed = [line for line in diff if line.startswith("- ")]
    assert 1 <= len(removed) <= 2, "the definition or the decorator, and perhaps its import"
    assert all(any(word in line for word in ("{}", "dict()", "Dict()", "cache", "@")) for line in removed)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_cache_is_refused_with_the_reason(name: str) -> None:
    case = REFUSED[name]
    parent = sources(case=case.source)
    proposals, refusals = split(list(propose(parent, incident(site("shop/case.py", case.source)))))
    assert proposals == []
    assert any(case.because in refusal.reason for refusal in refusals), [r.reason for r in refusals]
    assert all(refusal.site.file == "shop/case.py" for refusal in refusals)


def test_annotation_comments_and_line_ends_stay() -> None:
    text = CACHES["get"].source.replace("\n", "\r\n")
    _, after = proposed("\ufeff" + text.lstrip())
    assert after.startswith("\ufeff")
    assert "\n" not in after.replace("\r\n", "")
    line = "QUOTES: dict[str, str] = _BoundedDict(_QUOTES_MAX_ENTRIES)  # per customer and product\r\n"
    assert line in after
    tree = ast.parse(after.removeprefix("\ufeff"))
    assert isinstance(tree.body[1], ast.ImportFrom)
    assert tree.body[1].module == "__future__"
    assert [type(node).__name__ for node in tree.body[2:6]] == ["Import", "Import", "ClassDef", "Assign"]


def test_names_before_the_cache_on_its_line_may_be_any_language() -> None:
    text = CACHES["get"].source.replace("QUOTES", "Цены")
    _, after = proposed(text)
    assert "Цены: dict[str, str] = _BoundedDict(_ЦЕНЫ_MAX_ENTRIES)  # per" in after


def test_a_cache_in_another_module_of_the_release() -> None:
    store = "PRICES = {}\n"
    text = """
from . import store


def price(sku):
    value = store.PRICES.get(sku)
    if value is None:
        value = sku * 3  # <site>
        store.PRICES[sku] = value
    return value
"""
    path, after = proposed(text, store=store)
    assert path == "shop/store.py"
    assert after.endswith("PRICES = _BoundedDict(_PRICES_MAX_ENTRIES)\n")
    path, after = proposed(
        text.replace("from . import store", "from .store import PRICES").replace("store.", ""), store=store
    )
    assert path == "shop/store.py"


def test_a_use_in_another_module_counts() -> None:
    text = CACHES["get"].source
    other = "from .case import QUOTES\n\n\ndef report():\n    return sorted(QUOTES)\n"
    parent = sources(case=text, other=other)
    proposals, refusals = split(list(propose(parent, incident(site("shop/case.py", text)))))
    assert proposals == []
    assert "iterated" in refusals[0].reason
    assert "shop/other.py:5" in refusals[0].reason


def test_only_the_cache_at_the_site_is_changed() -> None:
    text = """
FIRST = {}
SECOND = {}


def first(n):
    if n not in FIRST:
        FIRST[n] = str(n) * 2
    return FIRST[n]


def second(n):
    if n not in SECOND:
        SECOND[n] = str(n) * 3  # <site>
    return SECOND[n]
"""
    _, after = proposed(text)
    assert "FIRST = {}\n" in after
    assert "SECOND = _BoundedDict(_SECOND_MAX_ENTRIES)\n" in after


def test_a_second_cure_of_the_same_module_uses_the_class_that_is_there() -> None:
    text = """
FIRST = {}
SECOND = {}


def first(n):
    if n not in FIRST:
        FIRST[n] = str(n) * 2  # <site>
    return FIRST[n]


def second(n):
    if n not in SECOND:
        SECOND[n] = str(n) * 3
    return SECOND[n]
"""
    _, once = proposed(text)
    marked = once.replace("  # <site>", "").replace("str(n) * 3", "str(n) * 3  # <site>")
    _, twice = proposed(marked)
    assert twice.count("class _BoundedDict") == 1
    assert "SECOND = _BoundedDict(_SECOND_MAX_ENTRIES)" in twice
    _, kept = answers(
        twice, Cache(text, "(first(n), second(n))", "len(FIRST) + len(SECOND)"), list(range(400))
    )
    assert 200 <= kept <= 256


def test_sites_are_followed_in_order_and_each_refusal_told() -> None:
    bad, good = REFUSED["iterated"].source, CACHES["get"].source
    parent = sources(bad=bad, case=good)
    sites = [
        Site("/usr/lib/python3.11/json/encoder.py", 250, "iterencode", 9_000_000, 3000),
        site("shop/bad.py", bad),
        site("shop/case.py", good),
    ]
    found = list(propose(parent, incident(*sites)))
    proposals, refusals = split(found)
    assert [answer.site for answer in found] == sites
    assert "outside" in refusals[0].reason
    assert "iterated" in refusals[1].reason
    assert proposals[0].target == "shop/case.py:QUOTES"


def test_a_file_the_node_does_not_open_for_writing_is_left() -> None:
    text = CACHES["get"].source
    parent = sources(write=("shop/other*.py",), case=text)
    proposals, refusals = split(list(propose(parent, incident(site("shop/case.py", text)))))
    assert proposals == []
    assert "[regeneration].write" in refusals[0].reason


def test_a_line_behind_the_end_of_the_file_is_refused() -> None:
    parent = sources(case="x = 1\n")
    [refusal] = propose(parent, incident(Site("shop/case.py", 999)))
    assert "import time" in refusal.reason


@pytest.mark.parametrize(
    ("size", "count", "limit", "entries"),
    [
        (3000, 1000, 256 << 20, 8659),
        (10, 1_000_000, 256 << 20, 65536),
        (1 << 20, 1, 256 << 20, 128),
        (3000, 1000, 0, 8659),
        (0, 0, 256 << 20, 65536),
    ],
)
def test_the_bound_comes_from_the_evidence(size: int, count: int, limit: int, entries: int) -> None:
    place = Site("shop/case.py", 1, "", size * count, count)
    told = incident(place, limit=limit)
    assert bound(told, bytes_per_entry(told, place)) == entries


def test_an_entry_spread_over_lines_and_libraries_is_counted_whole() -> None:
    lines = [
        Site("/usr/lib/python3.11/json/encoder.py", 1, "", 2_000_000, 1000),
        Site("shop/case.py", 1, "", 900_000, 1000),
        Site("shop/case.py", 2, "", 100_000, 10),
    ]
    assert bytes_per_entry(incident(*lines), lines[1]) == 3100


def test_the_quotes_of_the_catalogue_are_a_cache() -> None:
    folder = Path(__file__).parents[2] / "nodes/catalog/catalog"
    texts = {path.stem: path.read_text() for path in sorted(folder.glob("*.py"))}
    number = 1 + next(n for n, line in enumerate(texts["quotes"].splitlines()) if "join(write(" in line)
    found = propose(sources(**texts), incident(Site("shop/quotes.py", number)))
    proposals, refusals = split(list(found))
    assert [proposal.target for proposal in proposals] == ["shop/quotes.py:written_quotes"], refusals
