import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.config import EVENT_CHANNELS, VALUE_CHANNELS, ModelConfig
from model.normalise import (
    ADMITTED,
    FEWEST_VALUES,
    INPUT_CLIP,
    LATE,
    LATE_RUN,
    LEVEL_CLIP,
    LEVEL_STEPS,
    REPEATED,
    REPLAYED,
)
from tests.model.conftest import F64, START_TIME, changed_fields, fresh_table, ticks, watch

FEATURES = 2
NAN = math.nan

numbers = st.one_of(
    st.floats(-1e100, 1e100),
    st.floats(-100, 100),
    st.sampled_from([0.0, 1.0, -1e100, 1e100, 5e-324, NAN]),
)
events = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=40)
gaps = st.one_of(st.just(0.0), st.floats(0.0, 1e6))
seeds = st.integers(0, 2**32 - 1)
modest = settings(deadline=None, max_examples=60)


def noisy(seed: int, n: int, features: int = 1) -> F64:
    return np.random.default_rng(seed).normal(size=(n, features))


@modest
@given(events, st.data())
def test_inputs_are_finite_whatever_the_values(
    values: list[tuple[float, float]], data: st.DataObject
) -> None:
    """Any finite values up to 1e100, and any missing ones, give finite, bounded inputs."""
    n = len(values)
    times = START_TIME + np.cumsum(data.draw(st.lists(gaps, min_size=n, max_size=n)))
    table = fresh_table(FEATURES)
    seen = watch(table, times, values)
    assert (seen.verdicts == ADMITTED).all()
    assert np.isfinite(seen.inputs).all()
    assert np.abs(seen.inputs).max() <= INPUT_CLIP
    assert np.isfinite(seen.units).all()
    assert np.isfinite(seen.scales).all()
    assert (seen.scales > 0.0).all()
    assert (seen.units >= 0.0).all()
    assert (seen.usual_gaps >= 0.0).all()
    for name in ("value", "level", "fast", "slow", "scale", "step"):
        assert np.isfinite(table.features[name]).all()


@modest
@given(events)
def test_a_missing_value_is_read_as_nothing_and_teaches_nothing(
    values: list[tuple[float, float]],
) -> None:
    """A NaN leaves its feature's memory as it was, and its channels, the mask included, are 0."""
    table = fresh_table(FEATURES)
    for k, pair in enumerate(values):
        before = table.features.copy()
        seen = watch(table, [START_TIME + k], [pair], offset=k)
        for f, value in enumerate(pair):
            channels = seen.inputs[0, f, :VALUE_CHANNELS]
            changed = changed_fields(before[0, f], table.features[0, f])
            if math.isnan(value):
                assert not channels.any()
                assert not changed
            else:
                assert channels[-1] == 1.0
                assert "count" in changed


@modest
@given(events)
def test_nothing_is_expected_of_a_feature_before_its_first_values(
    values: list[tuple[float, float]],
) -> None:
    """The unit of the next value is 0 exactly while fewer than FEWEST_VALUES were seen."""
    seen = watch(fresh_table(FEATURES), ticks(len(values)), values)
    counts = np.cumsum(~np.isnan(np.array(values)), axis=0)
    np.testing.assert_array_equal(seen.units > 0.0, counts >= FEWEST_VALUES)


@modest
@given(events)
def test_a_joint_network_reads_what_single_ones_would(values: list[tuple[float, float]]) -> None:
    """A joint input is the features' own channels side by side, then the event's channels."""
    times = ticks(len(values))
    alone = watch(fresh_table(FEATURES), times, values).inputs
    config = ModelConfig(("a", "b"))
    together = watch(fresh_table(FEATURES), times, values, joint=True, config=config).inputs[:, 0]
    np.testing.assert_array_equal(together[:, :VALUE_CHANNELS], alone[:, 0, :VALUE_CHANNELS])
    second = together[:, VALUE_CHANNELS : 2 * VALUE_CHANNELS]
    np.testing.assert_array_equal(second, alone[:, 1, :VALUE_CHANNELS])
    np.testing.assert_array_equal(together[:, -EVENT_CHANNELS:], alone[:, 0, -EVENT_CHANNELS:])


@modest
@given(seeds, st.floats(-1e3, 1e3), st.floats(-6, 6))
def test_the_unit_and_the_zero_of_a_feature_do_not_matter(
    seed: int, shift: float, log_scale: float
) -> None:
    """Celsius or Fahrenheit, bytes or gigabytes: shifted and scaled values give the same inputs."""
    values = noisy(seed, 60)
    known = slice(10, None)
    given_inputs = watch(fresh_table(1), ticks(60), values).inputs[known]
    other = watch(fresh_table(1), ticks(60), (values + shift) * 10.0**log_scale).inputs[known]
    np.testing.assert_allclose(other, given_inputs, rtol=0, atol=1e-3)


