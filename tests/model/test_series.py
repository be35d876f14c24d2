import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.config import ModelConfig
from model.series import WARM_UP, Series, describe, fingerprint
from tests.model.conftest import memory_of, noisy, ticks, watch

HORIZONS = (1, 4)
ALONE = ModelConfig(resolutions=(1,), horizons=HORIZONS)
JOINT = ModelConfig(("a", "b"), resolutions=(1,), horizons=HORIZONS, unit="values")

seeds = st.integers(0, 2**32 - 1)
modest = settings(deadline=None, max_examples=30)


def series_of(seed: int, n: int, missing: float = 0.0) -> Series:
    values = noisy(seed, n, 2)
    values[np.random.default_rng(seed).random(values.shape) < missing] = np.nan
    return Series("one", ticks(n), values)


@modest
@given(seeds)
def test_what_is_trained_on_is_what_serving_reads(seed: int) -> None:
    """The inputs are those that the same events give when they are served."""
    one = series_of(seed, 120, missing=0.3)
    (joint,) = describe(JOINT, one)
    seen = watch(memory_of(2, JOINT), one.times, one.values, config=JOINT)
    came = ~np.isnan(one.values).all(axis=1)
    np.testing.assert_array_equal(joint.inputs, seen.inputs[came, 0, 0])


@pytest.mark.parametrize("config", [ALONE, JOINT], ids=["alone", "joint"])
@modest
@given(seeds)
def test_targets_are_how_far_a_value_moves(config: ModelConfig, seed: int) -> None:
    """In the unit of its event: what the network says of a horizon is the move until then."""
    n, warm_up = 100, 25
    one = series_of(seed, n)
    parts = describe(config, one)
    assert len(parts) == (1 if config.joint else 2)
    targets = np.concatenate([part.targets for part in parts], axis=1)
    weights = np.concatenate([part.weights for part in parts], axis=1)
    units = watch(memory_of(2, config), one.times, one.values, config=config).units[:, 0]
    for j, h in enumerate(HORIZONS, 1):
        moved = (one.values[h:] - one.values[:-h]) / np.maximum(units[:-h], 1e-30)
        at = slice(warm_up, n - h)
        np.testing.assert_allclose(targets[at, :, j], moved[warm_up:], rtol=1e-5)
        assert (weights[at, :, j] == 1.0).all()
        assert not weights[n - h :, :, j].any()
    assert not weights[:warm_up].any()


@modest
@given(seeds)
def test_what_is_missing_is_not_learned(seed: int) -> None:
    """A target has weight only where the value read, and the one it moves to, are there."""
    one = series_of(seed, 200, missing=0.2)
    (joint,) = describe(JOINT, one)
    assert np.isfinite(joint.targets).all()
    present = ~np.isnan(one.values[~np.isnan(one.values).all(axis=1)])
    np.testing.assert_array_equal(joint.weights[WARM_UP:, :, 0] > 0.0, present[WARM_UP:])
    later = present[WARM_UP:-1] & present[WARM_UP + 1 :]
    np.testing.assert_array_equal(joint.weights[WARM_UP:-1, :, 1] > 0.0, later)


@pytest.mark.parametrize("n", [0, 1, 3, 20, 160, 400])
def test_first_events_teach_nothing(n: int) -> None:
    """A series is described whole; its first events, a quarter of a short one, have no weight."""
    (joint,) = describe(JOINT, series_of(0, n))
    assert len(joint.inputs) == len(joint.targets) == n
    first = min(WARM_UP, n // 4)
    assert not joint.weights[:first].any()
    assert joint.weights[first:, :, 0].all()


def test_a_coarser_network_is_trained_on_its_steps() -> None:
    """One event of the description for each step at the finest resolution."""
    config = ModelConfig(("a", "b"), resolutions=(5,), horizons=HORIZONS)
    (joint,) = describe(config, series_of(0, 203))
    assert len(joint.inputs) == 40


def test_a_streams_fingerprint_is_of_its_names_times_and_values() -> None:
    """Any change to the training data changes the data's fingerprint."""
    one = series_of(0, 50)
    values = one.values.copy()
    values[7, 1] += 1e-9
    others = [
        Series("another", one.times, one.values),
        Series(one.name, one.times + 1.0, one.values),
        Series(one.name, one.times, values),
    ]
    digests = {fingerprint([each]) for each in [one, *others, series_of(0, 50)]}
    assert len(digests) == 4
