import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.admission import ADMITTED, LATE, LATE_RUN, PACE_CLIP, REPEATED, REPLAYED
from model.row import RowTable
from tests.model.conftest import START_TIME, changed_fields, memory_of, noisy, ticks, watch

FEATURES = 2

numbers = st.one_of(
    st.floats(-1e30, 1e30),
    st.floats(-100, 100),
    st.sampled_from([0.0, 1.0, -1e30, 1e30, 5e-324, math.nan]),
)
events = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=40)
gaps = st.one_of(st.just(0.0), st.floats(0.0, 1e6))
seeds = st.integers(0, 2**32 - 1)
modest = settings(deadline=None, max_examples=60)


def known(table: RowTable) -> bytes:
    """All that the memory holds but its head."""
    return table.features.tobytes() + table.profiles.tobytes() + table.states.tobytes()


@modest
@given(events, st.lists(st.tuples(st.integers(0, 39), numbers, gaps), min_size=1, max_size=10))
def test_a_replayed_event_changes_nothing(
    values: list[tuple[float, float]], replays: list[tuple[int, float, float]]
) -> None:
    """An offset at or below the one seen changes not one byte, whatever it now carries."""
    table = memory_of(FEATURES)
    watch(table, ticks(len(values)), values)
    before = table.bytes.copy()
    for offset, value, ahead in replays:
        at = START_TIME + 1e6 + ahead
        seen = watch(table, [at], [(value, 1.0)], offset=min(offset, len(values) - 1))
        assert seen.verdicts.tolist() == [REPLAYED]
        assert not seen.inputs.any()
        assert np.isnan(seen.steps).all()
        np.testing.assert_array_equal(table.bytes, before)


def test_a_replayed_batch_is_skipped_up_to_what_is_new() -> None:
    """Events 0 to 9 after events 0 to 6 count as 7 to 9 alone."""
    whole, torn = memory_of(1), memory_of(1)
    values = noisy(0, 10)
    watch(whole, ticks(10), values)
    watch(torn, ticks(7), values[:7])
    seen = watch(torn, ticks(10), values)
    assert seen.verdicts.tolist() == [REPLAYED] * 7 + [ADMITTED] * 3
    np.testing.assert_array_equal(torn.bytes, whole.bytes)


@modest
@given(events, st.floats(0.0, 1e5), st.floats(0.001, 1e6), st.tuples(numbers, numbers))
def test_a_late_event_is_counted_as_seen_and_no_more(
    values: list[tuple[float, float]], skew: float, beyond: float, late: tuple[float, float]
) -> None:
    """An event beyond the skew moves the offset; nothing else that the stream knows changes."""
    n = len(values)
    times = ticks(n)
    table = memory_of(FEATURES)
    watch(table, times, values)
    head, others = table.head.copy(), known(table)
    seen = watch(table, [times[-1] - skew - beyond], [late], offset=n, skew=skew)
    assert seen.verdicts.tolist() == [LATE]
    assert changed_fields(head, table.head) == {"offset", "late_run"}
    assert known(table) == others
    assert table.head["offset"][0] == n


def test_a_wrong_clock_does_not_silence_a_stream() -> None:
    """Of LATE_RUN late events in a row the last turns the clock back, and later ones count."""
    table = memory_of(1)
    watch(table, [START_TIME + 1e9], [[0.5]], skew=60.0)
    n = LATE_RUN + 5
    seen = watch(table, ticks(n), noisy(0, n), offset=1, skew=60.0)
    assert seen.verdicts.tolist() == [LATE] * (LATE_RUN - 1) + [ADMITTED] * 6
    assert table.head["time"][0] == ticks(n)[-1]
    assert np.isfinite(seen.inputs[LATE_RUN - 1 :]).all()


def test_late_events_between_others_never_turn_the_clock_back() -> None:
    """Only late events in a row count towards a wrong clock: an admitted one starts anew."""
    table = memory_of(1)
    newest = ticks(4 * LATE_RUN)
    for k in range(4 * LATE_RUN):
        late = k % LATE_RUN != 0
        time = START_TIME - 1e6 if late else newest[k]
        seen = watch(table, [time], [[float(k)]], offset=k, skew=60.0)
        assert seen.verdicts.tolist() == [LATE if late else ADMITTED]


