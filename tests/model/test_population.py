import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.artifact import DESCRIPTION, Artifact
from model.config import ModelConfig
from model.errors import ArtifactError
from model.population import (
    FEWEST_STREAMS,
    LEAST_WEIGHT,
    TAIL_STEPS,
    Population,
    common_scales,
    population_of,
    rarity,
    tail_table,
    with_errors,
    with_views,
)
from model.row import RowTable
from model.scorer import Scored, Scorer, directions_of
from model.series import Series, learned_of
from model.trainer import train_artifact
from model.training import TrainingSettings
from tests.model.conftest import F64, noisy, ticks

CONFIG = ModelConfig(("amount",), resolutions=(1,), unit="values", views=("near", "rare"))
modest = settings(deadline=None, max_examples=50)


def streams(count: int, between: float, events: int = 200, ratio: float = 0.0) -> list[Series]:
    """Streams about levels that differ by `between`, each with a spread of 1, or of its level."""
    random = np.random.default_rng(0)
    levels = 50.0 * np.exp(between / 50.0 * random.normal(size=count))
    return [
        Series(
            f"s{n}", ticks(events), level + (ratio * level or 1.0) * random.normal(size=(events, 1))
        )
        for n, level in enumerate(levels.tolist())
    ]


def population(series: list[Series]) -> Population | None:
    learned = [learned_of(CONFIG, one) for one in series]
    return population_of(("amount",), learned, [one.pace for one in series])


def known(series: list[Series]) -> Population:
    found = population(series)
    assert found is not None
    return found


def scales_of(values: list[F64]) -> tuple[float, float]:
    """What `common_scales` says of the only feature."""
    series = [Series(str(n), ticks(len(one)), one[:, None]) for n, one in enumerate(values)]
    learned = [learned_of(CONFIG, one) for one in series]
    young = [learned_of(CONFIG, one.first(100)) for one in series]
    (found,) = common_scales(young, learned)
    return found


def slow_waves(sizes: list[float]) -> list[F64]:
    """Streams that take 1,000 events to show how far they swing."""
    phase = 2.0 * np.pi * np.arange(2000) / 1000.0
    return [
        10.0 + size * (np.sin(phase + n) + 0.05 * noisy(n, 2000)[:, 0])
        for n, size in enumerate(sizes)
    ]


@pytest.mark.parametrize("sizes", [[2.0], [2.0, 2.2, 1.9], [2.0, 0.0, 2.1]])
def test_a_new_stream_is_taken_to_have_the_scale_of_its_kind(sizes: list[float]) -> None:
    """Where a stream's first events do not tell how far it swings, and those of the others agree: a
    sine's mean deviation. One that never moves says nothing."""
    scale, step = scales_of(slow_waves(sizes))
    assert scale == pytest.approx(2.0 * 2.0 / np.pi, rel=0.15)
    assert 0.0 < step < 0.2 * scale


def test_what_stands_still_at_first_does_not_tell_its_own_scale() -> None:
    """Five streams that begin to move after their first events: a new one will too."""
    values = [10.0 + noisy(n, 2000)[:, 0] for n in range(5)]
    for one in values:
        one[:100] = 10.0
    scale, _ = scales_of(values)
    assert scale == pytest.approx(np.sqrt(2.0 / np.pi), rel=0.2)


@pytest.mark.parametrize(
    "values",
    [
        slow_waves([0.2, 2.0, 20.0]),
        slow_waves([0.0, 0.0, 2.0]),
        [noisy(n, 2000)[:, 0] for n in range(3)],
        [noisy(0, 2000)[:, 0]],
    ],
    ids=["apart", "still", "soon known", "one, soon known"],
)
def test_a_new_stream_tells_its_own_scale_where_others_know_no_better(
    values: list[F64],
) -> None:
    """Where scales are far apart, most streams never move, or the first events tell as much."""
    assert scales_of(values) == (0.0, 0.0)


