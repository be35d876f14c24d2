"""How well scores rank anomalous rows above normal ones; each row counts alike.

Rows of one score are never told apart: at a threshold they alarm together.
"""

import math
from dataclasses import dataclass

import numpy as np

from model.evaluation.intervals import F64, I64, Bools


@dataclass(frozen=True, slots=True)
class Quality:
    """The share of alarms that are right, and the share of anomalies that alarm."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """Their harmonic mean; 0 if both are."""
        total = self.precision + self.recall
        return 2.0 * self.precision * self.recall / total if total != 0.0 else 0.0


@dataclass(frozen=True, slots=True)
class BestF1:
    """The threshold, chosen with the labels, at which F1 is highest, and the quality there."""

    threshold: float
    quality: Quality


@dataclass(frozen=True, slots=True)
class ErrorRates:
    """The share of normal rows that alarm, and the share of anomalous rows that do not."""

    false_alarms: float
    missed_alarms: float


@dataclass(frozen=True, slots=True)
class Steps:
    """Each distinct score as a threshold, highest first: thresholds, alarms, hits (J,).

    alarms: how many rows reach the threshold. hits: how many of them are anomalous.
    """

    thresholds: F64
    alarms: I64
    hits: I64


def steps_of(scores: F64, labels: Bools) -> Steps:
    """What alarms as the threshold sinks through scores (T,), against labels (T,)."""
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    last = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))
    return Steps(falling[last], last + 1, np.cumsum(labels[order], dtype=np.int64)[last])


def average_precision(scores: F64, labels: Bools) -> float:
    """Precision averaged over recall, without interpolation. NaN without an anomalous row."""
    if not labels.any():
        return math.nan
    steps = steps_of(scores, labels)
    gained = np.diff(steps.hits, prepend=0)
    return float(np.dot(gained, steps.hits / steps.alarms)) / int(labels.sum())


def area_under_roc(scores: F64, labels: Bools) -> float:
    """How often an anomalous row outranks a normal one; a tie counts half.

    NaN unless both kinds of row occur.
    """
    anomalous = int(labels.sum())
    normal = len(labels) - anomalous
    if anomalous == 0 or normal == 0:
        return math.nan
    steps = steps_of(scores, labels)
    false = np.diff(steps.alarms - steps.hits, prepend=0)
    hits_before = steps.hits - np.diff(steps.hits, prepend=0)
    outranked = np.dot(false, 0.5 * (hits_before + steps.hits))
    return float(outranked) / (anomalous * normal)


def best_f1(scores: F64, labels: Bools) -> BestF1:
    """The highest F1 of any threshold; of equals, the highest. NaN without an anomalous row."""
    anomalous = int(labels.sum())
    if anomalous == 0:
        return BestF1(math.nan, Quality(math.nan, math.nan))
    steps = steps_of(scores, labels)
    best = int(np.argmax(2.0 * steps.hits / (steps.alarms + anomalous)))
    hits = float(steps.hits[best])
    return BestF1(
        float(steps.thresholds[best]), Quality(hits / steps.alarms[best], hits / anomalous)
    )


def precision_at_top(scores: F64, labels: Bools, share: float) -> float:
    """The share of anomalous rows among the `share` of rows with the highest scores.

    At least one row. Of rows that tie for the last places, the mean over all choices counts.
    """
    rows = max(1, round(share * len(scores)))
    steps = steps_of(scores, labels)
    last = int(np.searchsorted(steps.alarms, rows))  # the step at which enough rows alarm
    alarms_before = int(steps.alarms[last - 1]) if last else 0
    hits_before = int(steps.hits[last - 1]) if last else 0
    tied, tied_hits = steps.alarms[last] - alarms_before, steps.hits[last] - hits_before
    return float(hits_before + (rows - alarms_before) * tied_hits / tied) / rows


def error_rates(alarms: Bools, labels: Bools) -> ErrorRates:
    """False and missed alarms (T,) by row; each NaN where no row could be one."""
    return ErrorRates(
        false_alarms=_share(alarms[~labels]),
        missed_alarms=_share(~alarms[labels]),
    )


def error_rates_at(scores: F64, labels: Bools, threshold: float) -> ErrorRates:
    """Error rates of the rows whose score reaches a threshold."""
    return error_rates(scores >= threshold, labels)


def _share(flags: Bools) -> float:
    return float(flags.mean()) if len(flags) else math.nan
