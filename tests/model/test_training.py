import copy
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import model.training
from model.artifact import DESCRIPTION, GRAPH, WEIGHTS, Artifact
from model.autoencoder import Autoencoder
from model.choice import chosen
from model.config import EVENT_CHANNELS, VALUE_CHANNELS, Cell, ModelConfig
from model.errors import ModelError, TrainingDataError
from model.row import RowTable
from model.scorer import Scored, Scorer, directions_of
from model.series import Described, Series, describe, fingerprint
from model.trainer import CANDIDATES, FEWEST_EVENTS, MOST_FEATURES, shape_of, train_artifact
from model.training import (
    PLACE_CHANNELS,
    Lanes,
    Stretches,
    TrainingSettings,
    disturbed,
    evaluate,
    fit,
    hide,
    loss_of,
    side_by_side,
)
from tests.model.conftest import network_of, noisy, ticks

CONFIG = ModelConfig(
    ("a", "b"), hidden=8, bottleneck=4, decoder_hidden=4, resolutions=(1,), horizons=(1, 2)
)
SETTINGS = TrainingSettings(updates=40, chunk=50, chunks=2, lanes=8, learning_rate=1e-2)


def periodic(seed: int, n: int) -> Series:
    """Two features of period 12 with a little noise; the second in another unit."""
    random = np.random.default_rng(seed)
    wave = np.sin(2.0 * np.pi * (np.arange(n) + random.integers(12)) / 12.0)
    values = np.stack([wave, 500.0 - 100.0 * wave], axis=1)
    values += random.normal(0.0, 0.05, (n, 2)) * [1.0, 100.0]
    return Series(f"periodic-{seed}", ticks(n), values)


def parts_of(seeds: range) -> list[Described]:
    return [part for seed in seeds for part in describe(CONFIG, periodic(seed, 400))]


def lanes(seeds: range) -> Lanes:
    return side_by_side(parts_of(seeds))


def fitted_weights(settings_: TrainingSettings) -> dict[str, Tensor]:
    network = network_of(CONFIG)
    fit(network, parts_of(range(3)), parts_of(range(3, 4)), settings_)
    return network.state_dict()


def test_fit_learns_a_periodic_series() -> None:
    """The loss on series that it was not trained on goes down, by more than half a nat."""
    network = network_of(CONFIG)
    held_out = parts_of(range(4, 6))
    before = evaluate(network, [side_by_side(held_out)], SETTINGS.chunk)
    longer = replace(SETTINGS, updates=150, learning_rate=3e-2)
    fitted = fit(network, parts_of(range(4)), held_out, longer)
    after = evaluate(network, [side_by_side(held_out)], SETTINGS.chunk)
    assert after < before - 0.5
    assert after == pytest.approx(fitted.held_out_loss)


def test_fit_keeps_the_weights_that_were_best_on_what_was_held_out() -> None:
    """The network ends with the loss that `fit` reports, the least of all checks."""
    network = network_of(CONFIG)
    train = parts_of(range(3))
    contrary = [Described(p.inputs, -p.targets, p.weights) for p in train]  # learning: worse
    told: list[tuple[int, str]] = []
    longer = replace(SETTINGS, updates=80, checks=20, patience=20, learning_rate=5e-2)
    fitted = fit(network, train, contrary, longer, lambda *said: told.append(said))
    losses = [float(re.findall(r"[-.\d]+", text)[-1]) for _, text in told]
    assert sum(updates for updates, _ in told) == fitted.updates == 80
    assert losses[-1] > min(losses) + 0.01
    assert fitted.held_out_loss == pytest.approx(min(losses), abs=1e-3)
    held = evaluate(network, [side_by_side(contrary)], SETTINGS.chunk)
    assert held == pytest.approx(fitted.held_out_loss)


def test_fit_stops_when_it_gets_no_better() -> None:
    """Training ends after `patience` checks without a better held-out loss."""
    still = replace(SETTINGS, learning_rate=0.0, updates=400, checks=40, patience=2)
    fitted = fit(network_of(CONFIG), parts_of(range(2)), parts_of(range(2, 3)), still)
    assert fitted.updates == 3 * 400 // 40