def test_few_streams_are_no_population() -> None:
    """What a handful of streams have in common is not held against another."""
    assert population(streams(FEWEST_STREAMS, 1.0)) is not None
    assert population(streams(FEWEST_STREAMS - 1, 1.0)) is None


def test_streams_that_differ_are_no_population() -> None:
    """Where scales do not follow the levels, what is rare for one is usual for another."""
    random = np.random.default_rng(1)
    series = [
        Series(
            str(n), ticks(200), 50.0 + 10.0 ** random.uniform(-3, 3) * random.normal(size=(200, 1))
        )
        for n in range(40)
    ]
    assert population(series) is None


def test_streams_that_stand_still_are_no_population() -> None:
    """Without a scale there is nothing to hold anything against."""
    assert population([Series(str(n), ticks(50), np.ones((50, 1))) for n in range(30)]) is None


def test_a_new_stream_starts_where_the_others_are() -> None:
    """Its level, scale and increments are those of the middle stream."""
    block = known(streams(40, 0.5)).features["amount"].started()
    assert block["level"] == pytest.approx(50.0, abs=0.5)
    assert block["scale"] == pytest.approx(0.8, rel=0.15)  # mean absolute deviation of a normal
    assert block["step"] == pytest.approx(1.13, rel=0.15)
    assert block["count"] == block["judged"]


def test_the_more_streams_differ_the_less_a_new_one_starts_from_them() -> None:
    """The start weighs as many events as its own take to tell more than the others do."""
    weights = [known(streams(40, apart)).features["amount"].weight for apart in (0.1, 0.5, 10.0)]
    assert weights == sorted(weights, reverse=True)
    assert weights[0] >= 10
    assert weights[-1] == LEAST_WEIGHT


def test_scales_that_follow_the_levels_are_kept_as_a_ratio() -> None:
    """0.8 of the spread that was given; none where the scales are all the same."""
    assert known(streams(40, 20.0, ratio=0.2)).features["amount"].ratio == pytest.approx(0.16, 0.1)
    assert known(streams(40, 20.0)).features["amount"].ratio == 0.0


tails = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=40).map(lambda x: sorted(set(x)))


@modest
@given(tails, st.floats(0.0, 1e9), st.floats(0.0, 1e9))
def test_what_is_farther_out_is_rarer(tail: list[float], one: float, other: float) -> None:
    """Rarity is at least 0 and rises with the value, within the tail and beyond."""
    table = tail_table([tuple(tail)])[0]
    near, far = sorted((one, other))
    assert 0.0 <= rarity(table, near, 0.0) <= rarity(table, far, 0.0) + 1e-9


def test_rarity_is_the_share_that_is_as_far_out() -> None:
    """Of 100,000 errors, one in a hundred is as rare as 2; ten times the farthest is one more."""
    errors = np.random.default_rng(0).exponential(size=(100_000, 1))
    tail = with_errors(known(streams(40, 1.0)), -errors).features["amount"].errors
    rare = [rarity(np.array(tail), x, 0.0) for x in (math.log(100.0), tail[-1], 10.0 * tail[-1])]
    assert rare[0] == pytest.approx(2.0, abs=0.05)
    assert rare[1] == len(tail) / TAIL_STEPS == pytest.approx(5.0)
    assert rare[2] == pytest.approx(rare[1] + 1.0)


def test_of_equal_quantiles_the_most_common_counts() -> None:
    """Where many errors are the same, one like them is no rarer than they are."""
    tail = np.array([0.0, 0.0, 1.0, 1.0, 1.0, 2.0])
    assert rarity(tail, 0.0, 0.0) == 0.0
    assert rarity(tail, 1.0, 0.0) == 3 / TAIL_STEPS
    assert rarity(np.zeros(4), 1.0, 0.0) == 4 / TAIL_STEPS
    assert rarity(tail, 5.0, 1.0) == 6 / TAIL_STEPS + 3.0


