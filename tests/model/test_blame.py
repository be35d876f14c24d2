"""Which feature is to blame: the one that moved, in whatever view it is seen."""

import numpy as np
import pytest

from model.artifact import BASE, Artifact
from model.row import RowTable
from model.scorer import Scored, Scorer, directions_of
from model.suppression import BY_MUTE
from model.views import VIEWS
from tests.model.conftest import F64, START_TIME

EVENTS, MOVED = 2000, 1500


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    return Artifact(BASE)


def noise(features: int, seed: int) -> F64:
    """(EVENTS, F) of values that lean on the one before."""
    values = np.random.default_rng(seed).normal(size=(EVENTS, features))
    for t in range(1, EVENTS):
        values[t] += 0.5 * values[t - 1]
    return values


def scored(artifact: Artifact, values: F64, muted: int | None = None) -> Scored:
    """One stream with an event a minute; `muted`: a feature that nobody wants to hear of."""
    n, features = values.shape
    scorer = Scorer(artifact, directions_of(tuple("f" * features), {}), 1.0, 300.0)
    table = RowTable.copies(artifact.fresh_rows(features), artifact.layout(features), 1)
    silent = np.zeros(values.shape, np.bool_)
    if muted is not None:
        silent[:, muted] = True
    times: F64 = START_TIME + 60.0 * np.arange(n, dtype=np.float64)
    return scorer.score(
        table, np.zeros(n, np.int64), np.arange(n), 7, times, np.ones(n, np.bool_), values,
        muted=silent,
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_the_feature_that_moved_is_to_blame(artifact: Artifact, seed: int) -> None:
    """A new level: soon each next value is expected, and only lasting views tell of it."""
    values = noise(3, seed)
    values[MOVED:, seed] += 5.0
    told = scored(artifact, values)
    anomalous = np.flatnonzero(told.scores["score"][MOVED:] >= 1.0) + MOVED
    views = {artifact.config.views[v] for v in told.scores["view"][anomalous]}
    assert views & {"away", "coarse near", "coarse middle", "coarse far"}
    assert views <= set(VIEWS)
    assert set(np.argmax(told.surprise[anomalous], axis=1)) == {seed}


def test_a_mute_holds_where_the_muted_feature_is_missing(artifact: Artifact) -> None:
    """What a lasting view holds against a stream is of the feature that it was seen in."""
    values = noise(3, 1)
    values[MOVED:, 0] += 9.0
    values[MOVED::2, 0] = np.nan
    alarms = {muted: alarms_of(scored(artifact, values, muted)) for muted in (None, 0, 1)}
    assert alarms[0] == 0
    assert alarms[1] == alarms[None] > 0
    told = scored(artifact, values)
    np.testing.assert_array_equal(np.isnan(told.surprise[1:]), np.isnan(values[1:]))


def test_what_a_feature_did_before_it_was_gone_for_long_is_not_held_against_others(
    artifact: Artifact,
) -> None:
    """A muted feature takes no blame once a step of a coarser time scale has ended without it."""
    heard = 0
    for seed in range(6):
        values = noise(2, seed)
        values[1272:1296, 0] += 10.0
        values[1296:, 0] = np.nan
        values[1440:1464, 1] += 3.0
        loud, silent = (
            scored(artifact, values, muted).scores["alarm"][1440:1480] for muted in (None, 0)
        )
        assert (silent >= loud).all()
        heard += int(loud.any())
    assert heard >= 3


def alarms_of(told: Scored) -> int:
    """After the feature moved."""
    return int(told.scores["alarm"][MOVED:].sum())


def test_the_noise_of_many_features_does_not_outweigh_the_one_to_blame(artifact: Artifact) -> None:
    values = noise(30, 0)
    values[MOVED, 7] += 25.0
    by = {muted: scored(artifact, values, muted).scores[MOVED] for muted in (None, 7, 8)}
    assert by[None]["alarm"]
    assert (by[7]["alarm"], by[7]["bound"]) == (False, BY_MUTE)
    assert by[8]["alarm"]
    assert by[None]["score"] == by[7]["score"] == by[8]["score"]