@pytest.mark.parametrize("updates", [1, 7, 40])
def test_fit_makes_about_as_many_updates_as_asked(updates: int) -> None:
    """One more stretch at most, whose chunks all count; the losses are numbers."""
    asked = replace(SETTINGS, updates=updates, patience=100)
    fitted = fit(network_of(CONFIG), parts_of(range(2)), parts_of(range(2, 3)), asked)
    assert updates <= fitted.updates < updates + SETTINGS.chunks
    assert np.isfinite([fitted.loss, fitted.held_out_loss]).all()


def test_the_same_seed_gives_the_same_weights() -> None:
    """Training twice from the same seed is the same to the bit; another seed is another."""
    first, again = fitted_weights(SETTINGS), fitted_weights(SETTINGS)
    other = fitted_weights(replace(SETTINGS, seed=1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_what_is_padded_is_not_trained_on() -> None:
    """Values under weight 0 do not change the loss."""
    network = network_of(CONFIG)
    padded = side_by_side(describe(CONFIG, periodic(0, 250)) + describe(CONFIG, periodic(1, 150)))
    other = copy.deepcopy(padded)
    other.targets[padded.weights == 0.0] += 5.0
    assert evaluate(network, [other], 50) == evaluate(network, [padded], 50)
    other.targets[padded.weights > 0.0] += 5.0
    assert evaluate(network, [other], 50) != evaluate(network, [padded], 50)


def test_the_loss_does_not_depend_on_the_chunks() -> None:
    """The memory runs on across chunks: evaluating in small or large ones is the same."""
    network = network_of(CONFIG)
    some = lanes(range(2))
    assert evaluate(network, [some], 7) == pytest.approx(evaluate(network, [some], 200), abs=1e-5)


def described(random: np.random.Generator, n: int) -> Described:
    """n described events of two features, none of whose numbers is 0; the first input counts."""
    shape = (n, 2, CONFIG.targets)
    inputs = random.uniform(1, 2, (n, CONFIG.inputs))
    inputs[:, 0] = 1.0 + np.arange(n)
    return Described(
        inputs.astype(np.float32),
        random.uniform(1, 2, shape).astype(np.float32),
        random.integers(1, 5, shape).astype(np.float32),
    )


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=6))
def test_side_by_side_loses_no_event(sizes: list[int]) -> None:
    """Every part is a lane of its own, whole and in order; what pads it has no weight."""
    random = np.random.default_rng(len(sizes))
    parts = [described(random, size) for size in sizes]
    laid = side_by_side(parts)
    assert laid.inputs.shape == (max(sizes), len(sizes), CONFIG.inputs)
    for lane, part in enumerate(parts):
        n = len(part.inputs)
        for name in ("inputs", "targets", "weights"):
            stood = getattr(laid, name)[:, lane].numpy()
            np.testing.assert_array_equal(stood[:n], getattr(part, name))
            assert not stood[n:].any()


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=6), st.integers(1, 60), st.integers(0, 99))
def test_a_stretch_is_a_run_of_one_part(sizes: list[int], length: int, seed: int) -> None:
    """Consecutive events from any place, padded with weight 0 where the part is shorter."""
    random = np.random.default_rng(seed)
    parts = [described(random, size) for size in sizes]
    drawn = Stretches(parts, length, seed).draw(5)
    assert drawn.inputs.shape == (length, 5, CONFIG.inputs)
    for lane in range(5):
        inputs = drawn.inputs[:, lane].numpy()
        there = np.flatnonzero(drawn.weights[:, lane, 0, 0].numpy())
        count = len(there)
        assert there.tolist() == list(range(count))
        start = int(inputs[0, 0]) - 1
        whole = [
            part
            for part in parts
            if np.array_equal(part.inputs[start : start + length], inputs[:count])
        ]
        assert any(count == min(length, len(part.inputs)) for part in whole)
        assert not inputs[count:].any()


