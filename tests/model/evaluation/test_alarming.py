import numpy as np

from model.evaluation.alarming import (
    REFRACTORY_EVENTS,
    SETTLED,
    alarms_at,
    best_rested_score,
    own_limit,
)
from model.evaluation.intervals import F64, I64, Bools
from model.evaluation.nab import best_threshold, corpus_score


def limited(scores: F64) -> Bools:
    anomalous = np.zeros(len(scores), np.bool_)
    own_limit(scores, anomalous)
    return anomalous


def test_the_limit_is_three_deviations_above_the_mean_of_what_came_before() -> None:
    scores = np.random.default_rng(0).normal(size=400)
    expected = [
        i >= SETTLED and scores[i] > scores[:i].mean() + 3.0 * scores[:i].std() for i in range(400)
    ]
    assert limited(scores).tolist() == expected


def test_equal_scores_are_never_anomalous() -> None:
    assert not limited(np.full(300, 0.7)).any()


def test_after_an_alarm_there_is_rest() -> None:
    scores = np.zeros(350)
    scores[[10, 11, 60, 10 + REFRACTORY_EVENTS, 300]] = 1.0
    assert np.flatnonzero(alarms_at(scores, 1.0)).tolist() == [10, 110, 300]


def test_with_rest_a_long_burst_costs_one_alarm() -> None:
    scores = np.zeros(2000)
    scores[[500, 1000]] = 2.0, 3.0
    scores[600:640] = 2.5
    windows: list[I64] = [np.array([[990, 1100]])]
    rested = best_rested_score([scores], windows)
    assert rested == corpus_score([scores >= 3.0], windows)
    scores[1000] = 2.2
    assert best_rested_score([scores], windows) > best_threshold([scores], windows).score
