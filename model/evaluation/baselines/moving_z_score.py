"""The moving z-score: how far a value lies from the mean of the last hundred, in deviations."""

import math

import numpy as np

from model.compiled import compiled
from model.evaluation.baselines.online import Directions, in_deviations, one_sided, pooled
from model.evaluation.intervals import F64

WINDOW_EVENTS = 100
FEWEST_VALUES = 10


def moving_z_score(values: F64, directions: Directions, seed: int) -> F64:
    """values (n, F) -> scores (n,), pooled over the features; nothing in it is drawn."""
    del seed
    result = np.zeros(values.shape)
    moving_deviations(values, result)
    return pooled(one_sided(result, directions))


@compiled
def moving_deviations(values: F64, result: F64) -> None:
    """(n, F), into (n, F) zeros: against the window that ends with the value before."""
    for f in range(values.shape[1]):
        for i in range(FEWEST_VALUES, values.shape[0]):
            if math.isnan(values[i, f]):
                continue
            window = values[max(0, i - WINDOW_EVENTS) : i, f]
            count, mean, variance = moments(window)
            if count >= FEWEST_VALUES:
                result[i, f] = in_deviations(values[i, f], mean, variance)


@compiled
def moments(window: F64) -> tuple[int, float, float]:
    """How many values (n,) are not missing, their mean and their variance."""
    count, mean, squares = 0, 0.0, 0.0
    for x in window:
        if math.isnan(x):
            continue
        count += 1
        step = x - mean
        mean += step / count
        squares += step * (x - mean)
    return count, mean, squares / max(count, 1)