@modest
@given(events, st.lists(st.tuples(st.integers(0, 39), numbers, gaps), min_size=1, max_size=10))
def test_a_replayed_event_changes_nothing(
    values: list[tuple[float, float]], replays: list[tuple[int, float, float]]
) -> None:
    """An offset at or below the one seen changes not one byte, whatever it now carries."""
    table = fresh_table(FEATURES)
    watch(table, ticks(len(values)), values)
    before = table.bytes.copy()
    for offset, value, ahead in replays:
        at = START_TIME + 1e6 + ahead
        seen = watch(table, [at], [(value, 1.0)], offset=min(offset, len(values) - 1))
        assert seen.verdicts.tolist() == [REPLAYED]
        assert np.isnan(seen.inputs).all()
        np.testing.assert_array_equal(table.bytes, before)


def test_a_replayed_batch_is_skipped_up_to_what_is_new() -> None:
    """Events 0 to 9 after events 0 to 6 count as 7 to 9 alone."""
    whole, torn = fresh_table(1), fresh_table(1)
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
    table = fresh_table(FEATURES)
    watch(table, times, values)
    before = table.head.copy(), table.features.copy()
    seen = watch(table, [times[-1] - skew - beyond], [late], offset=n, skew=skew)
    assert seen.verdicts.tolist() == [LATE]
    assert changed_fields(before[0], table.head) == {"offset", "late_run"}
    assert not changed_fields(before[1], table.features)
    assert table.head["offset"][0] == n


def test_a_wrong_clock_does_not_silence_a_stream() -> None:
    """Of LATE_RUN late events in a row the last turns the clock back, and later ones count."""
    table = fresh_table(1)
    watch(table, [START_TIME + 1e9], [[0.5]], skew=60.0)
    n = LATE_RUN + 5
    seen = watch(table, ticks(n), noisy(0, n), offset=1, skew=60.0)
    assert seen.verdicts.tolist() == [LATE] * (LATE_RUN - 1) + [ADMITTED] * 6
    assert table.head["time"][0] == ticks(n)[-1]
    assert np.isfinite(seen.inputs[LATE_RUN - 1 :]).all()


def test_late_events_between_others_never_turn_the_clock_back() -> None:
    """Only late events in a row count towards a wrong clock: an admitted one starts anew."""
    table = fresh_table(1)
    newest = ticks(4 * LATE_RUN)
    for k in range(4 * LATE_RUN):
        late = k % LATE_RUN != 0
        time = START_TIME - 1e6 if late else newest[k]
        seen = watch(table, [time], [[float(k)]], offset=k, skew=60.0)
        assert seen.verdicts.tolist() == [LATE if late else ADMITTED]


@pytest.mark.parametrize("behind", [0.0, 1.0, 60.0])
def test_an_event_within_the_skew_is_admitted(behind: float) -> None:
    """An event that is behind by the skew, and no more, is scored like any other."""
    table = fresh_table(1)
    watch(table, ticks(5), noisy(0, 5))
    seen = watch(table, [ticks(5)[-1] - behind], [[0.5]], offset=5, skew=60.0)
    assert seen.verdicts.tolist() == [ADMITTED]
    assert table.head["late"][0] == (behind > 0.0)


@modest
@given(st.lists(st.tuples(*[st.floats(-1e100, 1e100)] * FEATURES), min_size=1, max_size=20))
def test_an_event_that_comes_twice_counts_once(values: list[tuple[float, float]]) -> None:
    """The same time and values again, at a new offset, move the offset and nothing else."""
    n = len(values)
    table = fresh_table(FEATURES)
    watch(table, ticks(n), values, timed=True)
    before = table.head.copy(), table.features.copy()
    seen = watch(table, ticks(n)[-1:], values[-1:], offset=n, timed=True)
    assert seen.verdicts.tolist() == [REPEATED]
    assert changed_fields(before[0], table.head) == {"offset"}
    assert not changed_fields(before[1], table.features)


@pytest.mark.parametrize(
    ("later", "value", "timed"),
    [(1.0, 3.0, True), (0.0, 3.5, True), (0.0, 3.0, False)],
    ids=["another-time", "another-value", "time-of-arrival"],
)
def test_an_event_like_the_last_one_is_not_a_repeated_one(
    later: float, value: float, timed: bool
) -> None:
    """Another time, another value, or a time that is not the event's own: it counts."""
    table = fresh_table(1)
    watch(table, [START_TIME], [[3.0]], timed=True)
    seen = watch(table, [START_TIME + later], [[value]], offset=1, timed=timed)
    assert seen.verdicts.tolist() == [ADMITTED]


def test_a_stream_that_moved_to_another_partition_starts_at_any_offset() -> None:
    """Offsets are compared within one origin only: a lower one from elsewhere is no replay."""
    table = fresh_table(1)
    watch(table, ticks(5), noisy(0, 5), offset=100)
    table.head["origin"] = 2
    seen = watch(table, [START_TIME + 1000.0], [[0.5]], offset=3)
    assert seen.verdicts.tolist() == [ADMITTED]
    assert (table.head["origin"][0], table.head["offset"][0]) == (1, 3)