def test_longer_parts_are_drawn_more_often() -> None:
    """In proportion to their steps, the same ones for the same seed."""
    random = np.random.default_rng(0)
    parts = [described(random, size) for size in (900, 100)]
    of_first = Stretches(parts, 10, 0).draw(500).inputs[0, :, 1:2]
    again = Stretches(parts, 10, 0).draw(500).inputs[0, :, 1:2]
    assert torch.equal(of_first, again)
    first = np.isin(of_first[:, 0].numpy(), parts[0].inputs[:, 1])
    assert 0.85 < float(first.mean()) < 0.95


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


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_a_stretch_is_disturbed_in_size_and_noise(seed: int) -> None:
    """Places of values are scaled alike with their targets, and a little noisy; nothing else is."""
    quiet = replace(SETTINGS, hide=0.0, noise=0.0, gain=0.3)
    given_lanes = side_by_side([described(np.random.default_rng(seed), 30) for _ in range(4)])
    before = copy.deepcopy(given_lanes)

    def changed(settings_: TrainingSettings) -> Lanes:
        return disturbed(given_lanes, 2, settings_, torch.Generator().manual_seed(seed))

    larger = changed(quiet)
    gains = larger.targets / before.targets
    assert (gains - gains[:1, :, :1, :1]).abs().max() < 1e-5
    assert (gains[0, :, 0, 0] - 1.0).abs().min() > 0.0
    values = (larger.inputs / before.inputs)[..., : 2 * VALUE_CHANNELS]
    places = values.reshape(30, 4, 2, VALUE_CHANNELS)
    expected = gains[:1, :, :1, :1].expand(30, 4, 2, PLACE_CHANNELS)
    torch.testing.assert_close(places[..., :PLACE_CHANNELS], expected, rtol=1e-4, atol=0)
    assert (places[..., PLACE_CHANNELS:] == 1.0).all()
    assert torch.equal(larger.inputs[..., -EVENT_CHANNELS:], before.inputs[..., -EVENT_CHANNELS:])
    noisier = changed(replace(quiet, gain=0.0, noise=0.1))
    assert torch.equal(noisier.targets, before.targets)
    moved = noisier.inputs - before.inputs
    assert 0.05 < float(moved[moved != 0.0].std()) < 0.15
    for name in ("inputs", "targets", "weights"):
        assert torch.equal(getattr(given_lanes, name), getattr(before, name))


def test_parts_of_any_lengths_are_told_as_each_alone() -> None:
    """The held-out loss does not depend on which parts are laid side by side."""
    network = network_of(CONFIG)
    parts = [part for n in range(90, 160, 10) for part in describe(CONFIG, periodic(n, n))]
    whole = evaluate(network, [side_by_side(parts)], SETTINGS.chunk)
    alone = evaluate(network, [side_by_side([part]) for part in parts], SETTINGS.chunk)
    assert whole == pytest.approx(alone, rel=1e-5)


def test_no_update_is_made_of_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts shorter than a stretch end within it: what lies behind is no update."""
    weights = []

    def weighed(network: Autoencoder, outputs: Tensor, lanes: Lanes) -> Tensor:
        if network.training:
            weights.append(float(lanes.weights.sum()))
        return loss_of(network, outputs, lanes)

    monkeypatch.setattr(model.training, "loss_of", weighed)
    parts = describe(CONFIG, periodic(0, SETTINGS.chunk + 10))
    fitted = fit(network_of(CONFIG), parts, parts, replace(SETTINGS, updates=12))
    assert min(weights) > 0.0
    assert len(weights) == fitted.updates >= 12


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
    """The record has the data's fingerprint, its size, the seed, and what was tried."""
    text = (trained.folder / DESCRIPTION).read_text(encoding="utf-8")
    record = json.loads(text)["training"]
    assert record["data_fingerprint"] == fingerprint(series)
    assert (record["series"], record["events"], record["seed"]) == (2, 700, SETTINGS.seed)
    assert record["parameters"] >= 0
    found = record["disturbances_found"]
    assert set(found) == set(CANDIDATES)
    assert all(0.0 <= share <= 1.0 for share in found.values())
    assert trained.config.cell == chosen({cell: found[cell] for cell in CANDIDATES})


