"""The product's own detectors are the product."""

import dataclasses

import numpy as np
import pytest

from model.artifact import Artifact
from model.errors import EvaluationError
from model.evaluation.wakeful import WakefulDetector, score_events
from model.series import Series
from tests.model.evaluation.folders import events, waves


def test_where_there_is_too_little_to_train_on_the_base_artifact_serves(base: Artifact) -> None:
    given = events(waves(0, 250))
    short = [Series("short", np.arange(20.0), waves(1, 20))]
    (found,) = WakefulDetector("wakeful").score([given], short)
    np.testing.assert_array_equal(found.score, score_events(base, given).score)


def test_an_event_that_is_refused_stands_as_the_one_before(base: Artifact) -> None:
    values = np.repeat(waves(0, 200), 2, axis=0)
    given = events(values)
    twice = dataclasses.replace(given, times=np.repeat(given.times[:200], 2))
    found = score_events(base, twice)
    np.testing.assert_array_equal(found.score[::2], found.score[1::2])
    np.testing.assert_array_equal(found.level[::2], found.level[1::2])
    assert not found.alarm[1::2].any()


def test_an_artifact_reads_the_features_that_it_was_trained_on(joint: Artifact) -> None:
    values = waves(0, 60, 4)
    wide = dataclasses.replace(
        events(values[:, :2]),
        values=values,
        features=("c", "other", "b", "a"),
        directions=np.zeros(4, np.int8),
    )
    narrow = dataclasses.replace(
        wide, values=values[:, [3, 2, 0]], features=("a", "b", "c"), directions=np.zeros(3, np.int8)
    )
    np.testing.assert_array_equal(
        score_events(joint, wide).score, score_events(joint, narrow).score
    )


def test_an_artifact_of_other_features_is_refused(joint: Artifact) -> None:
    with pytest.raises(EvaluationError, match="made has no a, b, c"):
        score_events(joint, events(waves(0, 30)))
