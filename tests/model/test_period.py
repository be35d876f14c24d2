import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.period import CYCLES, LONGEST, SHORTEST, autocorrelation, period_of
from tests.model.conftest import F64, noisy

periods = st.integers(SHORTEST + 2, 200)
seeds = st.integers(0, 2**32 - 1)
modest = settings(deadline=None, max_examples=60)


def wave(period: float, n: int, seed: int = 0, noise: float = 0.1) -> F64:
    phase = 2.0 * np.pi * np.arange(n) / period
    return np.sin(phase) + 0.4 * np.sin(2.0 * phase + 1.0) + noise * noisy(seed, n)[:, 0]


@modest
@given(periods, seeds)
def test_a_period_is_found(period: int, seed: int) -> None:
    """The steps of a cycle, to a few percent, and not a multiple of them."""
    found = period_of(wave(period, 12 * period, seed))
    assert found is not None
    assert abs(found - period) <= max(1.0, 0.05 * period)


@modest
@given(periods, seeds, st.floats(-1e3, 1e3), st.floats(-3, 3))
def test_the_unit_and_the_zero_do_not_matter(
    period: int, seed: int, shift: float, log_scale: float
) -> None:
    """Shifted and scaled values have the same period."""
    values = wave(period, 10 * period, seed)
    assert period_of((values + shift) * 10.0**log_scale) == period_of(values)


@pytest.mark.parametrize("seed", range(5))
def test_noise_has_no_period(seed: int) -> None:
    """White noise, and noise that remembers, come round never."""
    white = noisy(seed, 3000)[:, 0]
    assert period_of(white) is None
    smooth = np.convolve(white, 0.9 ** np.arange(60))[: len(white)]
    assert period_of(smooth) is None


@pytest.mark.parametrize("seed", range(40))
def test_what_wanders_has_no_period(seed: int) -> None:
    """It comes round by chance, the more often the slower it wanders."""
    walk, white = np.zeros(5000), noisy(seed, 5000)[:, 0]
    for t in range(1, 5000):
        walk[t] = 0.99 * walk[t - 1] + white[t]
    assert period_of(walk) is None


@pytest.mark.parametrize(
    "values",
    [np.zeros(0), np.ones(1), np.full(500, 7.0), np.arange(500.0), wave(50, 3 * SHORTEST)],
    ids=["none", "one", "constant", "line", "short"],
)
def test_what_does_not_come_round_has_no_period(values: F64) -> None:
    """Nothing, too little, a constant and a straight line have no period, and fail nothing."""
    assert period_of(values) is None


def test_a_period_must_be_seen_several_times() -> None:
    """A cycle that the series holds only twice is not known to be one."""
    assert period_of(wave(400, 2 * 400, noise=0.0)) != 400
    assert period_of(wave(400, (CYCLES + 3) * 400, noise=0.0)) == pytest.approx(400, abs=20)


def test_a_cycle_of_more_steps_than_counted_is_none() -> None:
    """What takes longer than LONGEST steps is no period."""
    assert period_of(wave(2.5 * LONGEST, 15 * LONGEST, noise=0.0)) is None


@modest
@given(st.integers(30, 300), seeds)
def test_autocorrelation_is_1_at_lag_0_and_what_it_says(n: int, seed: int) -> None:
    """Lag by lag, the mean product of the centred values with themselves so much later."""
    values = noisy(seed, n)[:, 0]
    found = autocorrelation(values, 9)
    centred = values - values.mean()
    products = [np.mean(centred[lag:] * centred[: n - lag]) for lag in range(10)]
    np.testing.assert_allclose(found, np.array(products) / products[0], rtol=0, atol=1e-9)
