import numpy as np

from model.evaluation.baselines.half_space_trees import WINDOW_EVENTS, half_space_trees
from tests.model.evaluation.folders import waves

BOTH = np.zeros(2, np.int8)


def test_the_first_window_passes_before_the_first_score() -> None:
    scores = half_space_trees(waves(0, 400), BOTH, 0)
    assert not scores[:WINDOW_EVENTS].any()
    assert scores[WINDOW_EVENTS:].all()


def test_trees_are_drawn_from_the_seed() -> None:
    one, same, other = (half_space_trees(waves(0, 400), BOTH, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
