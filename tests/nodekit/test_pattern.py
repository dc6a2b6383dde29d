"""Do patterns match what Python's own engine matches, refuse what is not possible, and stay quick?"""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodekit.pattern import Meter, Pattern, PatternRefused, TooMuch

SIGNS = st.sampled_from(
    ["a", "b", "[ab]", "[^a]", "[a-c1]", r"\d", r"\W", "^", "$", "c", r"\.", r"\x61", "."]
)
PATTERNS = st.recursive(
    SIGNS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
        st.tuples(inner, st.sampled_from("* + ? {2} {0,2} {1,} *? {0}".split())).map(
            lambda pair: f"({pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=8,
)


def matches(source: str, text: str) -> bool:
    return Pattern(source, Meter(10**7)).matches(text)


@settings(max_examples=200)
@given(PATTERNS, st.lists(st.text("abc1.\n", max_size=7), min_size=3, max_size=3))
def test_as_python_does(source: str, texts: list[str]) -> None:
    mine = Pattern(source, Meter(10**7))
    theirs = re.compile(re.sub(r"(?<!\\)\.", r"[^\\n\\r]", source.replace("$", r"\Z")), re.ASCII)
    for text in texts:
        assert mine.matches(text) == bool(theirs.search(text)), (source, text)


@pytest.mark.parametrize(
    ("source", "good", "bad"),
    [
        ("^[a-z]+(-[a-z]+)*$", "a-slug-of-words", "a--b"),
        ("^$", "", "x"),
        (r"^\d{4}-\d{2}$", "2026-11", "2026-11\n"),
        (r"^\d+$", "12", "١٢"),
        ("é|€", "5 €", "e"),
        ("^[^/]{1,3}$", "abc", "abcd"),
        (r"^[\w.-]+@[\w-]+(\.[\w-]+)+$", "a.b@c.de", "a@b"),
        ("a{2,3}b", "xaab", "xab"),
        (r"^[\]\\-]$", "-", "a"),
        ("^[a-]$", "-", "b"),
        ("", "anything", ""),
    ],
)
def test_table(source: str, good: str, bad: str) -> None:
    assert matches(source, good)
    assert matches(source, bad) == (source == "")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("(a", "a ( without its )"),
        ("a)", "a ) without a ("),
        ("[a", "a [ without its ]"),
        ("*a", "with nothing before it to repeat"),
        ("a**", "a repetition of a repetition needs a group"),
        ("(?=a)", "looking ahead and names are not possible"),
        ("(?P<n>a)", "looking ahead and names are not possible"),
        (r"(a)\1", r"\1 is not possible here"),
        (r"\p{L}", r"\p is not possible here"),
        ("\\", "is not possible here"),
        ("a{3,2}", "expected a count that rises"),
        ("a{,2}", "expected a count such as {3}"),
        ("[z-a]", "expected a range that rises"),
        ("[a-\\d]", "expected a range that rises"),
        ("a" * 1025, "expected at most 1024 characters"),
        ("(a{999}){999}", "written out is longer than"),
        ("((){9999}){9999}", "repeats too much"),
        ("(" * 60 + ")" * 60, "more than 50 groups"),
    ],
)
def test_what_is_refused(source: str, told: str) -> None:
    with pytest.raises(PatternRefused) as refused:
        Pattern(source, Meter(10**7))
    assert told in str(refused.value)


@pytest.mark.parametrize("source", ["^(a+)+$", "^(a|a)*$", "^(a|ab|b)*c$", ".*.*.*.*x$", "(a?){30}a{30}$"])
def test_no_text_takes_long(source: str) -> None:
    began = time.process_time()
    matches(source, "a" * 20_000 + "!")
    assert time.process_time() - began < 1


def test_many_states_are_forgotten_and_charged_for() -> None:
    text = "".join("ab"[(place * place // 7) % 2] for place in range(20_000))
    meter = Meter(10**9)
    pattern = Pattern("(a|b)*a(a|b){14}c", meter)
    assert not pattern.matches(text)
    assert pattern.matches(text + "a" + "b" * 14 + "c")
    assert meter.left < 10**9
    with pytest.raises(TooMuch):
        Pattern("(a|b)*a(a|b){14}c", Meter(1000)).matches(text)
