"""At full share, where stable gets no requests, the canary is held against what stable did before."""

from noded.policy.verdict import ERRORS, ROLL_BACK, SOAK, WAIT, Counts, Standard
from tests.policy.test_verdict import PROMISED, evidence, judged

BEFORE = (Counts(0.1, 500, 3, 4500, 22), Counts(0.5, 600, 3, 600, 3))


def test_the_soak_is_held_against_what_stable_did_before() -> None:
    found = judged(*BEFORE, Counts(1.0, 600, 3, 0, 0))
    assert (found.kind, found.e_promote, found.requests_needed) == (WAIT, 1.0, None)
    assert "borne is 1.49 %" in found.reason
    broken = judged(*BEFORE, Counts(1.0, 600, 40, 0, 0))
    assert broken.kind == ROLL_BACK
    assert broken.reason.endswith("at 100 % of the traffic canary 40 bad of 600; borne is 1.49 %")


def test_a_canary_that_breaks_in_the_soak_is_found_after_a_few_errors() -> None:
    assert next(k for k in range(50) if judged(*BEFORE, Counts(1.0, k, k, 0, 0)).kind == ROLL_BACK) <= 3


def test_a_stable_version_that_fails_a_third_allows_as_much() -> None:
    """No fixed limit: what was borne before is borne again."""
    before = Counts(0.5, 600, 180, 600, 180)
    assert judged(before, Counts(1.0, 600, 190, 0, 0)).kind == WAIT
    assert judged(before, Counts(1.0, 600, 500, 0, 0)).kind == ROLL_BACK


def test_without_a_record_only_a_promise_binds() -> None:
    alone = Counts(1.0, 100, 60, 0, 0)
    assert judged(alone).kind == WAIT
    assert "nothing is known of stable" in judged(alone).reason
    assert judged(alone, standard=PROMISED).kind == ROLL_BACK
    assert judged(Counts(1.0, 1000, 11, 0, 0), standard=PROMISED).kind == WAIT


def test_a_promise_above_what_stable_did_is_the_limit() -> None:
    soak = Counts(1.0, 1000, 45, 0, 0)
    assert judged(*BEFORE, soak).kind == ROLL_BACK
    assert judged(*BEFORE, soak, standard=Standard(objective=0.05)).kind == WAIT


def test_status_is_held_against_its_record_too() -> None:
    fine = (*BEFORE, Counts(1.0, 600, 3, 0, 0))
    assert judged(*fine, status=(*BEFORE, Counts(1.0, 600, 40, 0, 0))).kind == ROLL_BACK
    assert judged(*fine, status=fine).kind == WAIT


def test_errors_at_full_share_leave_the_comparison_as_it_was() -> None:
    for bad in (0, 5, 500):
        found = judged(*BEFORE, Counts(1.0, 500, bad, 0, 0))
        assert evidence(found)[ERRORS] == evidence(judged(*BEFORE))[ERRORS]
    assert SOAK not in evidence(judged(*BEFORE))
