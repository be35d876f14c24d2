"""What a person's word is worth, measured."""

from dataclasses import replace

import numpy as np
import pytest

from model.artifact import BASE, Artifact
from model.errors import EvaluationError
from model.evaluation.feedback import Worth, alarms_of, worth_of
from model.evaluation.labelled import LabelledSeries
from model.series import Series
from model.trainer import train_artifact
from model.training import TrainingSettings


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    return Artifact(BASE)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Of one feature, x."""
    calm = spiked([], [])
    series = Series("calm", calm.times, calm.values)
    folder = tmp_path_factory.mktemp("trained")
    return train_artifact([series], ("x",), folder, TrainingSettings(), "mean")


def spiked(spikes: list[int], windows: list[tuple[int, int]]) -> LabelledSeries:
    random = np.random.default_rng(0)
    values = np.sin(np.arange(3000) / 9) + random.normal(0, 0.05, 3000)
    values[spikes] += 4.0
    values[spikes[:1]] += 6.0  # the first one is the worst
    labels = np.zeros(3000, np.bool_)
    none = np.zeros(3000, np.bool_)
    times = 1.7e9 + 300.0 * np.arange(3000, dtype=np.float64)
    return LabelledSeries(
        "s", times, values[:, None], ("x",), labels, none, none,
        np.array(windows, np.int64).reshape(-1, 2), {},
    )  # fmt: skip


def test_alarms_like_the_marked_one_do_not_come_again(artifact: Artifact) -> None:
    spikes = [1000, 1500, 2000, 2500]
    nothing = alarms_of(artifact, spiked(spikes, []), mark=False)
    assert (nothing.rows.tolist(), nothing.marked) == (spikes, None)
    marked = alarms_of(artifact, spiked(spikes, []), mark=True)
    assert (marked.rows.tolist(), marked.marked) == ([1000], 1000)


def test_what_is_fewer_is_counted_by_its_label(artifact: Artifact) -> None:
    series = spiked([1000, 1500, 2000, 2500], [(1990, 2010)])
    assert worth_of(artifact, [series]) == Worth(2, 2, 1, 1, 1, 1)
    nothing_false = spiked([2000], [(1990, 2010)])
    assert worth_of(artifact, [series, nothing_false]) == Worth(2, 2, 2, 1, 2, 1)


def test_an_artifact_reads_the_columns_that_it_was_trained_on(trained: Artifact) -> None:
    """In whatever order they are, and not others in their place."""
    one = spiked([1000, 1500, 2000, 2500], [])
    other = np.zeros((len(one), 1))
    turned = replace(one, values=np.hstack([other, one.values]), features=("y", "x"))
    straight = replace(one, values=np.hstack([one.values, other]), features=("x", "y"))
    rows = alarms_of(trained, straight, mark=False).rows.tolist()
    assert rows == alarms_of(trained, turned, mark=False).rows.tolist()
    assert rows == alarms_of(trained, one, mark=False).rows.tolist() != []
    with pytest.raises(EvaluationError, match="has no x"):
        alarms_of(trained, replace(one, features=("z",)), mark=False)


def test_what_comes_again_and_again_is_told_all_the_same(artifact: Artifact) -> None:
    series = spiked([1000, 2010, 2100, 2200], [(2000, 2300)])
    assert worth_of(artifact, [series]).windows_lost == 0
