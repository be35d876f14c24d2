import numpy as np
import pytest

from model.artifact import Artifact
from model.calibration import FEWEST_BLOCKS, block_maxima, calibrate, uncalibrated
from model.config import ModelConfig
from model.series import Series
from model.tails import BLOCK_EVENTS, UNSPOKEN, YOUNG
from tests.model.conftest import noisy, ticks


def series_of(seed: int, n: int) -> Series:
    return Series(f"s{seed}", ticks(n), noisy(seed, n, 3))


def test_before_calibration_nothing_is_anomalous() -> None:
    """Each view starts with an entry for a block in which it said nothing."""
    config = ModelConfig()
    assert uncalibrated(config) == {view: [UNSPOKEN] for view in config.views}


def test_a_calibration_has_as_many_maxima_for_each_view(joint: Artifact) -> None:
    """At most as many as are asked for and as there are blocks, all of them bytes.

    (An anomalous block now and then is not learned from; the first ones are forgotten.)
    """
    series = [series_of(seed, 600) for seed in range(2)]
    for asked, given in ((4, 4), (50, 2 * (12 - YOUNG))):
        found = calibrate(joint, series, asked).calibration
        assert set(found) == set(joint.config.views)
        for maxima in found.values():
            assert 0.8 * given <= len(maxima) <= given
            assert all(0 <= byte <= UNSPOKEN for byte in maxima)


def test_a_calibration_is_the_same_twice(joint: Artifact) -> None:
    """The same artifact and series give the same description; all but the maxima stays."""
    series = [series_of(0, 400)]
    first, again = (calibrate(joint, series, 8) for _ in range(2))
    assert first == again
    assert first.config == joint.description.config
    assert first.training == joint.description.training


def test_a_calibration_is_of_what_the_blocks_reached(joint: Artifact) -> None:
    """As many maxima as blocks are all of them; fewer have the same middle."""
    series = series_of(1, 40 * BLOCK_EVENTS)
    blocks = block_maxima(joint, series, 0)
    assert len(blocks) == len(joint.config.views)
    assert 35 <= blocks.shape[1] <= 40
    few = calibrate(joint, [series], 4).calibration
    for v, view in enumerate(joint.config.views):
        low, high = np.quantile(blocks[v], [0.05, 0.95])
        assert low - 1 <= np.median(few[view]) <= high + 1


def test_any_last_maxima_are_a_fair_sample(joint: Artifact) -> None:
    """A stream replaces the first ones first: those that are left are neither large nor small."""
    found = calibrate(joint, [series_of(2, 60 * BLOCK_EVENTS)], 50).calibration["near"]
    ranks = np.argsort(np.argsort(found))
    assert len(found) == 50
    for left in (10, 20, 30):
        assert ranks[-left:].mean() == pytest.approx(24.5, abs=10.0)


def test_what_the_network_was_trained_on_does_not_count(joint: Artifact) -> None:
    """Behind the share that was trained on, the rest counts as a new stream that it might be."""
    series = series_of(3, 3 * FEWEST_BLOCKS * BLOCK_EVENTS)
    rest = block_maxima(joint, series.last(len(series) // 2), YOUNG)
    count = rest.shape[1]
    found = calibrate(joint, [series], count, after=0.5).calibration
    for v, view in enumerate(joint.config.views):
        assert len(found[view]) == count
        assert min(found[view]) >= rest[v].min()
        assert max(found[view]) <= rest[v].max()


def test_of_many_short_series_the_first_blocks_do_not_count(joint: Artifact) -> None:
    """A new stream whose tails began with the wildest first blocks of others would be deaf."""
    short = [series_of(seed, 6 * BLOCK_EVENTS) for seed in range(20)]
    rest = np.concatenate([block_maxima(joint, one, YOUNG) for one in short], axis=1)
    assert FEWEST_BLOCKS < rest.shape[1] <= 20 * (6 - YOUNG)
    for after in (0.0, 0.85):  # of what is held out not one block is left
        found = calibrate(joint, short, 80, after).calibration
        for v, view in enumerate(joint.config.views):
            assert len(found[view]) == rest.shape[1]
            assert max(found[view]) <= rest[v].max()


def test_where_too_little_is_held_out_everything_counts(joint: Artifact) -> None:
    """With fewer blocks than say anything behind the share, the whole series is taken."""
    series = series_of(4, 10 * BLOCK_EVENTS)
    found = calibrate(joint, [series], 80, after=0.85).calibration["near"]
    assert 8 <= len(found) <= 10
