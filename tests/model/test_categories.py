"""Fields that are no numbers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.categories import BUCKETS, NONE, bucket_of, buckets_of
from model.config import Cell, ModelConfig
from model.row import RowTable
from model.scorer import Scorer, directions_of
from model.series import Series, describe, fingerprint
from model.training import TrainingSettings, fit
from tests.model.conftest import (
    MEMORYLESS,
    RECURRENT,
    Exported,
    export,
    network_of,
    predictor_of,
    ticks,
)

CONFIG = ModelConfig(
    ("amount",), hidden=8, bottleneck=4, decoder_hidden=4, resolutions=(1,), horizons=(1,),
    views=("near",), unit="values", categories=("shop", "till"),
)  # fmt: skip


@given(st.text())
def test_a_text_has_one_bucket_and_never_that_of_what_is_missing(text: str) -> None:
    assert 1 <= bucket_of(text) < BUCKETS
    assert bucket_of(text) == bucket_of(text)


def test_buckets_are_the_same_on_every_machine() -> None:
    """An artifact carries on what was trained elsewhere."""
    assert [bucket_of(text) for text in ("terminal-7", "", "é")] == [21, 1, 222]
    assert bucket_of(None) == NONE
    assert buckets_of([["a", None]], 2).tolist() == [[bucket_of("a"), NONE]]
    assert buckets_of([], 2).shape == (0, 2)


@pytest.mark.parametrize("cell", RECURRENT)
@torch.no_grad()
def test_each_category_has_vectors_of_its_own(cell: Cell) -> None:
    """The same bucket means one thing in one field and another in the next."""
    network = network_of(replace(CONFIG, cell=cell))
    inputs = torch.zeros(1, CONFIG.inputs)
    told = []
    for buckets in ((0.0, 0.0), (7.0, 0.0), (0.0, 7.0)):
        inputs[:, CONFIG.category_places] = torch.tensor(buckets)
        told.append(network.step(inputs, network.fresh_memory(1))[0])
    assert not any(torch.allclose(told[a], told[b]) for a, b in ((0, 1), (0, 2), (1, 2)))


@pytest.mark.parametrize("cell", MEMORYLESS)
@torch.no_grad()
def test_the_controls_do_not_take_a_bucket_for_a_number(cell: Cell) -> None:
    predictor = predictor_of(replace(CONFIG, cell=cell))
    inputs = torch.zeros(2, CONFIG.inputs)
    inputs[1, CONFIG.category_places] = torch.tensor([200.0, 3.0])
    first, other = predictor.step(inputs, predictor.fresh_memory(2))[0]
    assert torch.equal(first, other)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export(CONFIG, tmp_path_factory.mktemp("categories"))


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
