import math

import numpy as np
import pytest

from model.evaluation.intervals import Bools
from model.evaluation.peak import peak_accuracy, peak_found

ROWS, START, STOP = 1000, 600, 620


def anomaly() -> Bools:
    return (np.arange(ROWS) >= START) & (np.arange(ROWS) < STOP)


def behind_training() -> Bools:
    return np.arange(ROWS) >= 300


@pytest.mark.parametrize(
    ("peak", "found"),
    [
        (START, True),
        (START - 100, True),
        (START - 101, False),
        (STOP - 1 + 100, True),
        (STOP + 100, False),
        (ROWS - 1, False),
    ],
)
def test_the_peak_may_miss_by_a_hundred_rows(peak: int, found: bool) -> None:
    scores = np.zeros(ROWS)
    scores[peak] = 1.0
    assert peak_found(scores, anomaly(), behind_training()) is found


def test_the_margin_is_a_choice() -> None:
    scores = np.zeros(ROWS)
    scores[START - 1] = 1.0
    assert peak_found(scores, anomaly(), behind_training(), margin_rows=1)
    assert not peak_found(scores, anomaly(), behind_training(), margin_rows=0)


def test_scores_of_rows_before_the_test_count_for_nothing() -> None:
    scores = np.zeros(ROWS)
    scores[10], scores[610] = 9.0, 1.0
    assert peak_found(scores, anomaly(), behind_training())


def test_a_constant_score_finds_nothing() -> None:
    assert not peak_found(np.ones(ROWS), anomaly(), behind_training())


def test_accuracy_is_the_share_of_series() -> None:
    assert peak_accuracy([True, False, False, True]) == 0.5
    assert math.isnan(peak_accuracy([]))
