"""What the baselines share: one stream at a time, standardised by its own past."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.compiled import compiled
from model.evaluation.alarming import own_limit, rested
from model.evaluation.detector import LEVEL_WEIGHT, Events, Outputs
from model.evaluation.intervals import F64
from model.series import Series

MEMORY_EVENTS = 3000.0
LIMIT = 10.0  # deviations: a feature that was constant may not outweigh all others
POOLED = 3  # features whose mean is the event's score

Directions = npt.NDArray[np.int8]
ScoreStream = Callable[[F64, Directions, int], F64]


@dataclass(frozen=True, slots=True)
class OnlineBaseline:
    """A Detector that scores each stream by itself and learns nothing from training rows apart.

    score_stream: values (n, F), directions (F,), a seed -> scores (n,).
    """

    name: str
    score_stream: ScoreStream
    seed: int = 0
    trained_only: bool = False
    promised_per_day: float = math.nan

    def score(self, series: Sequence[Events], training: Sequence[Series]) -> list[Outputs]:
        """The training rows of a series come first in it: they are learned from as they pass."""
        del training
        return [self._score(one) for one in series]

    def _score(self, events: Events) -> Outputs:
        self.score_stream(events.values[:2], events.directions, self.seed)  # compiles
        scores = np.zeros(len(events))
        started = time.process_time()
        for rows in events.rows_of_streams():
            scores[rows] = self.score_stream(events.values[rows], events.directions, self.seed)
        return judged(events, scores, time.process_time() - started)


def judged(events: Events, scores: F64, seconds: float) -> Outputs:
    """Level, threshold and alarms for scores (T,), stream by stream."""
    level = np.zeros(len(scores))
    anomalous, alarm = np.zeros(len(scores), np.bool_), np.zeros(len(scores), np.bool_)
    for rows in events.rows_of_streams():
        level[rows] = running_mean(scores[rows], LEVEL_WEIGHT)
        over, raised = anomalous[rows], alarm[rows]
        own_limit(scores[rows], over)
        rested(over, raised)
        anomalous[rows], alarm[rows] = over, raised
    return Outputs(scores, level, anomalous, alarm, seconds)


def running_mean(scores: F64, weight: float) -> F64:
    """(n,) -> (n,), exponentially weighted, from 0."""
    mean = np.empty_like(scores)
    _follow_mean(scores, weight, mean)
    return mean


@compiled
def _follow_mean(scores: F64, weight: float, mean: F64) -> None:
    last = 0.0
    for i in range(scores.shape[0]):
        last += weight * (scores[i] - last)
        mean[i] = last


def standardised(values: F64) -> F64:
    """(n, F) -> (n, F): deviations from the mean of the values before, in their deviations.

    Means over all that came before, and exponential ones after 3,000 events. 0 for the first value
    of a feature and for a missing one; at most 10.
    """
    result = np.zeros(values.shape)
    _standardise(values, result)
    return result


@compiled
def _standardise(values: F64, result: F64) -> None:
    for f in range(values.shape[1]):
        mean, variance, count = 0.0, 0.0, 0
        for i in range(values.shape[0]):
            x = values[i, f]
            if math.isnan(x):
                continue
            if count > 0:
                result[i, f] = in_deviations(x, mean, variance)
            count += 1
            weight = max(1.0 / count, 1.0 / MEMORY_EVENTS)
            step = x - mean
            mean += weight * step
            variance += weight * (step * (x - mean) - variance)


@compiled
def in_deviations(x: float, mean: float, variance: float) -> float:
    """How far x lies from a mean, within LIMIT deviations; a deviation is no rounding error."""
    deviation = math.sqrt(max(variance, 0.0))
    floor = 1e-6 * max(abs(mean), abs(x)) + 1e-30
    return min(max((x - mean) / max(deviation, floor), -LIMIT), LIMIT)


def one_sided(deviations: F64, directions: Directions) -> F64:
    """(n, F) -> (n, F): deviations against a declared direction become 0."""
    against = deviations * directions < 0.0
    return np.where(against, 0.0, deviations)


def pooled(deviations: F64) -> F64:
    """(n, F) -> (n,): the mean of the three largest, sign aside."""
    largest = np.sort(np.abs(deviations), axis=1)[:, ::-1][:, :POOLED]
    means: F64 = largest.mean(axis=1)
    return means