def test_one_stream_that_stands_still_does_not_speak_for_the_others() -> None:
    """They stay a population, and proportional."""
    some = [*streams(40, 20.0, ratio=0.2), Series("still", ticks(50), np.full((50, 1), 7.0))]
    assert known(some).features["amount"].ratio == pytest.approx(0.16, 0.1)


def test_what_was_never_seen_is_not_rare() -> None:
    """A feature without an error, a view that never spoke: they say nothing."""
    start = known(streams(40, 1.0))
    nothing = with_errors(start, np.full((9, 1), np.nan)).features["amount"].errors
    silent = with_views(start, ("near",), np.full((9, 1), -1.0)).views["near"]
    assert nothing == silent == ()
    assert rarity(tail_table([nothing])[0], 1e9, 0.0) == 0.0


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Thirty streams, each about its own level and spread in proportion to it."""
    folder = tmp_path_factory.mktemp("cards") / "artifact"
    some = streams(100, 20.0, 300, ratio=0.2)
    return train_artifact(some, ("amount",), folder, TrainingSettings(), "mean")


def scored(artifact: Artifact, values: F64, budget: float = 1.0, gap: float = 60.0) -> Scored:
    """One new stream's values (T,)."""
    return scored_together(artifact, values[None], budget, gap)


def scored_together(
    artifact: Artifact, values: F64, budget: float = 1.0, gap: float = 60.0
) -> Scored:
    """Values (S, T) of new streams, one stream after the other."""
    streams, n = values.shape
    table = RowTable.copies(artifact.fresh_rows(1), artifact.layout(1), streams)
    scorer = Scorer(artifact, directions_of(("amount",), {}), budget, np.inf)
    return scorer.score(
        table, np.repeat(np.arange(streams), n), np.tile(np.arange(n), streams), 1,
        np.tile(ticks(n, gap), streams), np.zeros(streams * n, np.bool_), values.reshape(-1, 1),
    )  # fmt: skip


def test_an_artifact_of_many_streams_knows_its_population(cards: Artifact) -> None:
    """It survives the file; views have the tails of all streams, and a row has none of its own."""
    assert cards.config.views == ("near", "rare")
    assert cards.population == Artifact(cards.folder).population
    assert cards.population is not None
    assert all(len(tail) >= 3 * TAIL_STEPS for tail in cards.population.views.values())
    assert cards.layout(1).views == 0
    assert cards.description.calibration == {}


def test_the_first_event_is_held_against_the_others(cards: Artifact) -> None:
    """An amount that no card pays is anomalous as a card's very first; an ordinary one is not."""
    assert scored(cards, np.array([5000.0])).scores["score"][0] > 1.0
    assert scored(cards, np.array([50.0])).scores["score"][0] < 0.5


@pytest.mark.parametrize("gap", [0.1, 60.0, 86400.0])
def test_what_is_a_thousand_times_too_large_is_anomalous_at_any_pace(
    cards: Artifact, gap: float
) -> None:
    """However few events the population's tails are known from, and rare a false alarm must be."""
    said = scored(cards, np.append(50.0 + np.arange(20.0) % 3.0, 5e5), gap=gap)
    assert said.scores["score"][-1] >= 1.0


def test_every_event_of_a_new_stream_is_judged(cards: Artifact) -> None:
    """From the first: something is expected of it, and a wild second one is anomalous."""
    said = scored(cards, np.array([50.0, 5e4, 50.0, 51.0]))
    assert np.isfinite(said.expected).all()
    assert said.scores["score"][1] >= 1.0


@pytest.mark.parametrize("level", [2000.0, 0.5, -50.0])
def test_a_stream_far_from_the_others_is_at_home_in_the_end(cards: Artifact, level: float) -> None:
    """Its level is learnt within some hundred events, however far from the population's."""
    random = np.random.default_rng(8)
    said = scored(cards, level * (1.0 + 0.05 * random.normal(size=2000)))
    assert said.expected[-1, 0] == pytest.approx(level, rel=0.2)


