import numpy as np
import pytest

from model.evaluation.baselines.random_cut_forest import random_cut_forest
from tests.model.evaluation.folders import waves


def test_trees_are_drawn_from_the_seed() -> None:
    values = waves(0, 300)
    one, same, other = (random_cut_forest(values, np.zeros(2, np.int8), s) for s in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("features", [1, 5, 40])
def test_a_spike_stands_out_whatever_the_number_of_features(features: int) -> None:
    values = waves(0, 500, features)
    values[450] += 4.0
    scores = random_cut_forest(values, np.zeros(features, np.int8), 0)
    assert scores[450] > scores[300:450].max()
