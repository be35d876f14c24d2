from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import model.choice
from model.choice import (
    COPIES,
    EPISODE,
    LONGEST,
    ONE_EVENT,
    SHARE,
    UNDISTURBED,
    chosen,
    disturb,
    disturbances_found,
)
from model.config import Cell, ModelConfig
from model.linear import Linear, fit_linear
from model.rehearsal import InTorch
from model.series import Series, describe
from tests.model.conftest import F64, network_of, noisy, ticks

CONFIG = ModelConfig(
    ("a", "b"), "linear", resolutions=(1,), horizons=(1, 2), views=("near", "away")
)

seeds = st.integers(0, 2**32 - 1)
modest = settings(deadline=None, max_examples=40)


def told_apart(values: F64, other: F64) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """(T,) whether any feature differs."""
    return np.any((values != other) & ~(np.isnan(values) & np.isnan(other)), axis=1)


@modest
@given(seeds, st.integers(1, 1500), st.integers(1, 40))
def test_what_is_disturbed_is_marked_and_nothing_else(seed: int, n: int, features: int) -> None:
    """Wherever a value is another one there is a mark; the start is left as it was."""
    values = noisy(seed, n, features)
    before, first = values.copy(), n // 3
    disturbed, where = disturb(values, first, EPISODE, np.random.default_rng(seed))
    np.testing.assert_array_equal(values, before)
    changed = told_apart(values, disturbed)
    assert not (changed & ~where).any()
    assert not where[:first].any()


@modest
@given(seeds)
def test_about_a_tenth_is_disturbed(seed: int) -> None:
    """In episodes, nearly all of whose events have another value."""
    values = noisy(seed, 3000, 3)
    disturbed, where = disturb(values, 1000, EPISODE, np.random.default_rng(seed))
    share = where[1000:].mean()
    assert share >= SHARE
    assert where.sum() < SHARE * 3000 + EPISODE[1]
    assert told_apart(values, disturbed)[where].mean() > 0.7


@modest
@given(seeds)
def test_the_same_seed_disturbs_alike(seed: int) -> None:
    """Bit by bit; another seed disturbs otherwise."""
    values = noisy(0, 400, 2)
    first, again, other = (
        disturb(values, 100, EPISODE, np.random.default_rng(s)) for s in (seed, seed, seed + 1)
    )
    assert first[0].tobytes() == again[0].tobytes()
    assert first[1].tobytes() == again[1].tobytes()
    assert first[0].tobytes() != other[0].tobytes()


def test_single_events_are_moved_away() -> None:
    """Where one event is a disturbance, it is another value each time."""
    values = noisy(3, 1000, 2)
    values[::3] = np.nan
    disturbed, where = disturb(values, 300, ONE_EVENT, np.random.default_rng(3))
    np.testing.assert_array_equal(told_apart(values, disturbed), where)
    assert where.sum() > 30


def test_disturbed_values_stay_finite_and_missing_ones_missing() -> None:
    """No disturbance makes a value out of nothing but by pasting one, nor an infinite one."""
    values = noisy(1, 1000, 4)
    values[np.random.default_rng(1).random(values.shape) < 0.2] = np.nan
    disturbed, _ = disturb(values, 300, EPISODE, np.random.default_rng(2))
    assert not np.isinf(disturbed).any()
    assert np.isnan(disturbed).mean() == pytest.approx(0.2, abs=0.05)


def swinging(seed: int, n: int = 700) -> Series:
    """Two features that swing fast, and together: easy to tell for who knows how."""
    wave = np.sin(2.0 * np.pi * np.arange(n) / 6.0 + seed)
    values = np.stack([wave, 5.0 - 2.0 * wave], axis=1) + 0.05 * noisy(seed, n, 2)
    return Series(f"swinging-{seed}", ticks(n), values)


def test_a_network_that_predicts_is_preferred_to_one_that_does_not() -> None:
    """The map that was fitted tells more of the disturbances than one of random weights."""
    series = [swinging(seed) for seed in range(2)]
    fitted = fit_linear(CONFIG, [part for one in series for part in describe(CONFIG, one)])
    torch.manual_seed(0)
    ignorant = Linear(CONFIG)
    found, missed = (
        disturbances_found(InTorch(network), series, 0.0, 0) for network in (fitted, ignorant)
    )
    assert 0.0 < missed < found - 0.1 < 1.0


def test_what_is_found_is_the_same_twice() -> None:
    """The choice is seeded: the same network, series and seed give the same figure."""
    series = [swinging(0)]
    network = network_of(ModelConfig(("a", "b"), hidden=6, bottleneck=4, decoder_hidden=4))
    first, again, other = (
        disturbances_found(InTorch(network), series, 0.0, seed) for seed in (0, 0, 1)
    )
    assert first == again != other


@pytest.mark.parametrize(("events", "fitted_to"), [(700, 0.85), (700, 0.1), (9000, 0.85)])
def test_only_what_the_network_was_not_fitted_to_is_disturbed(
    events: int, fitted_to: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor the first events, on which the scales settle."""
    started = []

    def watched(values: F64, first: int, *rest: Any) -> Any:
        started.append(events - len(values) + first)
        return disturb(values, first, *rest)

    monkeypatch.setattr(model.choice, "disturb", watched)
    disturbances_found(InTorch(Linear(CONFIG)), [swinging(0, events)], fitted_to, 0)
    scored_from = max(0, events - LONGEST)
    settled = scored_from + int(UNDISTURBED * (events - scored_from))
    assert started == [max(int(fitted_to * events), settled)] * COPIES


@pytest.mark.parametrize(
    ("found", "cell"),
    [
        ({"mean": 0.40, "linear": 0.41, "lstm": 0.41}, "mean"),
        ({"mean": 0.40, "linear": 0.43, "lstm": 0.44}, "linear"),
        ({"mean": 0.40, "linear": 0.41, "lstm": 0.43}, "lstm"),
        ({"mean": 0.40, "linear": 0.50, "lstm": 0.30}, "linear"),
        ({"lstm": 0.0}, "lstm"),
    ],
)
def test_of_two_that_tell_about_as_well_the_simpler_serves(
    found: dict[Cell, float], cell: Cell
) -> None:
    """A less simple network must be clearly better, by a twentieth."""
    assert chosen(found) == cell
