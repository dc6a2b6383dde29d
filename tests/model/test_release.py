"""The version a machine-written change gets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noded.model.release import HEALED, next_healed


@pytest.mark.parametrize(
    ("version", "following"),
    [
        ("1.4.0", "1.4.0+heal.1"),
        ("1.4.0+heal.1", "1.4.0+heal.2"),
        ("1.4.0+heal.9", "1.4.0+heal.10"),
        ("1.4.0+heal.x", "1.4.0+heal.1"),
        ("2024-01", "2024-01+heal.1"),
    ],
)
def test_it_counts_from_the_author_s_version(version: str, following: str) -> None:
    assert next_healed(version) == following


@given(st.from_regex(r"[0-9a-z.]{1,20}", fullmatch=True), st.integers(1, 20))
def test_it_never_comes_back_to_one_before(version: str, times: int) -> None:
    seen = [version]
    for _ in range(times):
        seen.append(next_healed(seen[-1]))
    assert len(set(seen)) == len(seen)
    assert all(later.startswith(version + HEALED) for later in seen[1:])