@pytest.mark.parametrize("behind", [0.0, 1.0, 60.0])
def test_an_event_within_the_skew_is_admitted(behind: float) -> None:
    """An event that is behind by the skew, and no more, is scored like any other."""
    table = memory_of(1)
    watch(table, ticks(5), noisy(0, 5))
    seen = watch(table, [ticks(5)[-1] - behind], [[0.5]], offset=5, skew=60.0)
    assert seen.verdicts.tolist() == [ADMITTED]
    assert table.head["late"][0] == (behind > 0.0)


@modest
@given(st.lists(st.tuples(*[st.floats(-1e30, 1e30)] * FEATURES), min_size=1, max_size=20))
def test_an_event_that_comes_twice_counts_once(values: list[tuple[float, float]]) -> None:
    """The same time and values again, at a new offset, move the offset and nothing else."""
    n = len(values)
    table = memory_of(FEATURES)
    watch(table, ticks(n), values, timed=True)
    head, others = table.head.copy(), known(table)
    seen = watch(table, ticks(n)[-1:], values[-1:], offset=n, timed=True)
    assert seen.verdicts.tolist() == [REPEATED]
    assert changed_fields(head, table.head) == {"offset"}
    assert known(table) == others


@pytest.mark.parametrize(
    ("later", "value", "timed"),
    [(1.0, 3.0, True), (0.0, 3.5, True), (0.0, math.nan, True), (0.0, 3.0, False)],
    ids=["another-time", "another-value", "no-value", "time-of-arrival"],
)
def test_an_event_like_the_last_one_is_not_a_repeated_one(
    later: float, value: float, timed: bool
) -> None:
    """Another time, another value, or a time that is not the event's own: it counts."""
    table = memory_of(2)
    watch(table, [START_TIME], [[3.0, 1.0]], timed=True)
    seen = watch(table, [START_TIME + later], [[value, 1.0]], offset=1, timed=timed)
    assert seen.verdicts.tolist() == [ADMITTED]


def test_a_value_of_an_earlier_event_does_not_make_a_repeated_one() -> None:
    """A feature that the last event lacked is new, though it has the value that it had before."""
    table = memory_of(2)
    watch(table, [START_TIME, START_TIME], [[3.0, 1.0], [4.0, math.nan]], timed=True)
    seen = watch(table, [START_TIME], [[4.0, 1.0]], offset=2, timed=True)
    assert seen.verdicts.tolist() == [ADMITTED]


def test_a_stream_that_moved_to_another_partition_starts_at_any_offset() -> None:
    """Offsets are compared within one origin only: a lower one from elsewhere is no replay."""
    table = memory_of(1)
    watch(table, ticks(5), noisy(0, 5), offset=100)
    table.head["origin"] = 2
    seen = watch(table, [START_TIME + 1000.0], [[0.5]], offset=3)
    assert seen.verdicts.tolist() == [ADMITTED]
    assert (table.head["origin"][0], table.head["offset"][0]) == (1, 3)


@modest
@given(st.lists(st.floats(0.0, 4e9), min_size=1, max_size=40))
def test_the_clock_never_goes_backwards(times: list[float]) -> None:
    """A stream's time is its newest event's; events behind it are counted, not followed."""
    table = memory_of(1)
    newest, behind = -math.inf, 0
    for k, time in enumerate(times):
        watch(table, [time], [[float(k)]], offset=k)
        behind += time < newest
        newest = max(newest, time)
        assert table.head["time"][0] == newest
        assert table.head["last_time"][0] == time
        assert table.head["late"][0] == behind
        assert table.head["events"][0] == k + 1
    assert table.head["first_time"][0] == times[0]


