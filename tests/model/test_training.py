import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from model.artifact import DESCRIPTION, Artifact
from model.config import EVENT_CHANNELS, TARGETS, VALUE_CHANNELS, ModelConfig
from model.errors import ModelError, TrainingDataError
from model.export import load_network
from model.series import Described, Series, describe, fingerprint
from model.trainer import FEWEST_EVENTS, START_COUNT, train_artifact
from model.training import Lanes, TrainingSettings, evaluate, fit, hide, lay_out
from tests.model.conftest import network_of, ticks

CONFIG = ModelConfig(("a", "b"), hidden=8, bottleneck=4, decoder_hidden=4)
SETTINGS = TrainingSettings(epochs=4, chunk=50, lanes=8, learning_rate=1e-2)


def periodic(seed: int, n: int) -> Series:
    """Two features of period 12 with a little noise; the second in another unit."""
    random = np.random.default_rng(seed)
    wave = np.sin(2.0 * np.pi * (np.arange(n) + random.integers(12)) / 12.0)
    values = np.stack([wave, 500.0 - 100.0 * wave], axis=1)
    values += random.normal(0.0, 0.05, (n, 2)) * [1.0, 100.0]
    return Series(f"periodic-{seed}", ticks(n), values)


def lanes(seeds: range) -> Lanes:
    return lay_out([part for seed in seeds for part in describe(CONFIG, periodic(seed, 400))], 200)


def fitted_weights(settings_: TrainingSettings) -> dict[str, Tensor]:
    network = network_of(CONFIG)
    fit(network, lanes(range(3)), lanes(range(3, 4)), settings_)
    return network.state_dict()


def test_fit_learns_a_periodic_series() -> None:
    """The loss on series that it was not trained on goes down, by more than half a nat."""
    network = network_of(CONFIG)
    held_out = lanes(range(4, 6))
    before = evaluate(network, held_out, SETTINGS.chunk)
    fit(network, lanes(range(4)), held_out, replace(SETTINGS, epochs=12, learning_rate=3e-2))
    assert evaluate(network, held_out, SETTINGS.chunk) < before - 0.5


def test_fit_keeps_the_weights_that_were_best_on_what_was_held_out() -> None:
    """The network ends with the loss that `fit` reports, the least of all epochs."""
    network = network_of(CONFIG)
    train = lanes(range(3))
    contrary = Lanes(train.inputs, -train.targets, train.weights)  # learning makes it worse
    seen: list[str] = []
    fitted = fit(network, train, contrary, replace(SETTINGS, learning_rate=5e-2), seen.append)
    losses = [float(line.rpartition(" ")[2]) for line in seen]
    assert losses[-1] > min(losses) + 0.01
    assert fitted.held_out_loss == pytest.approx(min(losses), abs=1e-3)
    assert evaluate(network, contrary, SETTINGS.chunk) == pytest.approx(fitted.held_out_loss)


def test_fit_stops_when_it_gets_no_better() -> None:
    """Training ends after `patience` epochs without a better held-out loss."""
    still = replace(SETTINGS, learning_rate=0.0, epochs=20, patience=2)
    network = network_of(CONFIG)
    assert fit(network, lanes(range(2)), lanes(range(2, 3)), still).epochs == 3


