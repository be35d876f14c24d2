import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.config import ModelConfig
from model.observed import Observed
from model.profile import (
    DAY,
    EMPTY,
    LARGEST_CODE,
    WEEK,
    day_bin,
    decoded,
    encoded,
    expected_at,
    follow_error,
    learn_bin,
    useful,
    week_bin,
)
from model.row import DAY_BINS, FEATURE, PROFILE_BINS, RowTable
from tests.model.conftest import F64, memory_of, noisy, ticks, watch

MIDNIGHT = 20_000.0 * DAY
SIX_O_CLOCK = MIDNIGHT + 0.25 * DAY
QUARTER = 900.0
PROFILES = 2  # contexts: of the day and of the week
FINE = ModelConfig(resolutions=(1,))

times = st.floats(0.0, 4e9)
modest = settings(deadline=None, max_examples=100)


def anchored(anchor: float, unit: float) -> npt.NDArray[np.void]:
    """(1,) of FEATURE whose profile began at `anchor`, in `unit`."""
    feature = np.zeros(1, FEATURE)
    feature["anchor"], feature["anchor_unit"], feature["count"] = anchor, unit, 100
    return feature


@modest
@given(times, st.integers(0, 100))
def test_a_bin_comes_round_after_a_day_or_a_week(time: float, periods: int) -> None:
    """Half hours of the day, then hours of the week: each time has one of each, periodic."""
    time = float(int(time))
    assert 0 <= day_bin(time) < DAY_BINS <= week_bin(time) < PROFILE_BINS
    assert day_bin(time + periods * DAY) == day_bin(time)
    assert week_bin(time + periods * WEEK) == week_bin(time)


def test_bins_are_half_hours_and_hours() -> None:
    """A day visits every half hour in order, a week every hour."""
    half_hours = [day_bin(MIDNIGHT + 1800.0 * (k + 0.5)) for k in range(DAY_BINS)]
    assert half_hours == list(range(DAY_BINS))
    hours = {week_bin(MIDNIGHT + 3600.0 * (k + 0.5)) for k in range(7 * 24)}
    assert hours == set(range(DAY_BINS, PROFILE_BINS))


def test_events_on_the_hour_fall_into_bins_of_their_own() -> None:
    """An hourly stream at minute 0 visits every half hour and every hour, none of them twice."""
    half_hours = [day_bin(MIDNIGHT + 1800.0 * k) for k in range(DAY_BINS)]
    assert half_hours == list(range(DAY_BINS))
    hours = {week_bin(MIDNIGHT + 3600.0 * k) for k in range(7 * 24)}
    assert hours == set(range(DAY_BINS, PROFILE_BINS))


@modest
@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e3), st.floats(-6e6, 6e6))
def test_a_code_is_exact_to_a_tenth_of_a_percent(anchor: float, unit: float, units: float) -> None:
    """A value comes back within 0.1 % of its distance from the anchor, or of one unit."""
    feature = anchored(anchor, unit)[0]
    x = anchor + unit * units
    code = encoded(feature, x)
    assert code != EMPTY
    reach = abs(x - anchor) + feature["anchor_unit"]
    assert abs(decoded(feature, code) - x) <= 0.001 * reach + 1e-9 * abs(anchor)


@modest
@given(st.floats(-1e100, 1e100), st.floats(-1e100, 1e100))
def test_codes_keep_the_order_of_values(x: float, y: float) -> None:
    """A larger value never gets a smaller code, and every one fits its 16 bits."""
    feature = anchored(0.0, 1.0)[0]
    low, high = sorted((x, y))
    # The one place without a code is at the anchor: its code is taken, for EMPTY.
    assert encoded(feature, low) <= max(1, encoded(feature, high))
    assert abs(encoded(feature, high)) <= LARGEST_CODE


def test_an_empty_bin_says_nothing() -> None:
    """What nothing fell into, and a profile that has not begun, is NaN."""
    profile = np.zeros(PROFILE_BINS, np.int16)
    profile[3] = 500
    assert math.isnan(expected_at(anchored(0.0, 1.0)[0], profile, 2))
    assert not math.isnan(expected_at(anchored(0.0, 1.0)[0], profile, 3))
    assert math.isnan(expected_at(anchored(0.0, 0.0)[0], profile, 3))
    assert math.isnan(expected_at(anchored(0.0, 1.0)[0], profile[:0], 3))


@modest
@given(st.lists(st.floats(-10.0, 10.0), min_size=1, max_size=10))
def test_a_bin_is_the_mean_of_its_first_periods(values: list[float]) -> None:
    """One visit a period: after up to ten periods the bin has the mean of them."""
    feature, profile = anchored(0.0, 1.0)[0], np.zeros(PROFILE_BINS, np.int16)
    for age, x in enumerate(values):
        learn_bin(feature, profile, 5, x, 1.0, float(age))
    assert decoded(feature, profile[5]) == pytest.approx(np.mean(values), abs=0.03)
    assert np.flatnonzero(profile).tolist() == [5]


