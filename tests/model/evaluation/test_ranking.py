import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.evaluation.intervals import F64, Bools
from model.evaluation.ranking import (
    Quality,
    area_under_roc,
    average_precision,
    best_f1,
    error_rates,
    error_rates_at,
    precision_at_top,
)
from tests.model.evaluation.samples import flags, sample, scored, stretched

Scored = tuple[F64, Bools]

# Of scikit-learn 1.9: average precision, area under ROC, the best F1 of its curve, its threshold.
KNOWN = [
    ((1, 400, (12, 5, 20), 0.5, None),
     (0.5804797216994836, 0.855855855855856, 0.5769230769230769, 1.0604964436423991)),
    ((2, 400, (12, 5, 20), 0.0, None),
     (0.07903182669817668, 0.41165959347777537, 0.17249417249417248, 0.0199107488374215)),
    ((3, 900, (1, 1, 1, 40), 0.3, 1),
     (0.33119536580319864, 0.8076442973053649, 0.346938775510204, 1.0)),
    ((6, 200, (30, 3), 0.1, 0),
     (0.14975077881619936, 0.49901960784313726, 0.2608695652173913, 0.0)),
]  # fmt: skip


@pytest.mark.parametrize(("drawn", "known"), KNOWN)
def test_measures_agree_with_known_values(
    drawn: tuple[int, int, tuple[int, ...], float, int | None],
    known: tuple[float, float, float, float],
) -> None:
    scores, labels = sample(*drawn)
    best = best_f1(scores, labels)
    found = (
        average_precision(scores, labels), area_under_roc(scores, labels), best.quality.f1,
        best.threshold,
    )  # fmt: skip
    assert found == pytest.approx(known, abs=1e-12)


def qualities(scores: F64, labels: Bools) -> list[tuple[float, Quality]]:
    """Each distinct score as a threshold, highest first, counted row by row."""
    found = []
    for threshold in sorted(set(scores.tolist()), reverse=True):
        alarms = scores >= threshold
        hits = float(np.sum(alarms & labels))
        found.append((threshold, Quality(hits / alarms.sum(), hits / labels.sum())))
    return found


@given(scored())
def test_average_precision_is_precision_where_recall_is_gained(drawn: Scored) -> None:
    total, recalled = 0.0, 0.0
    for _, quality in qualities(*drawn):
        total += (quality.recall - recalled) * quality.precision
        recalled = quality.recall
    assert average_precision(*drawn) == pytest.approx(total)


@given(scored())
def test_area_under_roc_is_the_share_of_pairs_in_order(drawn: Scored) -> None:
    scores, labels = drawn
    pairs = scores[labels][:, None] - scores[~labels][None, :]
    assert area_under_roc(scores, labels) == pytest.approx(np.mean((np.sign(pairs) + 1.0) / 2.0))


@given(scored())
def test_no_threshold_has_a_higher_f1_than_the_best(drawn: Scored) -> None:
    best = best_f1(*drawn)
    found = qualities(*drawn)
    assert best.quality.f1 == pytest.approx(max(quality.f1 for _, quality in found))
    assert dict(found)[best.threshold] == best.quality


@given(scored(), st.floats(0.01, 1.0))
def test_precision_at_the_top_is_the_mean_over_orders_of_equal_scores(
    drawn: Scored, share: float
) -> None:
    scores, labels = drawn
    rows = max(1, round(share * len(scores)))
    border = np.sort(scores)[::-1][rows - 1]
    above, level = scores > border, scores == border
    left = rows - above.sum()
    expected = (labels[above].sum() + left * labels[level].mean()) / rows
    assert precision_at_top(scores, labels, share) == pytest.approx(expected)


@given(scored())
def test_only_the_order_of_scores_matters(drawn: Scored) -> None:
    scores, labels = drawn
    moved = stretched(scores)
    assert average_precision(moved, labels) == average_precision(scores, labels)
    assert area_under_roc(moved, labels) == area_under_roc(scores, labels)
    assert best_f1(moved, labels).quality == best_f1(scores, labels).quality
    assert precision_at_top(moved, labels, 0.3) == precision_at_top(scores, labels, 0.3)


@given(scored())
def test_labels_as_scores_are_perfect(drawn: Scored) -> None:
    _, labels = drawn
    scores = labels.astype(np.float64)
    assert average_precision(scores, labels) == 1.0
    assert area_under_roc(scores, labels) == 1.0
    assert best_f1(scores, labels).quality == Quality(1.0, 1.0)
    assert best_f1(scores, labels).threshold == 1.0
    assert precision_at_top(scores, labels, labels.mean()) == 1.0


@given(scored())
def test_the_area_of_reversed_scores_is_the_rest(drawn: Scored) -> None:
    scores, labels = drawn
    area = area_under_roc(scores, labels)
    assert area_under_roc(-scores, labels) == pytest.approx(1.0 - area)


def test_a_constant_score_knows_nothing() -> None:
    scores, labels = np.zeros(8), flags("##......")
    assert average_precision(scores, labels) == 0.25
    assert area_under_roc(scores, labels) == 0.5
    assert precision_at_top(scores, labels, 0.5) == 0.25


def test_without_anomalies_there_is_nothing_to_rank() -> None:
    scores, labels = np.arange(4.0), flags("....")
    assert math.isnan(average_precision(scores, labels))
    assert math.isnan(area_under_roc(scores, labels))
    assert math.isnan(best_f1(scores, labels).quality.f1)


def test_without_normal_rows_there_is_no_area() -> None:
    assert math.isnan(area_under_roc(np.arange(4.0), flags("####")))


def test_error_rates_are_shares_of_the_rows_that_could_err() -> None:
    rates = error_rates(flags("#.#..###"), flags("##....##"))
    assert rates.false_alarms == 0.5
    assert rates.missed_alarms == 0.25


def test_flagging_everything_misses_nothing_and_cries_always() -> None:
    labels = flags("##...")
    rates = error_rates(np.ones(5, np.bool_), labels)
    assert (rates.false_alarms, rates.missed_alarms) == (1.0, 0.0)


def test_a_score_at_the_threshold_alarms() -> None:
    rates = error_rates_at(np.array([1.0, 2.0, 3.0]), flags("..#"), 2.0)
    assert (rates.false_alarms, rates.missed_alarms) == (0.5, 0.0)


def test_rates_without_rows_are_undefined() -> None:
    assert math.isnan(error_rates(flags("#."), flags("##")).false_alarms)
    assert math.isnan(error_rates(flags("#."), flags("..")).missed_alarms)
