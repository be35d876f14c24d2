import numpy as np

from model.evaluation.baselines.online import (
    LIMIT,
    judged,
    one_sided,
    pooled,
    running_mean,
    standardised,
)
from model.evaluation.detector import LEVEL_WEIGHT
from tests.model.evaluation.folders import events, waves


def test_values_are_standardised_by_those_before() -> None:
    values = np.random.default_rng(1).normal(50.0, 4.0, size=(300, 2))
    found = standardised(values)
    for i in (2, 10, 299):
        before = values[:i]
        expected = (values[i] - before.mean(axis=0)) / before.std(axis=0)
        np.testing.assert_allclose(found[i], np.clip(expected, -LIMIT, LIMIT), rtol=1e-9)
    assert found[0].tolist() == [0.0, 0.0]


def test_a_missing_value_is_no_deviation_and_is_not_learned() -> None:
    values = waves(0, 100, 1)
    holes = np.insert(values, [40, 70], np.nan, axis=0)
    found = standardised(holes)
    missing = np.isnan(holes[:, 0])
    assert not found[missing].any()
    np.testing.assert_array_equal(found[~missing], standardised(values))


def test_a_constant_that_moves_deviates_at_the_limit_and_by_rounding_not_at_all() -> None:
    values = np.full((50, 1), 3.0)
    assert not standardised(values).any()
    values[40] = 3.0000001
    assert abs(standardised(values)[40, 0]) < 0.1
    values[40] = 4.0
    assert standardised(values)[40, 0] == LIMIT


def test_what_goes_against_a_declared_direction_is_none() -> None:
    deviations = np.array([[-2.0, -2.0, -2.0], [3.0, 3.0, 3.0]])
    found = one_sided(deviations, np.array([-1, 0, 1], np.int8))
    assert found.tolist() == [[-2.0, -2.0, 0.0], [0.0, 3.0, 3.0]]


def test_the_three_largest_features_are_averaged() -> None:
    assert pooled(np.array([[1.0, -9.0, 2.0, 0.0, 4.0], [0.0] * 5])).tolist() == [5.0, 0.0]
    assert pooled(np.array([[-7.0]])).tolist() == [7.0]


def test_streams_are_judged_each_by_its_own_past() -> None:
    random = np.random.default_rng(2)
    scores = random.random(400)
    scores[1::2] *= 100.0
    scores[300], scores[301] = 5.0, 500.0
    found = judged(events(np.zeros((400, 1)), streams=2), scores, 0.0)
    assert np.flatnonzero(found.alarm).tolist() == [300, 301]
    np.testing.assert_array_equal(found.level[::2], running_mean(scores[::2], LEVEL_WEIGHT))