def test_a_bin_of_many_visits_is_their_mean() -> None:
    """A stream of seconds visits a half hour 1,800 times: after three days the bin is their mean.

    The first value, two spreads from the mean, is forgotten.
    """
    feature, profile = anchored(0.0, 1.0)[0], np.zeros(PROFILE_BINS, np.int16)
    values = noisy(0, 3 * 1800)[:, 0]
    values[0] = 2.0
    for k, x in enumerate(values):
        feature["count"] = k
        learn_bin(feature, profile, 0, x, 1800.0, float(k // 1800))
    assert decoded(feature, profile[0]) == pytest.approx(0.0, abs=0.35)


@pytest.mark.parametrize("visits", [1, 6, 30])
def test_a_bin_follows_a_change_that_stays(visits: int) -> None:
    """Thirty periods after its values changed for good, an old bin has nearly the new ones."""
    feature, profile = anchored(0.0, 1.0)[0], np.zeros(PROFILE_BINS, np.int16)
    learn_bin(feature, profile, 0, -3.0, float(visits), 0.0)
    for age in range(30):
        for _ in range(visits):
            learn_bin(feature, profile, 0, 5.0, float(visits), 50.0 + age)
    assert decoded(feature, profile[0]) == pytest.approx(5.0, abs=0.5)


def test_a_mean_error_follows_and_does_not_jump() -> None:
    """The first error counts whole; later ones move it little, and one wild one hardly."""
    assert follow_error(0.0, -2.0) == 2.0
    assert 1.0 < follow_error(1.0, 1e9) < 1.02
    error = 3.0
    for _ in range(3000):
        error = float(follow_error(error, 1.0))
    assert error == pytest.approx(1.0, abs=0.02)


def test_a_profile_is_useful_where_it_errs_less_than_the_level() -> None:
    """It counts below nine tenths of the level's error, and not before it was measured."""
    feature = anchored(0.0, 1.0)
    feature["level_error"] = 1.0
    assert useful(feature[0], 0.5)
    assert not useful(feature[0], 0.95)
    assert not useful(feature[0], 0.0)


def days(count: int, seed: int = 0, shape: float = 3.0, noise: float = 0.3) -> tuple[F64, F64]:
    """Times (n,) and values (n, 1) of a stream of quarter hours, with a wave of a day."""
    at = ticks(96 * count, QUARTER, SIX_O_CLOCK)
    wave = shape * np.sin(2.0 * np.pi * (at % DAY) / DAY)
    return at, 10.0 + wave[:, None] + noise * noisy(seed, len(at))


def lived(at: F64, values: F64) -> tuple[RowTable, Observed]:
    table = memory_of(values.shape[1], FINE)
    return table, watch(table, at, values, config=FINE)


@pytest.mark.parametrize("seed", range(3))
def test_a_profile_that_helps_says_how_far_a_value_is_from_its_hour(seed: int) -> None:
    """After a week a value like its hour's is near, the same value half a day later is far."""
    at, values = days(9, seed)
    table, seen = lived(at, values)
    later = np.abs(seen.contexts[7 * 96 :, 0, 0])
    assert np.isfinite(later).all()
    assert later.mean() < 0.4
    peak = 96 * 8
    wrong = lived(at[: peak + 1], np.r_[values[:peak], [[7.0]]])[1]
    assert wrong.contexts[-1, 0, 0] < -8.0 * later.mean()
    assert abs(seen.contexts[peak, 0, 0]) < 4.0 * later.mean()
    learnt = [expected_at(table.features[0, 0, 0], table.profiles[0, 0], b) for b in range(48)]
    hours = 10.0 + 3.0 * np.sin(2.0 * np.pi * (np.arange(48) + 0.25) / 48.0)
    np.testing.assert_allclose(learnt, hours, rtol=0, atol=0.6)


def test_a_profile_waits_until_a_stream_has_moved() -> None:
    """A panel that is first seen at night stands at 0 for hours: its days are learnt none the
    less."""
    at, values = days(9)
    night = np.r_[np.zeros((40, 1)), values]
    at = np.r_[at[0] - QUARTER * np.arange(40, 0, -1.0), at]
    table, seen = lived(at, night)
    assert table.features["anchor_unit"][0, 0, 0] > 0.01
    later = np.abs(seen.contexts[-96:, 0, 0])
    assert later.mean() < 0.4
    still = lived(*(at[:200], np.zeros((200, 1))))[0]
    assert still.features["anchor_unit"][0, 0, 0] == 0.0
    assert not still.profiles.any()


def test_a_profile_says_nothing_in_its_first_period() -> None:
    """The day's from the second day on, the week's from the second week."""
    at, values = days(10)
    contexts = lived(at, values)[1].contexts[:, 0, :PROFILES]
    says = np.isfinite(contexts)
    assert not says[at < at[0] + DAY, 0].any()
    assert not says[at < at[0] + WEEK, 1].any()
    assert says[at >= at[0] + 2 * DAY, 0].all()
    assert says[at >= at[0] + 8 * DAY, 1].all()


@pytest.mark.parametrize("seed", range(3))
def test_a_profile_that_does_not_help_is_retired(seed: int) -> None:
    """Where the hour tells nothing of the value, the profile has nothing to say, for good."""
    contexts = lived(*days(30, seed, shape=0.0, noise=1.0))[1].contexts
    assert np.isnan(contexts[15 * 96 :, :, :PROFILES]).all()


def test_a_retired_profile_counts_again_once_it_is_better() -> None:
    """A stream that takes on a daily shape after two weeks is told by its hours in the end."""
    at, values = days(60)
    values[: 14 * 96] = noisy(1, 14 * 96)
    contexts = lived(at, values)[1].contexts[:, 0, 0]
    assert np.isnan(contexts[12 * 96 : 14 * 96]).all()
    assert np.isfinite(contexts[-96:]).all()
    assert np.abs(contexts[-96:]).mean() < 0.5


def test_a_stream_that_is_in_another_mood_at_the_weekend_is_told_by_the_week() -> None:
    """Quiet weekends are near what the week says of them, and far from what the day says."""
    at, values = days(42)
    weekend = at // DAY % 7 >= 5
    values[weekend] = 10.0 + 0.1 * (values[weekend] - 10.0)
    contexts = np.abs(lived(at, values)[1].contexts[35 * 96 :, 0, :PROFILES])
    day, week = contexts[weekend[35 * 96 :]].mean(axis=0)
    assert week < 0.5 * day


@modest
@given(st.integers(0, 2**32 - 1))
def test_what_a_profile_says_of_an_event_does_not_depend_on_it(seed: int) -> None:
    """The distance is to what was learnt before: a wild last value is as far as it is wild."""
    at, values = days(4, seed)
    _, seen = lived(at, values)
    values[-1] += 1000.0
    _, wild = lived(at, values)
    moved = wild.contexts[-1, 0, 0] - seen.contexts[-1, 0, 0]
    assert moved > 100.0
    np.testing.assert_array_equal(wild.contexts[:-1], seen.contexts[:-1])


def test_an_artifact_without_such_views_has_no_profiles() -> None:
    """Neither day nor week among the views: nothing is kept, nothing is said."""
    config = ModelConfig(resolutions=(1,), views=("near", "away"))
    table = memory_of(1, config)
    at, values = days(3)
    seen = watch(table, at, values, config=config)
    assert table.profiles.size == 0
    assert np.isnan(seen.contexts[:, :, :PROFILES]).all()
    assert np.isfinite(seen.inputs).all()


def test_an_event_that_comes_late_is_held_against_its_own_hour() -> None:
    """And learnt as one of it: a gateway that was away sends a live event first, then the rest."""
    at, values = days(14)
    away = slice(10 * 96, 13 * 96)
    live = 13 * 96
    order = np.r_[: 10 * 96, live, np.arange(10 * 96, live), live + 1 : len(at)]
    table, seen = lived(at[order], values[order])
    late = np.abs(seen.contexts[10 * 96 + 1 : live + 1, 0, 0])
    usual = np.abs(lived(at, values)[1].contexts[away, 0, 0])
    assert late.mean() < 1.5 * usual.mean()
    learnt = [expected_at(table.features[0, 0, 0], table.profiles[0, 0], b) for b in range(48)]
    hours = 10.0 + 3.0 * np.sin(2.0 * np.pi * (np.arange(48) + 0.25) / 48.0)
    np.testing.assert_allclose(learnt, hours, rtol=0, atol=0.6)


def test_events_that_share_a_time_fill_no_bin() -> None:
    """One feature a message, two messages a minute: a changed day is followed none the less."""
    at, values = days(20)
    values[10 * 96 :] = 20.0 - values[10 * 96 :]
    table, _ = lived(np.repeat(at, 2), np.repeat(values, 2, axis=0))
    alone, _ = lived(at, values)
    learnt, expected = (
        [expected_at(one.features[0, 0, 0], one.profiles[0, 0], b) for b in range(48)]
        for one in (table, alone)
    )
    np.testing.assert_allclose(learnt, expected, rtol=0, atol=1.0)
