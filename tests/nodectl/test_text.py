"""Is what a person reads short, exact and harmless?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodectl.text import ago, amount, clean, duration, one_line, ratio, share, size


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (32_925_286, "31.4 MiB"),
        (-5 * 2**20, "-5.0 MiB"),
        (1024 * 1024 - 1, "1.0 MiB"),
        (3 * 2**40, "3.0 TiB"),
        (5000 * 2**40, "5000.0 TiB"),
    ],
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (-3, "0s"),
        (0.4, "0.4s"),
        (9.94, "9.9s"),
        (9.96, "10s"),
        (59.7, "1m"),
        (65, "1m 5s"),
        (3600, "1h"),
        (7620, "2h 7m"),
        (356_400, "4d 3h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_small_words() -> None:
    assert (share(0.1), share(1.0), share(0.0725), ratio(3, 0), ratio(1, 8)) == (
        "10 %",
        "100 %",
        "7.25 %",
        "-",
        "12.50 %",
    )
    assert (amount(1, "file"), amount(1200, "file")) == ("1 file", "1,200 files")
    assert (ago(0.0), ago(100.0, now=165.0)) == ("-", "1m 5s ago")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[?1049h\x1b[2J\x1b[Hgone", "gone"),
        ("\x1b]0;title\x07a", "a"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq#0\x1b\\b", "b"),
        ("\x1b]0;never ended\nthe next line", "\nthe next line"),
        ("\x1b(0c\x1bMd\x1b", "cd"),
        ("\x9b2Je\x85f\x7f", "ef"),
        ("over\rwritten\b\b\x00", "overwritten"),
        ("kept\tas\nit is", "kept\tas\nit is"),
        ("abc\u202edef\u2066ghi", "abcdefghi"),
        ("naïve 日本", "naïve 日本"),
    ],
)
def test_control_characters_are_taken_out(text: str, left: str) -> None:
    assert clean(text) == left


@given(st.text(alphabet=st.sampled_from("\x1b[]P\\;0m\x07\x9b\x9c\n\tab\r\x00\u202e"), max_size=40))
def test_nothing_a_terminal_obeys_is_left(text: str) -> None:
    assert not {one for one in clean(text) if (ord(one) < 32 and one not in "\n\t") or 127 <= ord(one) < 160}
    assert "\n" not in one_line(text)
