"""The smallest change that would have been normal: at it the score is below 1, beyond it is not."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from model.again import Again
from model.artifact import Artifact
from model.counterfactual import Changed, nearest_normal
from model.judge import HIGH
from model.row import RowTable
from model.scorer import Scorer, directions_of
from tests.model.conftest import F64, ticks

NAMES = ("a", "b", "c")
N = 300
SLIGHTLY = 1e-3  # of the change


def scorer_of(artifact: Artifact, features: int, **declared: int) -> Scorer:
    return Scorer(artifact, directions_of(NAMES[:features], declared), 1.0, 1e9)


def waves(seed: int, features: int) -> F64:
    """(N, F), noisy cycles."""
    random = np.random.default_rng(seed)
    turns = np.arange(N)[:, None] / 9.0 + np.arange(features)
    return 10.0 * np.sin(turns) + random.normal(0.0, 0.5, (N, features))


def remembered(artifact: Artifact, values: F64, **declared: int) -> Again:
    memory = Again(artifact, scorer_of(artifact, values.shape[1], **declared))
    memory.follow(ticks(len(values)), values)
    return memory


def changed(
    artifact: Artifact, values: F64, event: Sequence[float], **declared: int
) -> tuple[list[Changed], Again, F64]:
    """Of an event that comes after these, expected a wave on."""
    came = np.array(event)
    memory = remembered(artifact, values, **declared)
    expected = 10.0 * np.sin(N / 9.0 + np.arange(len(came)))
    blamed = np.argsort(-np.abs(came - expected), kind="stable").tolist()
    found = nearest_normal(
        came, expected, np.full(len(came), 2.0), blamed,
        lambda events: np.asarray(memory.supposed(ticks(N + 1)[-1], events)["score"]),
    )  # fmt: skip
    return found, memory, expected


def score(memory: Again, event: F64) -> float:
    return float(memory.supposed(ticks(N + 1)[-1], event[None])["score"][0])


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), size=st.floats(12.0, 1e4), up=st.booleans())
def test_at_the_nearest_value_an_event_is_normal_and_beyond_it_is_not(
    base: Artifact, seed: int, size: float, up: bool
) -> None:
    came = size if up else -size
    event = 10.0 * np.sin(N / 9.0) + came
    (one,), memory, _ = changed(base, waves(seed, 1), [event])
    assume(score(memory, np.array([event])) >= 1.0)
    assert score(memory, np.array([one.value])) < 1.0
    beyond = one.value + SLIGHTLY * came
    assert score(memory, np.array([beyond])) >= 1.0
    assert one.value == (one.high if up else one.low)
    assert one.low < one.high
    for edge, out in ((one.low, -1.0), (one.high, 1.0)):
        assert score(memory, np.array([edge])) < 1.0
        assert score(memory, np.array([edge + out * SLIGHTLY * size])) >= 1.0
    for inside in np.linspace(one.low, one.high, 9):
        assert score(memory, np.array([inside])) < 1.0


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10**6), sizes=st.tuples(st.floats(200.0, 1e3), st.floats(200.0, 1e3)))
def test_where_one_feature_is_not_enough_several_move_as_little_as_will_do(
    base: Artifact, seed: int, sizes: tuple[float, float]
) -> None:
    at = 10.0 * np.sin(N / 9.0 + np.arange(3))
    event = [at[0] + sizes[0], at[1], at[2] - sizes[1]]
    found, memory, expected = changed(base, waves(seed, 3), event)
    moved = np.array(event)
    for one in found:
        moved[one.place] = one.value
    assume(len(found) > 1)  # in a young stream one of them may be within what chance allows
    assert {one.place for one in found} >= {0, 2}
    assert all(np.isnan(one.low) and np.isnan(one.high) for one in found)
    assert score(memory, moved) < 1.0
    came = np.array(event)
    parts = [(moved[one.place] - came[one.place]) / (expected - came)[one.place] for one in found]
    assert parts == pytest.approx([parts[0]] * len(parts))
    less = came + (moved - came) * (1.0 - SLIGHTLY / parts[0])
    assert score(memory, less) >= 1.0


def test_a_direction_that_does_not_count_has_no_end(base: Artifact) -> None:
    (one,), memory, _ = changed(base, waves(1, 1), [100.0], a=HIGH)
    assert one.low == -np.inf
    assert score(memory, np.array([one.high])) < 1.0
    assert score(memory, np.array([-1e6])) < 1.0


def test_where_no_value_is_normal_nothing_is_told() -> None:
    one = np.ones(1)
    assert nearest_normal(9 * one, one, one, [0], lambda events: np.full(len(events), 2.0)) == []
    assert nearest_normal(9 * one, np.nan * one, one, [0], lambda events: 0 * events[:, 0]) == []
    assert nearest_normal(9 * one, one, one, [], lambda events: 0 * events[:, 0]) == []


def test_a_memory_made_again_is_what_it_was_and_asking_changes_nothing(base: Artifact) -> None:
    values = waves(2, 2)
    scorer, table = scorer_of(base, 2), RowTable(base.layout(2), base.fresh_rows(2))
    n = len(values)
    then = scorer.score(
        table, np.zeros(n, np.int64), np.arange(n), 0, ticks(n), np.zeros(n, np.bool_), values
    )
    memory = remembered(base, values[:-1])
    for _ in range(2):
        again = memory.supposed(ticks(n)[-1], values[-1:])
        assert again.tobytes() == then.scores[-1:].tobytes()