def test_a_stream_is_held_against_its_own_level(cards: Artifact) -> None:
    """What is ordinary for a large card is rare for a small one, and both have their own band."""
    random = np.random.default_rng(5)
    small = 10.0 + 2.0 * random.normal(size=60)
    large = 90.0 + 18.0 * random.normal(size=60)
    said = scored(cards, np.append(small, 90.0))
    assert said.scores["score"][-1] > 1.0
    assert said.expected[-1, 0] == pytest.approx(10.0, rel=0.4)
    assert scored(cards, np.append(large, 90.0)).scores["score"][-1] < 0.5


@pytest.fixture(scope="module")
def sensors(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Thirty streams about one level, whose spreads differ and have nothing to do with it."""
    folder = tmp_path_factory.mktemp("sensors") / "artifact"
    random = np.random.default_rng(9)
    some = [
        Series(f"s{n}", ticks(300), 50.0 + spread * random.normal(size=(300, 1)))
        for n, spread in enumerate(np.exp(random.normal(0.0, 0.7, 30)).tolist())
    ]
    return train_artifact(some, ("amount",), folder, TrainingSettings(), "mean")


def test_an_error_counts_half_way_to_the_streams_own_scale(sensors: Artifact) -> None:
    """The same error is rarer in a quiet stream than in a noisy one; an error as large for the
    noisy stream as that is for the quiet one is the rarer, for it is the larger."""
    assert sensors.config.views == ("rare",)
    noise = np.random.default_rng(10).normal(size=300)
    noise[-1] = 0.0

    def last(spread: float, error: float) -> float:
        values = 50.0 + spread * noise
        values[-1] += error
        return float(scored(sensors, values).scores["score"][-1])

    assert last(0.5, 4.0) > 1.1 * last(2.0, 4.0)
    assert last(2.0, 16.0) > 1.1 * last(0.5, 4.0)


def test_a_great_surprise_makes_the_next_ones_count_more(cards: Artifact) -> None:
    """What is somewhat out of the ordinary counts more where the last days held a fraud; what is
    ordinary does not."""
    random = np.random.default_rng(6)
    calm = 50.0 + 10.0 * random.normal(size=100)
    struck = calm.copy()
    struck[90] = 400.0
    for value, more in ((85.0, True), (51.0, False)):
        alone = scored(cards, np.append(calm, value)).scores["score"][-1]
        after = scored(cards, np.append(struck, value)).scores["score"][-1]
        assert (after > 1.2 * alone) == more


def test_the_budget_is_kept_among_streams_like_those_trained_on(cards: Artifact) -> None:
    """Of events like the training data's, blocks pass the threshold at about the stated rate."""
    others = np.stack([one.values[:, 0] for one in streams(100, 20.0, 1000, ratio=0.2)])
    blocks_per_week = 7 * 24 * 60 / 50
    for budget in (blocks_per_week / 20, blocks_per_week / 100):
        score = scored_together(cards, others, budget).scores["score"]
        passed = (score.reshape(-1, 50).max(axis=1) >= 1.0).sum()
        promised = 2000 * budget / blocks_per_week
        assert promised / 2 <= passed <= promised * 2


@pytest.mark.parametrize("edit", ["features", "views", "none"])
def test_a_population_that_does_not_fit_is_refused(
    cards: Artifact, tmp_path: Path, edit: str
) -> None:
    """Of other features or views than the artifact's, or none where the views need one."""
    for file in cards.folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    body = json.loads((tmp_path / DESCRIPTION).read_text())
    if edit == "none":
        body["population"] = None
    else:
        first = next(iter(body["population"][edit]))
        body["population"][edit]["other"] = body["population"][edit].pop(first)
    (tmp_path / DESCRIPTION).write_text(json.dumps(body))
    with pytest.raises(ArtifactError, match="population"):
        Artifact(tmp_path)
