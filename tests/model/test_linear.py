import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.autoencoder import split
from model.config import ModelConfig
from model.linear import SMALLEST_SPREAD, Mean, fit_linear, fit_mean
from model.series import Described, Series, describe
from tests.model.conftest import F64, memory_of, noisy, ticks, watch

CONFIG = ModelConfig(("a", "b"), "linear", horizons=(1, 3))
TARGETS = CONFIG.width * CONFIG.targets

seeds = st.integers(0, 2**32 - 1)
modest = settings(deadline=None, max_examples=20)


def linear_case(seed: int, n: int, noise: float) -> tuple[Described, F64, F64]:
    """Targets that are a linear map of the inputs, and noise of that deviation; map and offset."""
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(n, CONFIG.inputs))
    weights = random.normal(0.0, 0.3, (CONFIG.inputs, TARGETS))
    offset = random.normal(size=TARGETS)
    targets = inputs @ weights + offset + noise * random.normal(size=(n, TARGETS))
    shaped = targets.reshape(n, CONFIG.width, CONFIG.targets).astype(np.float32)
    return Described(inputs.astype(np.float32), shaped, np.ones_like(shaped)), weights, offset


def told(part: Described, by: Described) -> tuple[torch.Tensor, torch.Tensor]:
    """Locations and spreads (n, W, targets) that a map fitted to `by` gives for `part`."""
    network = fit_linear(CONFIG, [by])
    with torch.no_grad():
        outputs, _ = network.step(torch.from_numpy(part.inputs), network.fresh_memory(1))
    location, log_spread = split(CONFIG, outputs)
    return location, torch.exp(log_spread)


@modest
@given(seeds)
def test_a_linear_relation_is_recovered(seed: int) -> None:
    """Where targets are a linear map of the inputs, the map is found, and tells new events."""
    part, _, _ = linear_case(seed, 800, noise=0.0)
    first, last = (
        Described(part.inputs[at], part.targets[at], part.weights[at])
        for at in (slice(0, 600), slice(600, 800))
    )
    location, _ = told(last, first)
    np.testing.assert_allclose(location.numpy(), last.targets, rtol=0, atol=0.05)


@modest
@given(seeds, st.floats(0.2, 1.0))
def test_the_spread_is_the_root_mean_square_of_the_errors(seed: int, noise: float) -> None:
    """What the map cannot tell is its spread, the same for every event."""
    part, _, _ = linear_case(seed, 800, noise)
    location, spread = told(part, part)
    errors = part.targets.clip(-8.0, 8.0) - location.numpy()
    rms = np.sqrt((errors**2).mean(axis=0))
    np.testing.assert_allclose(spread.numpy(), np.broadcast_to(rms, errors.shape), rtol=1e-3)
    assert rms == pytest.approx(noise, rel=0.15)


def test_a_perfect_map_is_not_certain() -> None:
    """No spread is below SMALLEST_SPREAD: a new value may always be a little off."""
    part, _, _ = linear_case(0, 800, noise=0.0)
    _, spread = told(part, part)
    assert spread.numpy() == pytest.approx(SMALLEST_SPREAD)


@modest
@given(seeds)
def test_what_is_missing_is_not_fitted(seed: int) -> None:
    """Targets of weight 0 do not change the map, whatever they hold and wherever they are."""
    part, _, _ = linear_case(seed, 400, noise=0.5)
    gone = np.random.default_rng(seed).random(part.weights.shape) < 0.3
    part.weights[gone] = 0.0
    other = Described(part.inputs, np.where(gone, 5.0, part.targets), part.weights)
    for one, same in zip(told(part, part), told(part, other), strict=True):
        assert torch.equal(one, same)


def test_each_target_is_fitted_to_its_own_events() -> None:
    """A target is fitted where it is there, though others of the same event are missing."""
    part, _, _ = linear_case(3, 2000, noise=0.0)
    part.weights[:1000, 0] = 0.0
    part.weights[1000:, 1] = 0.0
    location, _ = told(part, part)
    np.testing.assert_allclose(location.numpy(), part.targets, rtol=0, atol=0.05)


def test_a_target_that_never_came_is_told_as_nothing() -> None:
    """With no value to learn from, the location is 0 and the spread one unit."""
    part, _, _ = linear_case(0, 300, noise=0.1)
    part.weights[:, 1, 2] = 0.0
    location, spread = told(part, part)
    assert not location[:, 1, 2].any()
    assert (spread[:, 1, 2] == 1.0).all()


