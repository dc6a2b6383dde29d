"""Is every written form of a value read as what it says, and nothing else?"""

import math
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodespec.shapes import Wrong
from nodespec.tables import shape_of
from nodespec.units import Flag, Number, Port, Seconds, Size, Text, Timeout, Whole, matching, number, whole


def value(form: Any, written: Any) -> Any:
    wrong: list[Wrong] = []
    got = shape_of(form, {}).take(written, (), wrong)
    if wrong:
        raise ValueError(wrong[0].text)
    return got


@pytest.mark.parametrize(
    ("form", "written", "expected"),
    [
        (Seconds, "30s", 30.0),
        (Seconds, "500ms", 0.5),
        (Seconds, "5m", 300.0),
        (Seconds, "1h", 3600.0),
        (Seconds, "1.5s", 1.5),
        (Seconds, "0s", 0.0),
        (Seconds, 2, 2.0),
        (Seconds, 0.25, 0.25),
        (Timeout, "1ms", 0.001),
        (Size, "256M", 256 * 1024**2),
        (Size, "1G", 1024**3),
        (Size, "512K", 512 * 1024),
        (Size, "2T", 2 * 1024**4),
        (Size, 4096, 4096),
        (Size, 0, 0),
        (Port, 8081, 8081),
        (Whole, -3, -3),
        (Number, 3, 3.0),
        (Flag, False, False),
        (Text, "a" * 4096, "a" * 4096),
        (Annotated[float, number(0, 4)], 0.5, 0.5),
        (Annotated[int, whole(1, 3)], 3, 3),
        (Annotated[str, matching("a|bc", "a or bc")], "bc", "bc"),
    ],
)
def test_reads(form: Any, written: Any, expected: Any) -> None:
    got = value(form, written)
    assert got == expected
    assert type(got) is type(expected)


@pytest.mark.parametrize("form", [Seconds, Timeout])
@pytest.mark.parametrize(
    "written",
    [
        "",
        "30",
        "s",
        "30 s",
        "-1s",
        "1d",
        "1S",
        "1e3s",
        "1.s",
        "30s\n",
        "٣s",
        -1,
        True,
        None,
        [],
        math.inf,
        math.nan,
        "999999999h",
    ],
)
def test_refuses_durations(form: Any, written: Any) -> None:
    with pytest.raises(ValueError, match="a duration"):
        value(form, written)


@pytest.mark.parametrize("written", [0, 0.0, "0s", "0.000ms"])
def test_a_timeout_is_more_than_nothing(written: Any) -> None:
    with pytest.raises(ValueError, match="above zero"):
        value(Timeout, written)


@pytest.mark.parametrize(
    "written", ["lots", "256", "256MB", "1.5G", "-1M", "1 G", 1.0, -1, True, 2**70, "999999999T", 10**4000]
)
def test_refuses_sizes(written: Any) -> None:
    with pytest.raises(ValueError, match='a size such as "256M"'):
        value(Size, written)


@pytest.mark.parametrize(
    ("form", "written"),
    [
        (Port, 0),
        (Port, 65536),
        (Port, "80"),
        (Port, 80.0),
        (Port, True),
        (Text, "a" * 4097),
        (Text, "a\0b"),
        (Text, 5),
        (Whole, 1.0),
        (Number, "1"),
        (Number, 10**400),
        (Number, math.inf),
        (Flag, 1),
        (Annotated[float, number(0, 4)], 4.1),
        (Annotated[str, matching("a|bc", "a or bc")], "ac"),
        (Annotated[str, matching("a|bc", "a or bc")], "a\n"),
    ],
)
def test_refuses(form: Any, written: Any) -> None:
    with pytest.raises(ValueError):
        value(form, written)


@given(st.integers(0, 10**5), st.sampled_from([("ms", 0.001), ("s", 1.0), ("m", 60.0)]))
def test_a_duration_is_its_number_times_its_unit(count: int, unit: tuple[str, float]) -> None:
    assert value(Seconds, f"{count}{unit[0]}") == pytest.approx(count * unit[1])
