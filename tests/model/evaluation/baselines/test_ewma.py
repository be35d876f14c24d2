import numpy as np
import pytest

from model.evaluation.baselines.ewma import averaged, ewma


def test_the_average_of_independent_values_has_deviation_one() -> None:
    values = np.random.default_rng(0).normal(size=(50_000, 1))
    assert averaged(values)[100:].std() == pytest.approx(1.0, abs=0.03)


def test_a_small_shift_that_stays_adds_up() -> None:
    values = np.random.default_rng(0).normal(size=(600, 1))
    values[500:] += 1.5
    scores = ewma(values, np.zeros(1, np.int8), 0)
    assert scores[510:520].mean() > 2.0 * scores[400:500].mean()
