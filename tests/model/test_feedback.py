"""What a person says of a stream's anomalies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.artifact import BASE, Artifact
from model.compiled import compiled
from model.feedback import (
    MOST,
    SOON,
    SURELY,
    TOGETHER,
    TWICE,
    Kind,
    Said,
    eased,
    follow_repeats,
    tolerance_of,
    tolerated,
)
from model.row import HEAD, RowTable
from model.scorer import Scorer

SCORES = st.floats(0.07, 25_000.0)
SAID = st.lists(st.builds(Said, st.sampled_from(("false", "missed")), SCORES))


@compiled
def both(tolerance: int, out: np.ndarray) -> None:
    out[0], out[1] = tolerated(tolerance), eased(tolerance)


def means(tolerance: int) -> tuple[float, float]:
    out = np.zeros(2)
    both(tolerance, out)
    assert tuple(out) == (tolerated(tolerance), eased(tolerance))
    return float(out[0]), float(out[1])


def test_nothing_said_is_nothing_changed() -> None:
    assert tolerance_of([]) == 0
    assert means(0) == (0.0, 1.0)


@given(SAID, st.floats(1.0, 25_000.0))
def test_what_was_no_anomaly_is_tolerated_up_to_twice_its_score(
    before: list[Said], score: float
) -> None:
    limit, factor = means(tolerance_of([*before, Said("false", score)]))
    assert limit >= TWICE * score * 0.999
    assert factor == 1.0
    assert means(tolerance_of([Said("false", score)]))[0] <= TWICE * score * 1.091


@given(SAID, SCORES)
def test_what_was_missed_would_not_be_missed_again(before: list[Said], score: float) -> None:
    limit, factor = means(tolerance_of([*before, Said("missed", score)]))
    assert score / factor >= 1.0
    assert limit < max(score, 1.0)


@given(SAID)
def test_it_fits_a_memory(said: list[Said]) -> None:
    tolerance = tolerance_of(said)
    assert -MOST <= tolerance <= MOST
    row = np.zeros(1, HEAD)
    row["tolerance"] = tolerance
    assert row["tolerance"][0] == tolerance


@pytest.mark.parametrize(("kind", "score"), [("false", 1e9), ("missed", 1e-9)])
def test_there_is_an_end_to_both(kind: Kind, score: float) -> None:
    assert abs(tolerance_of([Said(kind, score)])) == MOST
    assert SURELY < 1.0


@compiled
def follow(row: np.void, anomalous: bool, news: bool) -> None:
    follow_repeats(row, anomalous, news)


def repeats_of(happenings: list[tuple[int, bool]]) -> list[int]:
    """After each anomalous event, so many events after the one before, with news or not."""
    row = np.zeros(1, HEAD)[0]
    counts = []
    for after, news in happenings:
        for _ in range(after - 1):
            follow(row, False, True)
        follow(row, True, news)
        counts.append(int(row["repeats"]))
    return counts


@settings(deadline=None)  # the first example compiles
@given(st.lists(st.tuples(st.integers(1, SOON + 100), st.booleans())))
def test_only_news_that_comes_soon_is_a_repeat(happenings: list[tuple[int, bool]]) -> None:
    count, expected = 0, []
    for after, news in happenings:
        count = min((count if after < SOON else 0) + news, TOGETHER)
        expected.append(count)
    assert repeats_of(happenings) == expected


def test_within_a_coarse_step_nothing_is_news() -> None:
    """Two coarse steps that are anomalous, each for as long as it is the newest, and a spike."""
    values = np.random.default_rng(0).normal(size=2400)
    values[2000:2048] += 1.2
    values[2300] = 30.0
    artifact = Artifact(BASE)
    table = RowTable.copies(artifact.fresh_rows(1), artifact.layout(1), 1)
    scorer = Scorer(artifact, np.zeros(1, np.int8), 1.0, 604800.0)
    anomalous, repeats = [], []
    for k, value in enumerate(values.tolist()):
        one = np.array([k])
        scored = scorer.score(
            table, np.zeros(1, np.int64), one, 1, 1.7e9 + 300.0 * one, np.ones(1, np.bool_),
            np.array([[value]]),
        )  # fmt: skip
        if k >= 1950 and scored.scores["score"][0] >= 1.0:
            anomalous.append(k)
            repeats.append(int(table.head["repeats"][0]))
    step = np.flatnonzero(np.diff(repeats, prepend=0))
    assert len(anomalous) > 40
    assert [repeats[k] for k in step] == [1, 2, 1]
    assert anomalous[step[1]] - anomalous[step[0]] == 24
    assert anomalous[step[2]] == 2300