@modest
@given(seeds, st.floats(0.01, 1e4))
def test_the_usual_gap_is_followed(seed: int, gap: float) -> None:
    """A regular stream's gap and pace are its interval; irregular ones hover about theirs."""
    table = memory_of(1)
    regular = watch(table, ticks(50, gap, start=0.0), noisy(seed, 50)).paces
    np.testing.assert_allclose(regular[1:], gap, rtol=1e-6)
    np.testing.assert_allclose(table.head["gap"], gap, rtol=1e-6)
    jitter = np.random.default_rng(seed).uniform(0.5, 1.5, 500)
    table = memory_of(1)
    irregular = watch(table, gap * np.cumsum(jitter), noisy(seed, 500)).paces
    assert 0.7 * gap < irregular[-1] < 1.3 * gap
    assert 0.7 * gap < table.head["gap"][0] < 1.3 * gap


def test_a_clock_that_is_turned_back_leaves_no_age_below_zero() -> None:
    """A history sent after an event of now: its streams' profiles learn on."""
    day = 86400.0
    table = memory_of(1)
    times = [START_TIME, *(START_TIME - 20 * day + 3600.0 * np.arange(500.0))]
    seen = watch(table, times, noisy(0, 501), skew=day)
    assert (seen.verdicts[10:] == ADMITTED).all()
    assert table.head["first_time"][0] <= table.head["time"][0]


def test_events_that_share_a_time_make_the_pace_their_mean() -> None:
    """Five events at once every 100 seconds come at a pace of 20 seconds: events over time."""
    times = START_TIME + 100.0 * np.repeat(np.arange(400.0), 5)
    paces = watch(memory_of(1), times, noisy(0, 2000)).paces
    assert paces[-250:].mean() == pytest.approx(20.0, rel=0.1)


def test_a_pace_is_that_of_large_bursts_too() -> None:
    """A hundred events at once every hour: one in 36 seconds, not thousands in one."""
    times = START_TIME + 3600.0 * np.repeat(np.arange(50.0), 100)
    paces = watch(memory_of(1), times, noisy(0, 5000)).paces
    assert paces[-100:] == pytest.approx(36.0, rel=0.01)


def test_a_pace_is_that_of_bursts_of_events_with_times_of_their_own() -> None:
    """Fifty events within a second, every hour, are one in 72 seconds: some tens of seconds are
    told, not the milliseconds within a burst."""
    bursts = 3600.0 * np.repeat(np.arange(80.0), 50) + np.tile(np.arange(50) / 50.0, 80)
    paces = watch(memory_of(1), START_TIME + bursts, noisy(0, 4000)).paces
    assert 10.0 < paces[-1000:].mean() < 80.0


def test_one_long_silence_is_not_the_new_pace() -> None:
    """A silence of a year counts as PACE_CLIP of the usual gaps."""
    table = memory_of(1)
    watch(table, ticks(500), noisy(0, 500))
    seen = watch(table, [ticks(500)[-1] + 3e7], [[0.0]], offset=500)
    assert 60.0 < seen.paces[0] <= 60.0 * (1.0 + 0.02 * PACE_CLIP)


def test_what_was_held_back_for_days_is_not_the_new_pace() -> None:
    """A gateway sends a live event, and then what it has buffered: one a minute it was."""
    table = memory_of(1)
    watch(table, ticks(500), noisy(0, 500))
    live = ticks(500)[-1] + 3 * 86400.0
    buffered = np.r_[live, ticks(4320, start=ticks(500)[-1] + 60.0)]
    watch(table, buffered, noisy(1, 4321), offset=500)
    seen = watch(table, live + 60.0 * np.arange(1, 4), noisy(2, 3), offset=4821)
    assert seen.paces == pytest.approx(60.0, rel=0.5)
    assert table.head["gap"][0] == pytest.approx(60.0, rel=0.5)


def test_a_first_event_that_others_are_behind_has_no_gap() -> None:
    table = memory_of(1)
    seen = watch(table, START_TIME + np.array([0.0, -60.0, 60.0, 120.0]), noisy(0, 4))
    assert np.isfinite(seen.inputs).all()
    assert table.head["gap"][0] == pytest.approx(60.0)
