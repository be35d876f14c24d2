from pathlib import Path

import numpy as np
import pytest

from model.errors import LabelledDataError
from model.evaluation.sets import Task, read_labelled_set, tasks_of
from tests.model.evaluation.folders import (
    run_of,
    waves,
    write_keyed_set,
    write_series,
    write_set,
)


def tasks(folder: Path, **directions: int) -> list[Task]:
    return tasks_of(read_labelled_set(folder), directions)


def test_nothing_is_trained_on_probation_rows(tmp_path: Path) -> None:
    found = tasks(write_set(tmp_path / "set"))
    assert [task.training for task in found] == [(), ()]
    assert [task.places for task in found] == [(0,), (1,)]
    assert found[0].series[0].warm_up == 50
    assert found[0].events == 300


def test_each_series_is_trained_on_its_own_train_rows(tmp_path: Path) -> None:
    found = tasks(write_set(tmp_path / "set", train="train"))
    for task in found:
        (series,), (lesson,) = task.series, task.training
        assert series.name == lesson.name
        assert series.warm_up == 0
        np.testing.assert_array_equal(lesson.values, series.values[:50])
        np.testing.assert_array_equal(lesson.times, series.times[:50])


def test_a_series_to_learn_from_is_learned_from_by_all(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", train="train")
    calm = np.zeros(250, np.bool_)
    write_series(folder, "calm", waves(9, 250), calm, ["train"] * 250)
    labelled = read_labelled_set(folder)
    assert labelled.counted == [1, 2]
    (task,) = tasks_of(labelled, {})
    assert [one.name for one in task.training] == ["calm", "series-0", "series-1"]
    assert [one.name for one in task.series] == ["series-0", "series-1"]
    assert [len(one) for one in task.training] == [250, 50, 50]


def test_a_keyed_set_is_many_streams_and_one_training(tmp_path: Path) -> None:
    labelled = read_labelled_set(write_keyed_set(tmp_path / "set"))
    assert labelled.key == "card_id"  # the first of two
    (task,) = tasks_of(labelled, {})
    assert task.series[0].features == ("load",)
    assert task.series[0].streams.tolist() == [i % 4 for i in range(400)]
    assert [len(one) for one in task.training] == [50] * 4
    np.testing.assert_array_equal(task.training[1].values, task.series[0].values[1:200:4])


def test_a_caller_may_name_the_key(tmp_path: Path) -> None:
    folder = write_keyed_set(tmp_path / "set")
    assert read_labelled_set(folder, "shop_id").key == "shop_id"
    with pytest.raises(LabelledDataError, match="no column colour"):
        read_labelled_set(folder, "colour")


def test_labels_reach_no_detector(tmp_path: Path) -> None:
    for name, start in (("one", 200), ("other", 120)):
        parts = ["train"] * 100 + ["test"] * 200
        write_series(tmp_path / name, "a", waves(0, 300), run_of(300, start, 250), parts)
    (one,), (other,) = tasks(tmp_path / "one"), tasks(tmp_path / "other")
    np.testing.assert_array_equal(one.series[0].values, other.series[0].values)
    np.testing.assert_array_equal(one.training[0].values, other.training[0].values)
    assert one.series[0].warm_up == other.series[0].warm_up
    assert not any("label" in field for field in one.series[0].__dataclass_fields__)


def test_a_declared_direction_reaches_the_features_that_have_its_name(tmp_path: Path) -> None:
    found = tasks(write_set(tmp_path / "set"), heat=-1)
    assert found[0].series[0].directions.tolist() == [0, -1]


def test_quick_takes_three_series_spread_by_name(tmp_path: Path) -> None:
    labelled = read_labelled_set(write_set(tmp_path / "set", count=6), quick=True)
    assert [one.name for one in labelled.series] == ["series-0", "series-2", "series-5"]


def test_quick_takes_the_first_streams_of_a_keyed_series(tmp_path: Path) -> None:
    folder = write_keyed_set(tmp_path / "set", cards=130, rows=520)
    (series,) = read_labelled_set(folder, quick=True).series
    assert len(np.unique(series.extra["card_id"])) == 100
    assert len(series) == 400
    assert len(series.windows) == np.sum(series.labels)


def test_a_set_without_rows_to_count_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path, "a", waves(0, 20), np.zeros(20, np.bool_), ["train"] * 20)
    with pytest.raises(LabelledDataError, match="no series has rows of the part `test`"):
        read_labelled_set(tmp_path)
