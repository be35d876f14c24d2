import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.admission import ADMITTED
from model.config import EVENT_CHANNELS, VALUE_CHANNELS, ModelConfig
from model.normalise import (
    FEWEST_VALUES,
    GROWN_UP_EVENTS,
    INPUT_CLIP,
    LARGER_AFTER,
    LARGEST_JUMP,
    LEVEL_STEPS,
    PROFILE_CHANNELS,
    SMALLER_AFTER,
    started,
)
from model.observed import JUMPED
from model.profile import DAY
from tests.model.conftest import (
    F64,
    START_TIME,
    WATCHED,
    changed_fields,
    memory_of,
    noisy,
    ticks,
    watch,
)

FEATURES = 2
NAN = math.nan
REPEATED_CHANNEL, PRESENT_CHANNEL = 5, 6
FINE = ModelConfig(resolutions=(1,))
LEARNED = ("value", "level", "fast", "slow", "scale", "step")

numbers = st.one_of(
    st.floats(-1e30, 1e30),
    st.floats(-100, 100),
    st.sampled_from([0.0, 1.0, -1e30, 1e30, 5e-324, NAN]),
)
events = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=40)
gaps = st.one_of(st.just(0.0), st.floats(0.0, 1e6))
seeds = st.integers(0, 2**32 - 1)
modest = settings(deadline=None, max_examples=60)
units = pytest.mark.parametrize(
    "config", [WATCHED, ModelConfig(resolutions=(1, 3), unit="values")], ids=["moves", "values"]
)


@units
@modest
@given(events, st.data())
def test_inputs_are_finite_whatever_the_values(
    config: ModelConfig, values: list[tuple[float, float]], data: st.DataObject
) -> None:
    """Any finite values, and any missing ones, give finite, bounded inputs."""
    n = len(values)
    times = START_TIME + np.cumsum(data.draw(st.lists(gaps, min_size=n, max_size=n)))
    table = memory_of(FEATURES, config)
    seen = watch(table, times, values, config=config)
    assert (seen.verdicts == ADMITTED).all()
    assert np.isfinite(seen.inputs).all()
    assert np.abs(seen.inputs).max() <= INPUT_CLIP
    assert np.isfinite(seen.units).all()
    assert np.isfinite(seen.scales).all()
    assert (seen.scales > 0.0).all()
    assert (seen.units >= 0.0).all()
    assert (seen.paces >= 0.0).all()
    for name in LEARNED:
        assert np.isfinite(table.features[name]).all()


@pytest.mark.parametrize("size", [1e50, 1e100])
def test_the_largest_values_that_are_accepted_give_finite_inputs(size: float) -> None:
    """A stream may have values up to 1e100; what is learnt of them stays finite as well."""
    table = memory_of(1)
    seen = watch(table, ticks(60), size * np.sign(noisy(0, 60)))
    assert np.isfinite(seen.inputs).all()
    for name in LEARNED:
        assert np.isfinite(table.features[name]).all()


@modest
@given(events)
def test_a_missing_value_is_read_as_nothing_and_teaches_nothing(
    values: list[tuple[float, float]],
) -> None:
    """A NaN leaves what is known of its feature as it was; its channels, the mask too, are 0."""
    table = memory_of(FEATURES, FINE)
    for k, pair in enumerate(values):
        before, profiles = table.features.copy(), table.profiles.copy()
        seen = watch(table, [START_TIME + k], [pair], offset=k, config=FINE)
        for f, value in enumerate(pair):
            channels = seen.inputs[0, 0, f, :VALUE_CHANNELS]
            changed = changed_fields(before[0, :, f], table.features[0, :, f])
            if math.isnan(value):
                assert not channels.any()
                assert not changed
                assert np.array_equal(profiles[0, f], table.profiles[0, f])
            else:
                assert channels[PRESENT_CHANNEL] == 1.0
                assert "count" in changed


@modest
@given(events)
def test_nothing_is_expected_of_a_feature_before_its_first_values(
    values: list[tuple[float, float]],
) -> None:
    """At each resolution the unit is 0 exactly while fewer than FEWEST_VALUES steps were seen."""
    seen = watch(memory_of(FEATURES), ticks(len(values)), values)
    ended = ~np.isnan(seen.steps)
    known = np.cumsum(ended, axis=0) >= FEWEST_VALUES
    np.testing.assert_array_equal(seen.units[ended] > 0.0, known[ended])