def test_a_cycle_takes_an_lstm(tmp_path: Path) -> None:
    """Nothing else is tried on a single feature with a period."""
    one = periodic(0, 400)
    wave = [replace(one, values=one.values[:, :1].copy())]
    artifact = train_artifact(wave, ("a",), tmp_path / "made", replace(SETTINGS, updates=4))
    assert artifact.config.cell == "lstm"
    assert set(artifact.description.training["disturbances_found"]) == {"lstm"}


@pytest.mark.parametrize("cell", ["lstm", "gru", "linear", "mean"])
def test_a_cell_that_is_asked_for_is_what_serves(
    cell: Cell, series: list[Series], tmp_path: Path
) -> None:
    """No other is tried; a recurrent one tells its updates and its losses."""
    short = replace(SETTINGS, updates=4)
    artifact = train_artifact(series, ("a", "b"), tmp_path / "made", short, cell, hidden=4)
    record = artifact.description.training
    assert artifact.config.cell == cell
    assert set(record["disturbances_found"]) == {cell}
    if cell in {"lstm", "gru"}:
        assert 1 <= record["updates"] <= 6
        assert np.isfinite([record["loss"], record["held_out_loss"]]).all()


def test_training_twice_gives_the_same_artifact(
    trained: Artifact, series: list[Series], tmp_path: Path
) -> None:
    """The same data and seed give the same fingerprint, which scores are named by."""
    again = train_artifact(series, ("a", "b"), tmp_path / "again", SETTINGS, hidden=8)
    assert again.fingerprint == trained.fingerprint


