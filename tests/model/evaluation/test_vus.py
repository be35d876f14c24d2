import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.evaluation.intervals import F64, Bools
from model.evaluation.labelled import read_series
from model.evaluation.ranking import average_precision
from model.evaluation.vus import sliding_window, volumes, vus_pr
from tests.model.evaluation.samples import flags, sample, scored, stretched

Scored = tuple[F64, Bools]

# What TSB-AD 1.5 gives for the same scores and labels: window, VUS-PR, VUS-ROC.
KNOWN = [
    ((1, 400, (12, 5, 20), 0.5, None), 30, 0.6368484419193842, 0.900351075718708),
    ((2, 400, (12, 5, 20), 0.0, None), 30, 0.1663336073750747, 0.6540255259116677),
    ((3, 900, (1, 1, 1, 40), 0.3, 1), 61, 0.44215323292286984, 0.9144754220729185),
    ((4, 120, (10, 10, 10), 0.2, None), 100, 0.5575035880898789, 0.7999493170994663),
    ((5, 300, (50,), 0.8, None), 0, 0.90426541985685, 0.97052),
]
TURN = 2.0 * np.pi


@pytest.mark.parametrize(("drawn", "window", "precision_recall", "roc"), KNOWN)
def test_volumes_are_those_that_the_benchmark_reports(
    drawn: tuple[int, int, tuple[int, ...], float, int | None],
    window: int,
    precision_recall: float,
    roc: float,
) -> None:
    found = volumes(*sample(*drawn), window)
    assert found.precision_recall == pytest.approx(precision_recall, abs=1e-12)
    assert found.roc == pytest.approx(roc, abs=1e-12)


@settings(deadline=None)
@given(scored(), st.integers(0, 30))
def test_volumes_are_shares(drawn: Scored, window: int) -> None:
    found = volumes(*drawn, window)
    assert 0.0 <= found.precision_recall <= 1.0 + 1e-12


@settings(deadline=None)
@given(scored(), st.integers(0, 30))
def test_only_the_order_of_scores_matters(drawn: Scored, window: int) -> None:
    scores, labels = drawn
    assert volumes(stretched(scores), labels, window) == volumes(scores, labels, window)


@settings(deadline=None)
@given(scored(), st.integers(0, 30))
def test_labels_as_scores_are_perfect(drawn: Scored, window: int) -> None:
    _, labels = drawn
    assert vus_pr(labels.astype(np.float64), labels, window) == pytest.approx(1.0)


@settings(deadline=None)
@given(scored(), st.integers(0, 30))
def test_time_may_run_backwards(drawn: Scored, window: int) -> None:
    scores, labels = drawn
    backwards = volumes(scores[::-1].copy(), labels[::-1].copy(), window)
    forwards = volumes(scores, labels, window)
    assert backwards.precision_recall == pytest.approx(forwards.precision_recall)
    assert backwards.roc == pytest.approx(forwards.roc)


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=2, max_size=30))
def test_with_one_interval_and_no_window_it_is_average_precision(given_labels: list[bool]) -> None:
    """As long as every score is a threshold: few rows, no ties."""
    labels = np.sort(np.array([True, *given_labels, False]))
    scores = np.random.default_rng(len(labels)).permutation(len(labels)).astype(np.float64)
    assert vus_pr(scores, labels, 0) == pytest.approx(average_precision(scores, labels))


def test_a_near_miss_counts_more_than_a_wide_one() -> None:
    labels = flags("." * 40 + "#" * 10 + "." * 50)
    near, wide = np.zeros(100), np.zeros(100)
    near[[38, 45]], wide[[5, 45]] = 1.0, 1.0
    assert vus_pr(near, labels, 20) > vus_pr(wide, labels, 20)


@pytest.mark.parametrize("labels", ["....", "####"])
def test_one_kind_of_row_leaves_nothing_to_measure(labels: str) -> None:
    assert math.isnan(vus_pr(np.arange(4.0), flags(labels), 5))


def wave(rows: int, period: float) -> F64:
    return np.sin(TURN * np.arange(rows) / period)


@pytest.mark.parametrize(
    ("values", "window"),
    [
        (wave(2000, 24), 24),
        (wave(2000, 150) + np.random.default_rng(0).normal(size=2000) * 0.2, 150),
        (np.random.default_rng(1).normal(size=2000), 132),
        (wave(60, 24), 24),
        (np.ones(500), 125),
        (np.arange(2000.0), 125),
        (np.random.default_rng(2).normal(size=6), 125),
    ],
    ids=["wave", "noisy wave", "noise", "short wave", "constant", "ramp", "six rows"],
)
def test_the_window_is_where_a_series_repeats_itself(values: F64, window: int) -> None:
    assert sliding_window(values) == window


@pytest.mark.parametrize(
    ("name", "window"), [("smd/machine-1-7", 64), ("smd/machine-2-3", 19), ("msl/D-14", 181)]
)
def test_windows_of_real_series_are_the_benchmark_s(
    labelled_data: Path, name: str, window: int
) -> None:
    series = read_series(labelled_data / f"{name}.csv.gz")
    assert sliding_window(series.values[~series.training, 0]) == window


def test_a_real_series_has_the_volume_that_the_benchmark_gives(labelled_data: Path) -> None:
    """The score is the step from the row before, summed over features."""
    series = read_series(labelled_data / "asd" / "omi-1.csv.gz")
    values, labels = series.values[~series.training], series.labels[~series.training]
    steps = np.abs(np.diff(values, axis=0, prepend=values[:1])).sum(axis=1)
    found = volumes(steps, labels, sliding_window(values[:, 0]))
    assert found.precision_recall == pytest.approx(0.13356783728406288, abs=1e-9)
    assert found.roc == pytest.approx(0.3791097045144275, abs=1e-9)