@modest
@given(events)
def test_a_step_is_the_mean_of_its_events(values: list[tuple[float, float]]) -> None:
    """Each third event ends a step: the mean of what came in it; no other event has one."""
    seen = watch(memory_of(FEATURES), ticks(len(values)), values)
    given_values = np.array(values)
    np.testing.assert_array_equal(seen.steps[:, 0], given_values)
    for k in range(len(values)):
        for f in range(FEATURES):
            part = given_values[k - 2 : k + 1, f] if k % 3 == 2 else np.array([])
            came = part[~np.isnan(part)]
            expected = came.mean() if len(came) else NAN
            np.testing.assert_allclose(seen.steps[k, 1, f], expected, rtol=1e-9, atol=1e20)


@modest
@given(seeds)
def test_a_coarse_step_is_described_as_an_event_would_be(seed: int) -> None:
    """The coarse memory is that of a stream whose events are the means."""
    seen = watch(memory_of(1), ticks(90), noisy(seed, 90))
    means = seen.steps[2::3, 1]
    of_means = watch(memory_of(1, FINE), ticks(30), means, config=FINE)
    own = slice(0, PROFILE_CHANNELS)
    np.testing.assert_array_equal(seen.inputs[2::3, 1, :, own], of_means.inputs[:, 0, :, own])
    np.testing.assert_array_equal(seen.units[2::3, 1], of_means.units[:, 0])
    np.testing.assert_array_equal(seen.scales[2::3, 1], of_means.scales[:, 0])


@modest
@given(events)
def test_a_joint_network_reads_what_single_ones_would(values: list[tuple[float, float]]) -> None:
    """A joint input is the features' own channels side by side, then the event's channels."""
    times = ticks(len(values))
    alone = watch(memory_of(FEATURES), times, values)
    config = ModelConfig(("a", "b"), resolutions=WATCHED.resolutions)
    joint = watch(memory_of(FEATURES, config), times, values, config=config)
    together = joint.inputs[:, :, 0]
    for f in range(FEATURES):
        own = together[..., f * VALUE_CHANNELS : (f + 1) * VALUE_CHANNELS]
        np.testing.assert_array_equal(own, alone.inputs[:, :, f, :VALUE_CHANNELS])
    event = alone.inputs[:, :, 0, -EVENT_CHANNELS:]
    np.testing.assert_array_equal(together[..., -EVENT_CHANNELS:], event)
    for name in ("verdicts", "steps", "units", "scales", "paces"):
        np.testing.assert_array_equal(getattr(joint, name), getattr(alone, name))


@units
@modest
@given(seeds, st.floats(-100, 100), st.floats(-6, 6))
def test_the_unit_and_the_zero_of_a_feature_do_not_matter(
    config: ModelConfig, seed: int, shift: float, log_scale: float
) -> None:
    """Celsius or Fahrenheit, bytes or gigabytes: shifted and scaled values give the same inputs."""
    values = noisy(seed, 60)
    given_inputs = watch(memory_of(1, config), ticks(60), values, config=config).inputs
    moved = (values + shift) * 10.0**log_scale
    other = watch(memory_of(1, config), ticks(60), moved, config=config).inputs
    np.testing.assert_allclose(other[10:], given_inputs[10:], rtol=0, atol=2e-3)


@modest
@given(seeds)
def test_moves_are_counted_in_the_unit_of_the_config(seed: int) -> None:
    """In the scale of values, or in that of increments, which a smooth stream has smaller."""
    smooth = np.cumsum(noisy(seed, 200), axis=0)
    by_values = ModelConfig(resolutions=(1,), unit="values")
    values = watch(memory_of(1, by_values), ticks(200), smooth, config=by_values)
    np.testing.assert_array_equal(values.units[FEWEST_VALUES:], values.scales[FEWEST_VALUES:])
    moves = watch(memory_of(1, FINE), ticks(200), smooth, config=FINE)
    assert (moves.units[-1] < moves.scales[-1]).all()


@modest
@given(seeds, st.integers(5, 5000), st.sampled_from([-1.0, 1.0]), st.floats(1e3, 1e9))
def test_one_wild_value_is_not_the_new_normal(
    seed: int, n: int, sign: float, scales: float
) -> None:
    """A value 1000 scales away moves level and scale by no more than its clipped share."""
    table = memory_of(1)
    watch(table, ticks(n), noisy(seed, n))
    before = table.features[0, 0, 0].copy()
    wild = before["level"] + sign * scales * before["scale"]
    watch(table, [START_TIME + 60.0 * n], [[wild]], offset=n)
    after = table.features[0, 0, 0]
    share = max(1.0 / (n + 1), 1.0 / LEVEL_STEPS)
    most = WATCHED.level_clip * float(before["scale"])
    moved = sign * (after["level"] - before["level"])
    assert 0.0 < moved <= share * most * (1 + 1e-6)
    grown = float(after["scale"]) - float(before["scale"])
    assert grown <= max(1.0 / n, 1.0 / LEVEL_STEPS) * most * (1 + 1e-6)