def test_a_few_wild_values_do_not_steer_the_map() -> None:
    """Ten targets of a million units among a thousand hardly move what is told of the others."""
    part, weights, offset = linear_case(1, 1000, noise=0.1)
    part.targets[::100] = 1e6
    location, _ = told(part, part)
    truth = (part.inputs @ weights + offset).reshape(location.shape)
    assert np.abs(location.numpy() - truth).mean() < 0.3


def test_a_linear_map_remembers_nothing() -> None:
    """Its memory has width 0 before and after a step."""
    part, _, _ = linear_case(2, 100, noise=0.1)
    network = fit_linear(CONFIG, [part])
    memory = network.fresh_memory(100)
    assert memory.shape == (100, CONFIG.memory) == (100, 0)
    outputs, after = network.step(torch.from_numpy(part.inputs), memory)
    assert outputs.shape == (100, CONFIG.outputs)
    assert after.shape == (100, 0)


@modest
@given(seeds)
def test_the_mean_expects_the_streams_level_again(seed: int) -> None:
    """Every hidden value is expected to be at the level, whatever came, in one unit of spread."""
    config = ModelConfig(("a", "b"), "mean", resolutions=(1,), horizons=(1, 3), unit="values")
    table = memory_of(2, config)
    values = noisy(seed, 100, 2)
    seen = watch(table, ticks(99), values[:99], config=config)
    levels = table.features[0, 0]["level"].copy()
    last = watch(table, ticks(100)[99:], values[99:], offset=99, config=config)
    network = Mean(config)
    inputs = torch.from_numpy(last.inputs[0, 0])
    location, log_spread = split(config, network.step(inputs, network.fresh_memory(1))[0])
    expected = values[99, :, None] + seen.scales[98, 0, :, None] * location[0, :, 1:].numpy()
    np.testing.assert_allclose(expected, np.repeat(levels[:, None], 2, axis=1), atol=1e-3)
    assert not log_spread.any()


MEANS = ModelConfig(("a",), "mean", resolutions=(1,), horizons=(1, 3), unit="values")


def test_running_means_are_those_that_the_last_value_has_joined() -> None:
    """What is expected is the mean that the row holds once it has read the value."""
    table = memory_of(1, MEANS)
    values = noisy(1, 100, 1)
    seen = watch(table, ticks(100), values, config=MEANS)
    network = Mean(MEANS)
    for share, name in (([0.0, 1.0, 0.0], "slow"), ([0.0, 0.0, 1.0], "fast")):
        network.shares[:] = torch.tensor(share)
        outputs, _ = network.step(torch.from_numpy(seen.inputs[99, 0]), network.fresh_memory(1))
        moved = split(MEANS, outputs)[0][0, 0, 1].item()
        expected = values[99, 0] + seen.scales[98, 0, 0] * moved
        assert expected == pytest.approx(float(table.features[0, 0, 0][name]), abs=1e-3)


@pytest.mark.parametrize(
    ("memory", "shares"), [(0.0, [1.0, 0.0, 0.0]), (1.0, [0.0, 0.0, 1.0]), (0.5, [0.5, 0.0, 0.5])]
)
def test_the_average_that_is_nearest_to_the_next_values_is_taken(
    memory: float, shares: list[float]
) -> None:
    """Of noise the level, of a walk the fast mean, of what drifts back something between."""
    random = np.random.default_rng(2)
    values = np.zeros((3000, 1))
    for t in range(1, 3000):
        values[t] = memory * values[t - 1] + random.normal()
    described = describe(MEANS, Series("s", ticks(3000), values))
    assert fit_mean(MEANS, described).shares.tolist() == [shares]


@pytest.mark.parametrize("noise", [0.5, 20.0])
def test_the_spread_of_the_mean_is_the_size_of_its_errors(noise: float) -> None:
    """A root mean square in scales of values, whatever the unit: 1.25 for normal noise."""
    values = 7.0 + noise * np.random.default_rng(3).normal(size=(3000, 1))
    mean = fit_mean(MEANS, describe(MEANS, Series("s", ticks(3000), values)))
    np.testing.assert_allclose(mean.log_spreads[:, 1:].exp(), 1.25, rtol=0.05)
