import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.evaluation.intervals import F64, Bools, intervals_of
from model.evaluation.ranges import Bias, best_range_f1, range_quality
from model.evaluation.ranking import Quality
from tests.model.evaluation.samples import flags, sample, scored, stretched

Scored = tuple[F64, Bools]

#        0123456789012
REAL = "####....##..."
SEEN = ".#.###......#"  # runs 1-2, 3-6, 12-13; the first two share the first range


def quality(alarms: str, labels: str, **how: object) -> Quality:
    return range_quality(flags(alarms), flags(labels), **how)  # type: ignore[arg-type]


def test_a_range_is_recalled_as_far_as_it_is_covered() -> None:
    # The first range: 2 of 4 rows, by two runs, so half of a half; the second: none.
    assert quality(SEEN, REAL).recall == pytest.approx(0.25 / 2)


def test_a_run_is_precise_as_far_as_it_is_real() -> None:
    # Runs of alarms: all of 1 row, 1 of 3 rows, none of 1.
    assert quality(SEEN, REAL).precision == pytest.approx((1.0 + 1.0 / 3.0) / 3)


def test_existence_is_rewarded_by_alpha() -> None:
    recall = quality(SEEN, REAL, alpha=0.4).recall
    assert recall == pytest.approx(0.4 * 0.5 + 0.6 * 0.125)


def test_fragments_need_not_be_punished() -> None:
    assert quality(SEEN, REAL, cardinality="one").recall == pytest.approx(0.5 / 2)


def test_an_alarm_over_two_ranges_is_punished_for_both() -> None:
    # Six rows, four of them real, in two ranges.
    assert quality("######", "##..##").precision == pytest.approx(4.0 / 6.0 / 2.0)


@pytest.mark.parametrize(
    ("bias", "recall"),
    [
        ("flat", 2 / 4),
        ("front", (4 + 3) / 10),
        ("middle", (1 + 2) / 6),
        ("back", (1 + 2) / 10),
    ],
)
def test_a_bias_says_which_rows_of_a_range_matter(bias: Bias, recall: float) -> None:
    found = quality("##......", "####....", bias=bias)
    assert found.recall == pytest.approx(recall)
    assert found.precision == 1.0


def test_f1_is_the_harmonic_mean() -> None:
    assert Quality(0.5, 0.25).f1 == pytest.approx(1.0 / 3.0)
    assert Quality(0.0, 0.0).f1 == 0.0


def test_silence_is_neither_precise_nor_complete() -> None:
    assert quality("....", "##..") == Quality(0.0, 0.0)


def test_without_anomalies_nothing_is_defined() -> None:
    assert math.isnan(quality("#...", "....").f1)


@given(scored())
def test_alarms_on_the_anomalies_alone_are_perfect(drawn: Scored) -> None:
    _, labels = drawn
    assert range_quality(labels, labels, alpha=0.5, bias="front") == Quality(1.0, 1.0)


@given(scored(), st.floats(0.0, 1.0))
def test_quality_agrees_with_the_definition_spelled_out(drawn: Scored, alpha: float) -> None:
    scores, labels = drawn
    alarms = scores >= np.median(scores)
    found = range_quality(alarms, labels, alpha=alpha)
    real = [set(range(*pair)) for pair in intervals_of(labels).tolist()]
    raised = [set(range(*pair)) for pair in intervals_of(alarms).tolist()]
    recalls = [alpha * any(r & p for p in raised) + (1 - alpha) * covered(r, raised) for r in real]
    assert found.recall == pytest.approx(np.mean(recalls))
    assert found.precision == pytest.approx(np.mean([covered(p, real) for p in raised]))


def covered(one: set[int], others: list[set[int]]) -> float:
    shared = [len(one & other) for other in others if one & other]
    return sum(shared) / len(one) / max(1, len(shared))


@given(scored())
def test_the_best_threshold_has_the_best_f1_of_all(drawn: Scored) -> None:
    scores, labels = drawn
    best = best_range_f1(scores, labels, alpha=0.2)
    tried = [range_quality(scores >= t, labels, alpha=0.2).f1 for t in np.unique(scores)]
    assert best.quality.f1 == max(tried)
    assert range_quality(scores >= best.threshold, labels, alpha=0.2) == best.quality


@given(scored())
def test_the_best_f1_depends_on_the_order_of_scores_alone(drawn: Scored) -> None:
    scores, labels = drawn
    moved = best_range_f1(stretched(scores), labels)
    assert moved.quality == best_range_f1(scores, labels).quality


def test_of_many_scores_some_are_tried() -> None:
    scores, labels = sample(1, 400, (12, 5, 20), 0.5)
    few, all_of_them = (best_range_f1(scores, labels, thresholds=n).quality.f1 for n in (20, 400))
    assert 0.0 < few <= all_of_them