def test_the_fewer_scales_a_value_counts_for_the_longer_a_change_takes() -> None:
    """`level_clip` says how soon a shift of ten scales becomes the new normal."""
    values = noisy(0, 3000)
    values[2000:] += 10.0
    levels = []
    for clip in (1.0, 3.0, 6.0):
        config = ModelConfig(resolutions=(1,), level_clip=clip)
        table = memory_of(1, config)
        watch(table, ticks(3000), values, config=config)
        levels.append(float(table.features[0, 0, 0]["level"]))
    assert 0.0 < levels[0] < levels[1] < levels[2] < 10.0


@pytest.mark.parametrize("shift", [3.0, -10.0, 100.0])
@pytest.mark.parametrize("history", [500, 10_000])
def test_a_shift_that_stays_is_followed(shift: float, history: int) -> None:
    """Five memories after its level moved for good, a stream is described around the new one."""
    stays = 5 * int(LEVEL_STEPS)
    values = noisy(1, history + stays)
    values[history:] += shift
    table = memory_of(1, FINE)
    seen = watch(table, ticks(history + stays), values, config=FINE)
    assert abs(table.features[0, 0, 0]["level"] - shift) < 0.1 * abs(shift)
    away = np.abs(seen.inputs[:, 0, 0, 0])
    assert away[-500:].mean() < 0.5 * away[history : history + 50].mean()


@pytest.mark.parametrize("factor", [0.1, 10.0])
def test_a_change_of_spread_that_stays_is_followed(factor: float) -> None:
    """Five memories after a long-lived stream grew calmer or wilder, its scale is the new one."""
    history, stays = 10 * int(LEVEL_STEPS), 5 * int(LEVEL_STEPS)
    values = noisy(1, history + stays)
    table = memory_of(1)
    watch(table, ticks(history), values[:history])
    before = table.features[0, 0, 0]["scale"]
    values[history:] *= factor
    watch(table, ticks(history + stays), values)
    assert table.features[0, 0, 0]["scale"] == pytest.approx(factor * before, rel=0.15)


@modest
@given(seeds)
def test_a_value_that_stays_is_marked(seed: int) -> None:
    """The repeated channel is 1 exactly where a value equals the one before it."""
    values = np.random.default_rng(seed).integers(0, 3, size=(40, 1)).astype(np.float64)
    repeated = watch(memory_of(1), ticks(40), values).inputs[:, 0, 0, REPEATED_CHANNEL]
    np.testing.assert_array_equal(repeated[1:] == 1.0, values[1:, 0] == values[:-1, 0])
    assert set(repeated.tolist()) <= {0.0, 1.0}


def test_the_gap_is_read_against_the_usual_one() -> None:
    """0 for a regular stream, whatever its interval; the log of the ratio for a longer silence."""
    for gap in (0.1, 60.0, 3600.0):
        table = memory_of(1)
        regular = watch(table, ticks(100, gap), noisy(0, 100)).inputs[:, 0, 0, -2]
        np.testing.assert_allclose(regular[1:], 0.0, atol=1e-3)
        silence = table.head["time"][0] + 8.0 * gap
        late = watch(table, [silence], [[0.0]], offset=100).inputs[0, 0, 0, -2]
        assert late == pytest.approx(math.log(8.0), abs=0.1)


def test_the_age_says_how_far_the_scales_can_be_trusted() -> None:
    """It rises from near 0 to 1 over the first GROWN_UP_EVENTS, and stays there."""
    n = 2 * int(GROWN_UP_EVENTS)
    age = watch(memory_of(1), ticks(n), noisy(0, n)).inputs[:, 0, 0, -1]
    assert age[0] < 0.15
    assert (np.diff(age) >= 0.0).all()
    assert (age[: int(GROWN_UP_EVENTS) - 1] < 1.0).all()
    assert (age[int(GROWN_UP_EVENTS) :] == 1.0).all()


def test_what_the_hours_say_of_the_next_value_is_read() -> None:
    """Once the profile of the day helps, each event reads how far it is to the next hour's value.

    Before, its two channels are 0.
    """
    times = ticks(10 * 96, 900.0, start=20_000.25 * DAY)
    values = np.sin(2.0 * np.pi * (times % DAY) / DAY)[:, None] + 0.01 * noisy(0, len(times))
    inputs = watch(memory_of(1, FINE), times, values, config=FINE).inputs[:, 0, 0]
    ahead, says = inputs[:, PROFILE_CHANNELS], inputs[:, PROFILE_CHANNELS + 1]
    assert not ahead[:96].any()
    assert not says[:96].any()
    assert (says[3 * 96 :] == 1.0).all()
    moves = np.diff(values[8 * 96 :, 0])
    assert np.corrcoef(ahead[8 * 96 : -1], moves)[0, 1] > 0.7


