import numpy as np
import pytest

from model.evaluation.baselines.moving_z_score import WINDOW_EVENTS, moments, moving_z_score

BOTH = np.zeros(1, np.int8)


def test_the_score_is_the_distance_from_the_last_hundred_in_deviations() -> None:
    values = np.random.default_rng(0).normal(5.0, 2.0, size=(300, 1))
    before = values[250 - WINDOW_EVENTS : 250, 0]
    expected = abs(values[250, 0] - before.mean()) / before.std()
    assert moving_z_score(values, BOTH, 0)[250] == pytest.approx(expected)


def test_what_lies_further_back_is_forgotten() -> None:
    values = np.random.default_rng(0).normal(size=(300, 1))
    other = values.copy()
    other[:100] += 50.0
    scores = [moving_z_score(one, BOTH, 0)[220:] for one in (values, other)]
    np.testing.assert_array_equal(scores[0], scores[1])


def test_moments_leave_out_what_is_missing() -> None:
    count, mean, variance = moments(np.array([1.0, np.nan, 3.0]))
    assert (count, mean, variance) == (2, 2.0, 1.0)
