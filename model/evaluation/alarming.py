"""Plain rules from scores to alarms: for detectors that have none of their own, and for sweeps."""

import math

import numpy as np

from model.compiled import compiled
from model.evaluation.intervals import F64, I64, Bools
from model.evaluation.nab import PROFILES, Profile, corpus_score

SIGMAS = 3.0
SETTLED = 50  # scores before a limit means something
REFRACTORY_EVENTS = 100
THRESHOLDS = 200


@compiled
def own_limit(scores: F64, anomalous: Bools) -> None:
    """Mark scores (n,) above the mean and three deviations of all earlier ones (Welford 1962)."""
    mean, squares = 0.0, 0.0
    for i in range(scores.shape[0]):
        limit = mean + SIGMAS * math.sqrt(squares / max(i, 1))
        anomalous[i] = i >= SETTLED and scores[i] > limit
        step = scores[i] - mean
        mean += step / (i + 1)
        squares += step * (scores[i] - mean)


@compiled
def rested(anomalous: Bools, alarms: Bools) -> None:
    """Let an anomalous event (n,) alarm if no other did in the last 100 events."""
    last = -REFRACTORY_EVENTS
    for i in range(anomalous.shape[0]):
        alarms[i] = anomalous[i] and i - last >= REFRACTORY_EVENTS
        if alarms[i]:
            last = i


def alarms_at(scores: F64, threshold: float) -> Bools:
    """(n,): alarms where a score reaches the threshold, with rest between them."""
    alarms = np.zeros(len(scores), np.bool_)
    rested(scores >= threshold, alarms)
    return alarms


def best_rested_score(
    scores: list[F64], windows: list[I64], profile: Profile = PROFILES["standard"]
) -> float:
    """NAB's score at the threshold, chosen with the labels, that suits alarms with rest best.

    Tried are 200 scores, spread more densely the higher they rank.
    """
    falling = np.sort(np.concatenate(scores))[::-1]
    places = np.unique(np.geomspace(1, len(falling), THRESHOLDS).astype(np.int64)) - 1
    return max(
        corpus_score([alarms_at(one, threshold) for one in scores], windows, profile)
        for threshold in np.unique(falling[places])
    )