def test_the_same_seed_gives_the_same_weights() -> None:
    """Training twice from the same seed is the same to the bit; another seed is another."""
    first, again = fitted_weights(SETTINGS), fitted_weights(SETTINGS)
    other = fitted_weights(replace(SETTINGS, seed=1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_what_is_padded_is_not_trained_on() -> None:
    """Values under weight 0 do not change the loss."""
    network = network_of(CONFIG)
    padded = lay_out(describe(CONFIG, periodic(0, 250)), 200)
    other = copy.deepcopy(padded)
    other.targets[padded.weights == 0.0] += 5.0
    assert evaluate(network, other, 50) == evaluate(network, padded, 50)
    other.targets[padded.weights > 0.0] += 5.0
    assert evaluate(network, other, 50) != evaluate(network, padded, 50)


def test_the_loss_does_not_depend_on_the_chunks() -> None:
    """The memory runs on across chunks: evaluating in small or large ones is the same."""
    network = network_of(CONFIG)
    some = lanes(range(2))
    assert evaluate(network, some, 7) == pytest.approx(evaluate(network, some, 200), abs=1e-5)


def described(random: np.random.Generator, n: int) -> Described:
    """n described events of two features, none of whose numbers is 0."""
    shape = (n, 2, TARGETS)
    return Described(
        random.uniform(1, 2, (n, CONFIG.inputs)).astype(np.float32),
        random.uniform(1, 2, shape).astype(np.float32),
        random.integers(1, 5, shape).astype(np.float32),
    )


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=6), st.integers(1, 60))
def test_laying_out_loses_no_event(sizes: list[int], length: int) -> None:
    """Every event is in one stretch, in order; what pads the last ones has no weight."""
    random = np.random.default_rng(len(sizes))
    parts = [described(random, size) for size in sizes]
    laid = lay_out(parts, length)
    count = sum(-(-size // length) for size in sizes)
    assert laid.inputs.shape == (length, count, CONFIG.inputs)
    assert laid.targets.shape == laid.weights.shape == (length, count, 2, TARGETS)
    assert float(laid.weights.sum()) == sum(float(part.weights.sum()) for part in parts)
    present = (laid.weights > 0.0).all(dim=(2, 3)).T  # (lanes, T)
    inputs = np.concatenate([part.inputs for part in parts])
    np.testing.assert_array_equal(laid.inputs.transpose(0, 1)[present].numpy(), inputs)
    targets = np.concatenate([part.targets for part in parts])
    np.testing.assert_array_equal(laid.targets.transpose(0, 1)[present].numpy(), targets)
    assert not laid.inputs.transpose(0, 1)[~present].any()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.sampled_from([0.0, 0.02, 0.3, 1.0]))
def test_hiding_takes_whole_features_and_nothing_else(seed: int, width: int, chance: float) -> None:
    """A hidden feature reads as missing, its mask included; all other channels stand."""
    inputs = 1.0 + torch.rand(60, 3, width * VALUE_CHANNELS + EVENT_CHANNELS)
    before = inputs.clone()
    hidden = hide(inputs, width, chance, torch.Generator().manual_seed(seed))
    assert torch.equal(inputs, before)
    values = hidden[:, :, : width * VALUE_CHANNELS].reshape(60, 3, width, VALUE_CHANNELS)
    gone = (values == 0.0).all(dim=3)
    assert torch.equal((values == 0.0).any(dim=3), gone)
    assert torch.equal(hidden[:, :, -EVENT_CHANNELS:], before[:, :, -EVENT_CHANNELS:])
    kept = before[:, :, : width * VALUE_CHANNELS].reshape(values.shape)
    assert torch.equal(values[~gone], kept[~gone])
    if chance in {0.0, 1.0}:
        assert float(gone.float().mean()) == chance


def test_hiding_is_seeded_and_hides_runs() -> None:
    """The same seed hides the same events, in runs that the chance starts."""
    inputs = torch.ones(2000, 4, CONFIG.inputs)
    first, again = (hide(inputs, 2, 0.02, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, again)
    gone = first[:, :, 0] == 0.0
    starts = gone[1:] & ~gone[:-1]
    assert 0.04 < float(gone.float().mean()) < 0.14
    assert 2.0 < float(gone.sum()) / float(starts.sum()) < 9.0


@pytest.fixture(scope="module")
def series() -> list[Series]:
    return [periodic(0, 400), periodic(1, 300)]


@pytest.fixture(scope="module")
def trained(series: list[Series], tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("trained") / "artifact"
    return train_artifact(series, ("a", "b"), folder, SETTINGS, hidden=8)


def test_training_gives_an_artifact_of_the_features(trained: Artifact) -> None:
    """The artifact reads the named features jointly, and loads from its folder."""
    assert trained.config.features == ("a", "b")
    assert trained.config.joint
    assert Artifact(trained.folder).fingerprint == trained.fingerprint


def test_an_artifact_tells_what_it_was_trained_on(trained: Artifact, series: list[Series]) -> None:
    """The record has the data's fingerprint, its size, the seed, the losses, the parameters."""
    text = (trained.folder / DESCRIPTION).read_text(encoding="utf-8")
    record = json.loads(text)["training"]
    assert record["fingerprint"] == fingerprint(series)
    assert (record["series"], record["events"], record["seed"]) == (2, 700, SETTINGS.seed)
    assert 1 <= record["epochs"] <= SETTINGS.epochs
    assert np.isfinite([record["loss"], record["held_out_loss"]]).all()
    weights = load_network(trained).state_dict().values()
    assert record["parameters"] == sum(weight.numel() for weight in weights)


def test_a_new_stream_starts_in_the_training_datas_units(trained: Artifact) -> None:
    """Level and scale of each feature are those of the data, not of another feature."""
    starts = trained.description.starts
    assert abs(starts["a"].level) < 0.2
    assert 0.4 < starts["a"].scale < 0.9
    assert abs(starts["b"].level - 500.0) < 20.0
    assert 40.0 < starts["b"].scale < 90.0
    assert {start.count for start in starts.values()} == {START_COUNT}


def test_an_artifact_knows_how_surprising_normal_data_are(trained: Artifact) -> None:
    """Each view's calibration are rising bytes, and not those of an uncalibrated network."""
    for maxima in trained.description.calibration.values():
        assert maxima == sorted(maxima)
        assert 0 < maxima[-1] <= 254


def test_a_streams_fingerprint_is_of_its_names_times_and_values() -> None:
    """Any change to the training data changes the data's fingerprint."""
    one = periodic(0, 50)
    values = one.values.copy()
    values[7, 1] += 1e-9
    others = [
        Series("another", one.times, one.values),
        Series(one.name, one.times + 1.0, one.values),
        Series(one.name, one.times, values),
    ]
    digests = {fingerprint([each]) for each in [one, *others, periodic(0, 50)]}
    assert len(digests) == 4


@pytest.mark.parametrize("longest", [None, 0, 1, FEWEST_EVENTS - 1])
def test_too_little_data_is_refused(longest: int | None, tmp_path: Path) -> None:
    """The message says how long the longest stream is, what is needed, and what to do."""
    short = [] if longest is None else [periodic(0, longest // 2), periodic(1, longest)]
    with pytest.raises(TrainingDataError) as refused:
        train_artifact(short, ("a", "b"), tmp_path / "artifact", SETTINGS)
    message = str(refused.value)
    assert f"the longest stream has {longest or 0} events" in message
    assert f"needs {FEWEST_EVENTS}" in message
    assert "give more data, or serve with the base artifact" in message
    assert not (tmp_path / "artifact").exists()
    assert isinstance(refused.value, ModelError)
