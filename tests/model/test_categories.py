"""Fields that are no numbers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.categories import BUCKETS, NONE, bucket_of, buckets_of
from model.config import Cell, ModelConfig
from model.export import write_artifact
from model.observed import Observed
from model.row import RowTable
from model.scorer import Scorer, directions_of
from model.series import Series, describe, fingerprint
from model.trainer import train_artifact
from model.training import TrainingSettings, fit
from tests.model.conftest import (
    MEMORYLESS,
    RECURRENT,
    Exported,
    description_of,
    network_of,
    ticks,
)

CONFIG = ModelConfig(
    ("amount",), hidden=8, bottleneck=4, decoder_hidden=4, resolutions=(1,), horizons=(1,),
    views=("near",), unit="values", categories=("shop", "till"),
)  # fmt: skip


@given(st.text(min_size=1).filter(str.strip))
def test_a_text_has_a_bucket_that_is_not_that_of_what_is_missing(text: str) -> None:
    assert 1 <= bucket_of(text) < BUCKETS


def test_buckets_are_the_same_on_every_machine() -> None:
    """An artifact carries on what was trained elsewhere."""
    assert [bucket_of(text) for text in ("terminal-7", "é")] == [21, 222]
    assert [bucket_of(text) for text in (None, "", "  ")] == [NONE] * 3


@pytest.mark.parametrize("cell", [" 7", "7.0", "7.00 "])
def test_a_files_cell_and_an_events_number_have_the_same_bucket(cell: str) -> None:
    """A table with gaps writes whole numbers with a fraction."""
    assert bucket_of(cell) == bucket_of("7")
    assert bucket_of("7.5") != bucket_of("7")
    assert buckets_of([["a", None]], 2).tolist() == [[bucket_of("a"), NONE]]
    assert buckets_of([], 2).shape == (0, 2)


@pytest.mark.parametrize("cell", RECURRENT)
@torch.no_grad()
def test_each_category_has_vectors_of_its_own(cell: Cell) -> None:
    """The same bucket means one thing in one field and another in the next."""
    network = network_of(replace(CONFIG, cell=cell))
    torch.nn.init.normal_(network.embeddings.weight)  # as training would
    inputs = torch.zeros(1, CONFIG.inputs)
    told = []
    for buckets in ((0.0, 0.0), (7.0, 0.0), (0.0, 7.0)):
        inputs[:, CONFIG.category_places] = torch.tensor(buckets)
        told.append(network.step(inputs, network.fresh_memory(1))[0])
    assert not any(torch.allclose(told[a], told[b]) for a, b in ((0, 1), (0, 2), (1, 2)))


@torch.no_grad()
def test_a_bucket_that_training_never_met_is_read_much_as_missing() -> None:
    """An untrained network has met none; a value that is one scale larger says more."""
    network = network_of(CONFIG)
    inputs = torch.zeros(3, CONFIG.inputs)
    inputs[1, CONFIG.category_places] = torch.tensor([200.0, 3.0])
    inputs[2, 0] = 1.0
    missing, other, value = network.step(inputs, network.fresh_memory(3))[0]
    assert (other - missing).norm() < (value - missing).norm()


def test_categories_that_the_network_does_not_read_are_an_error(exported: Exported) -> None:
    seen = Observed.of(CONFIG, exported.artifact.layout(1), 3)
    for buckets in (None, np.zeros((3, 1), np.int64)):
        with pytest.raises(ValueError, match="categories"):
            seen.read_categories(CONFIG, buckets)


@pytest.mark.parametrize("cell", MEMORYLESS)
def test_a_control_that_wins_asks_for_no_categories(cell: Cell, tmp_path: Path) -> None:
    """What makes no use of a field must not reject events without it."""
    settings = TrainingSettings(updates=1)
    series = [shopping(seed, 400) for seed in range(2)]
    artifact = train_artifact(
        series, ("amount",), tmp_path, settings, cell, categories=("shop", "till")
    )
    assert artifact.config.categories == ()
    assert artifact.description.training["data_fingerprint"] == fingerprint(series)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A network whose embeddings are not all zero, as training leaves them."""
    network = network_of(CONFIG)
    torch.nn.init.normal_(network.embeddings.weight)
    folder = tmp_path_factory.mktemp("categories")
    return Exported(network, write_artifact(network, description_of(CONFIG), folder))


def test_what_is_served_depends_on_the_categories_before_an_event(exported: Exported) -> None:
    """An event's own is read with it: it can only change what is expected of later ones."""
    artifact, n = exported.artifact, 30
    values = np.random.default_rng(0).normal(size=(n, 1))
    expected = []
    for buckets in (np.full((n, 2), 5), np.full((n, 2), 9)):
        buckets[:20] = 5
        row = RowTable(artifact.layout(1), artifact.fresh_rows(1))
        scored = Scorer(artifact, directions_of(("amount",), {}), 1.0, np.inf).score(
            row, np.zeros(n, np.int64), np.arange(n), 1, ticks(n), np.ones(n, np.bool_), values,
            buckets,
        )  # fmt: skip
        expected.append(scored.expected[:, 0])
    np.testing.assert_array_equal(expected[0][:21], expected[1][:21])
    assert np.all(expected[0][21:] != expected[1][21:])


def shopping(seed: int, n: int) -> Series:
    """The next amount follows from where the card is now."""
    random = np.random.default_rng(seed)
    shop = random.integers(1, 3, n)
    amounts = np.r_[0.0, np.where(shop[:-1] == 1, 10.0, 60.0)] + random.normal(0.0, 1.0, n)
    return Series(f"card-{seed}", ticks(n), amounts[:, None], np.stack([shop, 0 * shop], axis=1))


def test_a_network_learns_what_a_category_foretells() -> None:
    """With the categories it errs much less than without them."""
    losses = {}
    for categories in (("shop", "till"), ()):
        config = replace(CONFIG, categories=categories)
        series = [shopping(seed, 400) for seed in range(4)]
        if not categories:
            series = [replace(one, categories=None) for one in series]
        parts = [part for one in series for part in describe(config, one)]
        settings = TrainingSettings(updates=400, chunk=50, chunks=2, lanes=8, learning_rate=1e-2)
        losses[categories] = fit(network_of(config), parts[:3], parts[3:], settings).held_out_loss
    assert losses["shop", "till"] < losses[()] - 0.5


def test_other_categories_are_other_training_data() -> None:
    one = shopping(0, 50)
    assert one.categories is not None
    other = replace(one, categories=one.categories + 1)
    assert fingerprint([one]) != fingerprint([other])