@modest
@given(st.lists(st.floats(0.0, 4e9), min_size=1, max_size=40))
def test_the_clock_never_goes_backwards(times: list[float]) -> None:
    """A stream's time is its newest event's; events behind it are counted, not followed."""
    table = fresh_table(1)
    newest, behind = -math.inf, 0
    for k, time in enumerate(times):
        watch(table, [time], [[float(k)]], offset=k)
        behind += time < newest
        newest = max(newest, time)
        assert table.head["time"][0] == newest
        assert table.head["late"][0] == behind
        assert table.head["events"][0] == k + 1
    assert table.head["first_time"][0] == times[0]


@modest
@given(seeds, st.floats(0.01, 1e4))
def test_the_usual_gap_is_followed(seed: int, gap: float) -> None:
    """A regular stream's usual gap is its interval; irregular ones hover about theirs."""
    regular = watch(fresh_table(1), ticks(50, gap, start=0.0), noisy(seed, 50)).usual_gaps
    np.testing.assert_allclose(regular[1:], gap, rtol=1e-6)
    jitter = np.random.default_rng(seed).uniform(0.5, 1.5, 500)
    irregular = watch(fresh_table(1), gap * np.cumsum(jitter), noisy(seed, 500)).usual_gaps
    assert 0.7 * gap < irregular[-1] < 1.3 * gap


@modest
@given(seeds, st.integers(5, 5000), st.sampled_from([-1.0, 1.0]), st.floats(1e3, 1e9))
def test_one_wild_value_is_not_the_new_normal(
    seed: int, n: int, sign: float, scales: float
) -> None:
    """A value 1000 scales away moves level and scale by no more than its clipped share."""
    table = fresh_table(1)
    watch(table, ticks(n), noisy(seed, n))
    before = table.features[0, 0].copy()
    wild = before["level"] + sign * scales * before["scale"]
    watch(table, [START_TIME + 60.0 * n], [[wild]], offset=n)
    after = table.features[0, 0]
    share = max(1.0 / (n + 1), 1.0 / LEVEL_STEPS)
    moved = sign * (after["level"] - before["level"])
    assert 0.0 < moved <= share * LEVEL_CLIP * before["scale"] * (1 + 1e-6)
    grown = after["scale"] - before["scale"]
    assert grown <= max(1.0 / n, 1.0 / LEVEL_STEPS) * LEVEL_CLIP * before["scale"]


@pytest.mark.parametrize("shift", [3.0, -10.0, 100.0])
@pytest.mark.parametrize("history", [500, 10_000])
def test_a_shift_that_stays_is_followed(shift: float, history: int) -> None:
    """Five memories after its level moved for good, a stream is described around the new one."""
    stays = 5 * int(LEVEL_STEPS)
    values = noisy(1, history + stays)
    values[history:] += shift
    table = fresh_table(1)
    seen = watch(table, ticks(history + stays), values)
    assert abs(table.features[0, 0]["level"] - shift) < 0.1 * abs(shift)
    away = np.abs(seen.inputs[:, 0, 0])
    assert away[-500:].mean() < 0.5 * away[history : history + 50].mean()


@pytest.mark.parametrize("factor", [0.1, 10.0])
def test_a_change_of_spread_that_stays_is_followed(factor: float) -> None:
    """Five memories after a long-lived stream grew calmer or wilder, its scale is the new one."""
    history, stays = 10 * int(LEVEL_STEPS), 5 * int(LEVEL_STEPS)
    values = noisy(1, history + stays)
    table = fresh_table(1)
    watch(table, ticks(history), values[:history])
    before = table.features[0, 0]["scale"]
    values[history:] *= factor
    watch(table, ticks(history + stays), values)
    assert table.features[0, 0]["scale"] == pytest.approx(factor * before, rel=0.15)


@modest
@given(seeds)
def test_a_value_that_stays_is_marked(seed: int) -> None:
    """The repeated channel is 1 exactly where a value equals the one before it."""
    values = np.random.default_rng(seed).integers(0, 3, size=(40, 1)).astype(np.float64)
    repeated = watch(fresh_table(1), ticks(40), values).inputs[:, 0, 5]
    np.testing.assert_array_equal(repeated[1:] == 1.0, values[1:, 0] == values[:-1, 0])
    assert set(repeated.tolist()) <= {0.0, 1.0}


@modest
@given(seeds, st.floats(0.0, 4e9))
def test_day_and_week_come_round(seed: int, start: float) -> None:
    """The same hour of the same weekday is described alike, a week later."""
    times = np.array([start, start + 604800.0])
    clock = watch(fresh_table(1), times, noisy(seed, 2)).inputs[:, 0, -4:]
    np.testing.assert_allclose(clock[0], clock[1], rtol=0, atol=1e-5)
    np.testing.assert_allclose(np.hypot(clock[:, ::2], clock[:, 1::2]), 1.0, rtol=1e-5)
