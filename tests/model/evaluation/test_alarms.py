import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.evaluation.alarms import DAY, FalseAlarms, detection_delays, false_alarms, pooled
from model.evaluation.intervals import intervals_of
from tests.model.evaluation.samples import flags

HOUR = 3600.0


def hours(rows: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return 1.7e9 + HOUR * np.arange(rows, dtype=np.float64)


def test_a_delay_runs_from_the_start_to_the_first_alarm_within() -> None:
    labels = flags(".####..##.##")
    alarms = flags("#..##..#....")
    delays = detection_delays(hours(12), alarms, intervals_of(labels))
    np.testing.assert_array_equal(delays.rows, [2.0, 0.0, np.nan])
    np.testing.assert_array_equal(delays.seconds, [2.0 * HOUR, 0.0, np.nan])
    assert delays.share_detected == pytest.approx(2.0 / 3.0)


def test_a_delay_is_told_in_the_series_own_time() -> None:
    times = np.array([0.0, 10.0, 500.0, 501.0])
    delays = detection_delays(times, flags("...#"), np.array([[1, 4]]))
    assert (delays.rows[0], delays.seconds[0]) == (2.0, 491.0)


def test_without_intervals_no_share_is_detected_or_missed() -> None:
    delays = detection_delays(hours(3), flags("#.."), np.empty((0, 2), np.int64))
    assert math.isnan(delays.share_detected)


def test_false_alarms_are_counted_by_normal_time() -> None:
    labels, alarms = flags("......####.............." * 2), flags("#.....#....#............" * 2)
    found = false_alarms(hours(48), alarms, intervals_of(labels), promised_per_day=1.5)
    assert found.count == 4
    assert found.normal_days == pytest.approx(40.0 / 24.0)
    assert found.per_day == pytest.approx(4.0 / (40.0 / 24.0))
    assert found.promised_per_day == 1.5


def test_a_margin_excuses_what_follows_an_interval_soon() -> None:
    labels, alarms = flags("...##......."), flags(".....#.#...#")
    found = false_alarms(hours(12), alarms, intervals_of(labels), margin_seconds=2.5 * HOUR)
    assert found.count == 2
    assert found.normal_days == pytest.approx((12 - 2 - 2) / 24.0)


def test_rows_that_come_rarely_stand_for_more_time() -> None:
    times = np.array([0.0, 1.0, 2.0]) * DAY
    times[2] = 9.0 * DAY
    found = false_alarms(times, flags("#.."), np.array([[2, 3]]))
    assert found.normal_days == pytest.approx(9.0)


def test_without_normal_time_there_is_no_rate() -> None:
    found = false_alarms(hours(3), flags("###"), np.array([[0, 3]]))
    assert found.count == 0
    assert math.isnan(found.per_day)


def test_one_row_stands_for_no_time() -> None:
    assert false_alarms(hours(1), flags("#"), np.empty((0, 2), np.int64)).normal_days == 0.0


def test_streams_pool_by_their_time() -> None:
    whole = pooled([FalseAlarms(3, 1.0, 0.5), FalseAlarms(1, 3.0, 0.1)])
    assert whole.count == 4
    assert whole.per_day == 1.0
    assert whole.promised_per_day == pytest.approx(0.2)


def test_nothing_pools_to_no_rate() -> None:
    assert math.isnan(pooled([]).per_day)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=50))
def test_each_alarm_is_in_an_interval_or_false(rows: list[tuple[bool, bool]]) -> None:
    alarms, labels = (np.array(column, np.bool_) for column in zip(*rows, strict=True))
    found = false_alarms(hours(len(rows)), alarms, intervals_of(labels))
    assert found.count + int(np.sum(alarms & labels)) == int(alarms.sum())
    assert found.normal_days == pytest.approx(np.sum(~labels) / 24.0)


@given(
    st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=50),
    st.floats(0.0, 20.0),
)
def test_a_wider_margin_never_adds_a_false_alarm(
    rows: list[tuple[bool, bool]], margin_hours: float
) -> None:
    alarms, labels = (np.array(column, np.bool_) for column in zip(*rows, strict=True))
    intervals, times = intervals_of(labels), hours(len(rows))
    narrow = false_alarms(times, alarms, intervals)
    wide = false_alarms(times, alarms, intervals, margin_seconds=margin_hours * HOUR)
    assert wide.count <= narrow.count
    assert wide.normal_days <= narrow.normal_days
