import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.judge import BOTH, HIGH, LOW
from model.row import HEAD
from model.views import (
    ABSENT,
    AWAY,
    FAR,
    GROUP_COUNT,
    GROUPS,
    HELD,
    LONG,
    MIDDLE,
    NEAR,
    POOLED,
    VIEW_COUNT,
    VIEWS,
    Pools,
    directed,
    error_surprise,
    fill_views,
    pool,
    pooled,
    view_numbers,
)
from tests.model.conftest import F64

modest = settings(deadline=None, max_examples=100)


def test_every_view_has_a_name_and_a_group() -> None:
    """The names are distinct, each has its number, and no group is empty."""
    assert len(set(VIEWS)) == len(GROUPS) == VIEW_COUNT
    assert view_numbers(VIEWS).tolist() == list(range(VIEW_COUNT))
    assert view_numbers(("away", "near")).tolist() == [AWAY, NEAR]
    assert set(GROUPS.tolist()) == set(range(GROUP_COUNT))


@modest
@given(st.floats(1e-3, 1e9))
def test_a_direction_ignores_the_other_side(deviation: float) -> None:
    """LOW is not surprised by high values, nor HIGH by low ones; each judges its own as BOTH."""
    assert directed(deviation, LOW) == directed(-deviation, HIGH) == 0.0
    assert directed(deviation, HIGH) == directed(deviation, BOTH) == deviation
    assert directed(-deviation, LOW) == directed(-deviation, BOTH) == deviation


@modest
@given(st.floats(0.0, 1e300), st.floats(0.0, 1e300))
def test_a_larger_error_is_never_less_surprising(x: float, y: float) -> None:
    """An error's surprise rises with it, and is finite; a hit does not surprise at all."""
    low, high = sorted((x, y))
    assert 0.0 <= error_surprise(low) <= error_surprise(high) < math.inf
    assert error_surprise(0.0) == 0.0


@modest
@given(st.lists(st.floats(0.0, 1e6), max_size=12))
def test_the_largest_features_are_pooled(values: list[float]) -> None:
    """Of any values in any order the largest are kept, and their mean is the event's."""
    largest = np.zeros(POOLED)
    for value in values:
        pool(largest, value)
    kept = sorted(values, reverse=True)[:POOLED]
    assert largest.tolist() == kept + [0.0] * (POOLED - len(kept))
    if values:
        assert pooled(largest, len(values)) == pytest.approx(np.mean(kept))


def filled(
    row: npt.NDArray[np.void],
    said: dict[int, float],
    persistence: float = 25.0,
    cautious: float = 0.0,
) -> F64:
    """The views of one event of one feature, where `said` views have these values."""
    pools = Pools.of(1, 1)
    for view, value in said.items():
        pools.largest[view, 0], pools.present[view] = value, 1
    fill_views(row[0], pools, persistence, cautious)
    return pools.views


@modest
@given(st.sets(st.integers(0, VIEW_COUNT - 1)), st.floats(1e-3, 1e3))
def test_a_view_that_says_nothing_says_so(said: set[int], value: float) -> None:
    """A view without any feature stays absent or held; the others have values of 0 or more."""
    views = filled(np.zeros(1, HEAD), dict.fromkeys(said, value))
    spoke = {v for v in range(VIEW_COUNT) if views[v] not in {ABSENT, HELD}}
    assert spoke == said
    assert (views[sorted(said)] >= 0.0).all()
    for v in said - {LONG, AWAY}:
        assert views[v] == (error_surprise(value) if v in {NEAR, MIDDLE, FAR} else value)


@pytest.mark.parametrize(("view", "value"), [(AWAY, 3.0), (LONG, 3.0)])
def test_what_lasts_counts_and_what_passes_does_not(view: int, value: float) -> None:
    """A single event hardly moves a view of what persists; a state that stays is its value."""
    row = np.zeros(1, HEAD)
    calm = 1.0 if view == LONG else 0.0
    once = filled(row, {view: value})[view]
    assert abs(once - calm) < 0.2 * (value - calm)
    for _ in range(400):
        lasting = filled(row, {view: value})[view]
    assert lasting == pytest.approx(value, rel=0.05)
    for _ in range(400):
        filled(row, {view: calm})
    assert filled(row, {view: calm})[view] == pytest.approx(calm, abs=0.05)


def test_what_lasts_is_not_told_of_a_streams_first_events() -> None:
    """A mean that still holds what was said while scales were guesses says nothing yet."""
    row = np.zeros(1, HEAD)
    for scored, spoken in ((0, False), (79, False), (80, True), (500, True)):
        row["scored"] = scored
        assert (filled(row, {LONG: 9.0}, cautious=40.0)[LONG] != ABSENT) == spoken


def test_a_longer_persistence_takes_longer() -> None:
    """After 20 events of a new state the view `long` is nearer to it where persistence is short."""
    reached = []
    for persistence in (1.0, 5.0, 25.0, 100.0):
        row = np.zeros(1, HEAD)
        reached.append([filled(row, {LONG: 9.0}, persistence)[LONG] for _ in range(20)][-1])
    assert reached == sorted(reached, reverse=True)
    assert reached[0] == pytest.approx(9.0)
