import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.artifact import Artifact
from model.config import ModelConfig
from model.population import FEWEST_STREAMS, FeaturePopulation, populations_of, rarity
from model.series import Series
from model.trainer import train_artifact
from model.training import TrainingSettings
from tests.model.conftest import ticks

CONFIG = ModelConfig(("amount",), resolutions=(1,), unit="values", views=("near", "rare"))
modest = settings(deadline=None, max_examples=50)


def streams(count: int, between: float, events: int = 200) -> list[Series]:
    """Streams about levels that differ by `between`, each with a spread of 1."""
    random = np.random.default_rng(0)
    levels = 50.0 + between * random.normal(size=count)
    return [
        Series(f"s{n}", ticks(events), level + random.normal(size=(events, 1)))
        for n, level in enumerate(levels.tolist())
    ]


def population_of(between: float) -> FeaturePopulation:
    return populations_of(CONFIG, streams(40, between))["amount"]


def test_few_streams_are_no_population() -> None:
    """What a handful of streams have in common is not held against another."""
    assert populations_of(CONFIG, streams(FEWEST_STREAMS - 1, 1.0)) == {}


def test_a_new_stream_starts_where_the_others_are() -> None:
    """Its level, scale and increments are those of the middle stream."""
    block = population_of(0.5).started()
    assert block["level"] == pytest.approx(50.0, abs=0.5)
    assert block["scale"] == pytest.approx(0.8, rel=0.15)  # mean absolute deviation of a normal
    assert block["step"] == pytest.approx(1.13, rel=0.15)
    assert block["count"] == block["judged"]


def test_the_more_streams_differ_the_less_a_new_one_starts_from_them() -> None:
    """The start weighs as many events as its own take to tell more than the others do."""
    weights = [population_of(between).weight for between in (0.1, 0.5, 1.0, 10.0)]
    assert weights == sorted(weights, reverse=True)
    assert weights[0] >= 10
    assert weights[2] in {1, 2}
    assert weights[3] == 0


@modest
@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_what_is_farther_out_is_rarer(one: float, other: float) -> None:
    """Rarity rises with the distance from the middle, and has its side's sign."""
    population = population_of(1.0)
    near, far = sorted((one, other), key=lambda x: abs(x - population.middle))
    rare = rarity(population, np.array([near, far]))
    assert abs(rare[0]) <= abs(rare[1]) + 1e-12
    for value, given_ in zip((near, far), rare.tolist(), strict=True):
        assert given_ * (value - population.middle) >= 0.0


def test_rarity_is_the_share_that_is_as_far_out() -> None:
    """Of 8,000 values, one in a hundred is as rare as 2, and the farthest nearly as 4."""
    some = streams(40, 1.0)
    values = np.concatenate([one.values[:, 0] for one in some])
    rare = np.abs(rarity(population_of(1.0), values))
    assert np.quantile(rare, 0.99) == pytest.approx(2.0, abs=0.15)
    assert rare.max() == pytest.approx(np.log10(len(values)), abs=0.3)
    assert np.median(rare) < 0.5


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("cards") / "artifact"
    return train_artifact(streams(30, 2.0, 60), ("amount",), folder, TrainingSettings(), "mean")


def test_an_artifact_of_many_streams_knows_its_population(cards: Artifact) -> None:
    """It counts what is rare among them, and a new stream's row starts from them."""
    assert "rare" in cards.config.views
    known = cards.populations["amount"]
    assert Artifact(cards.folder).populations["amount"] == known
