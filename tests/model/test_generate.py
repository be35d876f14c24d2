import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.generate import generate
from model.series import Series

seeds = st.integers(0, 2**32 - 1)


def signal(seed: int, steps: int) -> Series:
    """Extreme parts may overflow on the way, as `model.base` allows; the values are finite."""
    with np.errstate(over="ignore"):
        return generate(seed, steps)


@settings(deadline=None, max_examples=30)
@given(seeds)
def test_a_seed_is_a_series(seed: int) -> None:
    """The same seed gives the same times and values, bit by bit."""
    first, again = signal(seed, 300), signal(seed, 300)
    assert first.name == again.name
    assert first.times.tobytes() == again.times.tobytes()
    assert first.values.tobytes() == again.values.tobytes()


def test_another_seed_is_another_series() -> None:
    """No two of a hundred seeds give the same values."""
    assert len({signal(seed, 50).values.tobytes() for seed in range(100)}) == 100


@pytest.mark.parametrize("steps", [1, 2, 50, 2400])
def test_times_rise_and_values_are_finite(steps: int) -> None:
    """Each of `steps` events has one finite value and comes after the one before."""
    for seed in range(60):
        series = signal(seed, steps)
        assert len(series) == steps
        assert series.times.shape == (steps,)
        assert series.values.shape == (steps, 1)
        assert (np.diff(series.times) > 0.0).all()
        assert np.isfinite(series.times).all()
        assert np.isfinite(series.values).all()


def test_the_signals_are_of_many_kinds() -> None:
    """Among them are regular and irregular ones, with and without values that repeat."""
    series = [signal(seed, 300) for seed in range(100)]
    regular = [bool(np.ptp(np.diff(one.times)) < 1e-3) for one in series]
    repeating = [bool((np.diff(one.values[:, 0]) == 0.0).mean() > 0.1) for one in series]
    assert 20 <= sum(regular) <= 95
    assert 5 <= sum(repeating) <= 80