scales = st.floats(1e-300, 1e300)


@given(scales, scales, st.integers(0, 10**6))
def test_a_scale_is_between_a_streams_own_and_the_one_it_started_with(
    own: float, start: float, count: int
) -> None:
    """And without a start, it is the stream's own."""
    low, high = sorted((own, start))
    assert low * (1 - 1e-9) <= started(own, start, count) <= high * (1 + 1e-9)
    assert started(own, 0.0, count) == own


def test_a_larger_scale_is_believed_sooner_than_a_smaller_one() -> None:
    """A start is half forgotten after so many steps, and of no account in the end."""
    assert started(9.0, 1.0, int(LARGER_AFTER)) == pytest.approx(5.0)
    assert started(1.0, 9.0, int(SMALLER_AFTER)) == pytest.approx(5.0)
    assert started(1.0, 9.0, 10**6) == pytest.approx(1.0, rel=0.01)


def test_the_first_events_are_read_in_the_scales_that_a_stream_starts_with() -> None:
    """A quiet hour of a stream whose days are wild is told as quiet, and as an hour of its own
    where nothing is known."""
    known = ModelConfig(("a",), resolutions=(1,), unit="values", scales=((5.0, 0.5),))
    quiet = 0.1 * noisy(0, 50)
    for config, low, high in ((known, 4.0, 5.0), (replace(known, scales=()), 0.05, 0.2)):
        seen = watch(memory_of(1, config), ticks(50), quiet, config=config)
        assert low < seen.units[-1, 0, 0] < high
        assert seen.units[-1, 0, 0] == seen.scales[-1, 0, 0]


STEPS = ModelConfig(("a",), resolutions=(20,), views=("near", "jump"))


def jumps(values: F64) -> F64:
    """What is said of the jumps of one feature, in steps of 20 events."""
    return watch(memory_of(1, STEPS), ticks(len(values)), values, config=STEPS).contexts[
        :, 0, JUMPED
    ]


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_one_event_that_is_far_off_is_a_jump_and_the_way_back_is_none(sign: float) -> None:
    """Within a step of twenty, on a wave that swings far wider than it."""
    values = 50.0 * np.sin(np.arange(1000) / 200.0)[:, None] + noisy(0, 1000)
    calm = np.abs(jumps(values))
    values[905] += sign * 20.0
    said = jumps(values)
    assert np.isnan(said[:19]).all()
    assert sign * said[905] > 2.0 * np.nanmax(calm)
    assert abs(said[906]) < np.nanmax(calm)
    np.testing.assert_array_equal(said[:905], jumps(values[:905]))


def test_a_jump_is_in_units_of_usual_ones() -> None:
    """Whatever the unit of the values, and so that 1 is usual."""
    values = noisy(1, 2000)
    said = jumps(values)
    np.testing.assert_allclose(jumps(1e6 * values), said, rtol=1e-5)
    assert 0.5 < np.nanmean(np.abs(said)) < 1.0  # those between the last two count as 0


def test_what_hardly_ever_moves_is_held_against_its_own_moves() -> None:
    """A wave that a coarse sensor tells in whole numbers changes every forty events or so: that is
    usual, eight times as much is not."""
    values = np.round(5.0 * np.sin(np.arange(6000) / 160.0))[:, None]
    assert np.nanmax(np.abs(jumps(values))) < 3.0
    values[4500] += 8.0
    assert jumps(values)[4500] > 5.0


@pytest.mark.parametrize("before", [np.nan, 7.0])
def test_a_feature_that_begins_late_is_held_against_its_own_jumps(before: float) -> None:
    """Not against its silence, nor its standing still."""
    values = noisy(2, 2000)
    values[:1000] = before
    said = np.abs(jumps(values)[1050:])
    assert np.nanmean(said) == pytest.approx(0.7, abs=0.3)


def test_one_wild_jump_is_not_the_usual_one() -> None:
    """And values that no sensor gives fail nothing."""
    values = noisy(3, 400)
    values[300] = 1e100
    values[350] += 30.0
    said = jumps(values)
    assert said[300] == LARGEST_JUMP
    assert said[350] > 5.0
    assert np.isfinite(said[100:]).all()
