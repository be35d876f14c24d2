"""The control chart of exponentially weighted moving averages (Roberts 1959).

Standardised values are averaged with weight 0.2; the score is that average in its own standard
deviation, were the values independent: sqrt(weight / (2 - weight)).
"""

import math

import numpy as np

from model.compiled import compiled
from model.evaluation.baselines.online import Directions, one_sided, pooled, standardised
from model.evaluation.intervals import F64

WEIGHT = 0.2


def ewma(values: F64, directions: Directions, seed: int) -> F64:
    """values (n, F) -> scores (n,), pooled over the features; nothing in it is drawn."""
    del seed
    return pooled(one_sided(averaged(standardised(values)), directions))


def averaged(deviations: F64) -> F64:
    """(n, F) -> (n, F)."""
    result = np.empty_like(deviations)
    _average(deviations, result)
    return result


@compiled
def _average(deviations: F64, result: F64) -> None:
    width = math.sqrt(WEIGHT / (2.0 - WEIGHT))
    for f in range(deviations.shape[1]):
        mean = 0.0
        for i in range(deviations.shape[0]):
            mean += WEIGHT * (deviations[i, f] - mean)
            result[i, f] = mean / width