def test_training_that_ends_early_leaves_what_was_there(
    trained: Artifact, series: list[Series], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing half done beside it."""
    folder = tmp_path / "artifact"
    shutil.copytree(trained.folder, folder)
    monkeypatch.setattr("model.trainer.calibrate", lambda *_: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(MemoryError):
        train_artifact(series, ("a", "b"), folder, replace(SETTINGS, seed=9), "mean")
    assert Artifact(folder).fingerprint == trained.fingerprint
    assert {file.name for file in folder.iterdir()} == {WEIGHTS, GRAPH, DESCRIPTION}


def test_an_artifact_knows_how_surprising_normal_data_are(trained: Artifact) -> None:
    """Each view's calibration is of bytes, as many for each, and not an uncalibrated network's."""
    calibration = trained.description.calibration
    assert set(calibration) == set(trained.config.views)
    (length,) = {len(maxima) for maxima in calibration.values()}
    assert 2 <= length <= trained.config.blocks
    assert all(min(maxima) > 0 and max(maxima) < 254 for maxima in calibration.values())


def test_the_time_scale_follows_the_period() -> None:
    """One feature of a long cycle is followed in steps of several events; others event by event."""
    wave = np.sin(2.0 * np.pi * np.arange(8000) / 1000.0)[:, None] + 0.05 * noisy(0, 8000)
    slow = shape_of([Series("slow", ticks(8000), wave)], ("a",), 32)
    assert slow.resolutions[0] > 1
    assert 20.0 < 1000.0 / slow.resolutions[0] < 200.0
    white = shape_of([Series("white", ticks(800), noisy(0, 800))], ("a",), 32)
    joint = shape_of([periodic(0, 800)], ("a", "b"), 32)
    assert white.resolutions == joint.resolutions == (1,)


def test_a_single_event_is_not_lost_in_a_long_cycle(tmp_path: Path) -> None:
    """A feature of a long period is read in steps of several events; one event far off is told."""
    waves = [
        Series(one.name, one.times, one.values[:, :1].copy())
        for one in (slow(0, 6000), slow(1, 4000))
    ]
    artifact = train_artifact(waves[:1], ("a",), tmp_path, SETTINGS, hidden=8)
    assert artifact.config.resolutions[0] > 1
    waves[1].values[3000, 0] += 2.0
    said = scored(artifact, waves[1]).scores
    assert said["score"][3000] >= 1.0
    assert said["score"][3000] == said["score"].max()


def scored(artifact: Artifact, series: Series) -> Scored:
    """What is said of a new stream."""
    n, features = series.values.shape
    table = RowTable.copies(artifact.fresh_rows(features), artifact.layout(features), 1)
    directions = directions_of(artifact.config.features, {})
    return Scorer(artifact, directions, budget_per_week=1.0, skew=np.inf).score(
        table, np.zeros(n, np.int64), np.arange(n), 1, series.times, np.zeros(n, np.bool_),
        series.values,
    )  # fmt: skip


def slow(seed: int, n: int) -> Series:
    """Two features of a slow cycle of 1,000 events, with a little noise."""
    random = np.random.default_rng(seed)
    phase = 2.0 * np.pi * (np.arange(n) / 1000.0 + random.random())
    values = np.stack([np.sin(phase), 70.0 + 20.0 * np.cos(phase)], axis=1)
    return Series(f"slow-{seed}", ticks(n), values + random.normal(0.0, 0.1, (n, 2)) * [1.0, 20.0])


def test_a_new_stream_of_a_known_kind_is_judged_well_from_its_start(tmp_path: Path) -> None:
    """It is read in the scales of its kind, not of a quiet hour: no alarm at its start, and
    a spike of fifteen times the noise is told in its first cycle."""
    artifact = train_artifact(
        [slow(seed, 4000) for seed in range(3)], ("a", "b"), tmp_path, SETTINGS, "linear"
    )
    for seed in range(100, 106):
        stream = slow(seed, 800)
        stream.values[700, 0] += 15.0 * 0.1
        said = scored(artifact, stream).scores
        assert not said["alarm"][:200].any()
        assert said["score"][700] >= 1.0


@pytest.mark.parametrize("longest", [None, 0, 1, FEWEST_EVENTS - 1])
def test_too_little_data_is_refused(longest: int | None, tmp_path: Path) -> None:
    """The message says how much there is, what is needed, and what to do."""
    short = [] if longest is None else [periodic(0, 5), periodic(1, longest)]
    with pytest.raises(TrainingDataError) as refused:
        train_artifact(short, ("a", "b"), tmp_path / "artifact", SETTINGS)
    message = str(refused.value)
    assert f"needs {FEWEST_EVENTS}" in message
    assert "give more data, or serve with the base artifact" in message
    assert not (tmp_path / "artifact").exists()
    assert isinstance(refused.value, ModelError)


def test_many_short_streams_are_enough(tmp_path: Path) -> None:
    """Thirty streams of 45 events, enough in all: an artifact, which is whole."""
    short = [periodic(seed, 45) for seed in range(30)]
    artifact = train_artifact(short, ("a", "b"), tmp_path / "artifact", SETTINGS, "linear")
    assert artifact.population is not None


def test_a_feature_without_any_value_is_refused(tmp_path: Path) -> None:
    """The message names it, and how to leave it out."""
    one = periodic(0, 400)
    one.values[:, 1] = np.nan
    with pytest.raises(TrainingDataError, match=r"b has no value at all.*--ignore"):
        train_artifact([one], ("a", "b"), tmp_path / "artifact", SETTINGS)


def test_too_many_features_are_refused(tmp_path: Path) -> None:
    """The message says how many there are, how many there may be, and what to do."""
    count = MOST_FEATURES + 1
    wide = Series("wide", ticks(400), noisy(0, 400, count))
    names = tuple(f"f{f}" for f in range(count))
    with pytest.raises(TrainingDataError, match=f"{count} features, at most {MOST_FEATURES}"):
        train_artifact([wide], names, tmp_path / "artifact", SETTINGS)
