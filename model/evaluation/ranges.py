"""Precision and recall of ranges (Tatbul et al. 2018): an anomaly is an interval, not rows.

A real range is recalled by `alpha` for holding any alarm, and by the rest for how much of it
alarms: its alarmed rows, weighted by `bias`, times the cardinality factor, which is less if several
runs of alarms share it. Recall is the mean over real ranges. A run of alarms is precise by how much
of it lies in real ranges, all rows alike, times its own factor; precision is the mean over runs.
"""

import math
from typing import Literal

import numpy as np

from model.evaluation.intervals import F64, I64, Bools, intervals_of, sums_within
from model.evaluation.ranking import BestF1, Quality

Bias = Literal["flat", "front", "middle", "back"]
Cardinality = Literal["one", "reciprocal"]

THRESHOLDS = 250


def range_quality(
    alarms: Bools,
    labels: Bools,
    *,
    alpha: float = 0.0,
    bias: Bias = "flat",
    cardinality: Cardinality = "reciprocal",
) -> Quality:
    """Alarms (T,) against labels (T,). Without any alarm precision is 0; NaN without an anomaly.

    `alpha`, in [0, 1], and `bias` shape recall only.
    """
    real, raised = intervals_of(labels), intervals_of(alarms)
    if len(real) == 0:
        return Quality(math.nan, math.nan)
    if len(raised) == 0:
        return Quality(0.0, 0.0)
    recalled = _covered(real, alarms, bias, cardinality)
    exists = sums_within(real, alarms.astype(np.float64)) > 0.0
    recall = alpha * exists.mean() + (1.0 - alpha) * recalled.mean()
    precision = _covered(raised, labels, "flat", cardinality).mean()
    return Quality(float(precision), float(recall))


def best_range_f1(
    scores: F64,
    labels: Bools,
    *,
    thresholds: int = THRESHOLDS,
    alpha: float = 0.0,
    bias: Bias = "flat",
    cardinality: Cardinality = "reciprocal",
) -> BestF1:
    """The threshold, chosen with the labels, at which the ranges' F1 is highest.

    Tried are the distinct scores; if there are more than `thresholds`, as many of them, evenly
    spread by rank. Of equals the highest wins.
    """
    tried = _thresholds(scores, thresholds)
    qualities = [
        range_quality(scores >= t, labels, alpha=alpha, bias=bias, cardinality=cardinality)
        for t in tried
    ]
    best = int(np.argmax([quality.f1 for quality in qualities]))
    return BestF1(float(tried[best]), qualities[best])


def _thresholds(scores: F64, most: int) -> F64:
    distinct = np.unique(scores)[::-1]
    if len(distinct) <= most:
        return distinct
    return distinct[np.linspace(0, len(distinct) - 1, most).astype(np.int64)]


def _covered(ranges: I64, flags: Bools, bias: Bias, cardinality: Cardinality) -> F64:
    """(K,): how much of each range the True rows cover, times the cardinality factor."""
    weights = _weights(ranges, len(flags), bias)
    share = sums_within(ranges, weights * flags) / sums_within(ranges, weights)
    if cardinality == "one":
        return share
    return share / np.maximum(_overlaps(ranges, flags), 1.0)


def _overlaps(ranges: I64, flags: Bools) -> F64:
    """(K,): how many runs of True share rows with each range."""
    starts = flags.copy()
    starts[1:] &= ~flags[:-1]
    first = ranges[:, 0]
    run_enters = flags[first] & ~starts[first]  # it began before the range
    return sums_within(ranges, starts.astype(np.float64)) + run_enters


def _weights(ranges: I64, rows: int, bias: Bias) -> F64:
    """(rows,): how much each row of a range counts for it; 1 outside every range."""
    weights = np.ones(rows)
    if bias == "flat":
        return weights
    for start, stop in ranges:
        rising = np.arange(1.0, stop - start + 1.0)
        shapes = {
            "front": rising[::-1],
            "middle": np.minimum(rising, rising[::-1]),
            "back": rising,
        }
        weights[start:stop] = shapes[bias]
    return weights
