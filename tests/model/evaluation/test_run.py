from pathlib import Path

import numpy as np
import pytest

from model.errors import EvaluationError
from model.evaluation.detector import Options
from model.evaluation.run import Measured, asked, run_set, score, workers
from model.evaluation.sets import read_labelled_set, tasks_of
from tests.model.evaluation.folders import run_of, waves, write_series, write_set

NAMES = ["wakeful-base", "ewma", "half-space-trees"]


def figures(folder: Path, jobs: int, told: list[int]) -> list[Measured]:
    labelled = read_labelled_set(folder)
    with workers(jobs) as pool:
        measured = run_set(labelled, tasks_of(labelled, {}), NAMES, Options(), pool, told.append)
    for one in measured:
        one.metrics.pop("microseconds_per_event")
    return measured


def test_figures_are_the_same_in_one_process_and_in_two(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set")
    one: list[int] = []
    two: list[int] = []
    assert figures(folder, 1, one) == figures(folder, 2, two)
    assert one == two == [300] * 6


def test_detectors_come_in_the_order_in_which_they_were_named(tmp_path: Path) -> None:
    found = figures(write_set(tmp_path / "set"), 1, [])
    assert [one.name for one in found] == NAMES


def test_scores_are_the_same_whatever_the_labels(tmp_path: Path) -> None:
    parts = ["train"] * 60 + ["test"] * 240
    for name, start in (("one", 100), ("other", 220)):
        write_series(tmp_path / name, "a", waves(0, 300), run_of(300, start, 260), parts)
    for name in NAMES:
        one, other = (
            score(name, Options(), tasks_of(read_labelled_set(tmp_path / folder), {})[0])[0]
            for folder in ("one", "other")
        )
        np.testing.assert_array_equal(one.score, other.score)
        np.testing.assert_array_equal(one.alarm, other.alarm)


def test_cells_are_compared_where_there_is_something_to_train_on(tmp_path: Path) -> None:
    names = ["wakeful", "wakeful-gru", "ewma"]
    untrained = tasks_of(read_labelled_set(write_set(tmp_path / "one")), {})
    trained = tasks_of(read_labelled_set(write_set(tmp_path / "other", train="train")), {})
    assert asked(names, Options(), untrained) == ["wakeful", "ewma"]
    assert asked(names, Options(), trained) == names


def test_what_fails_in_a_worker_is_told(tmp_path: Path) -> None:
    labelled = read_labelled_set(write_set(tmp_path / "set"))
    with workers(1) as here, pytest.raises(EvaluationError, match="no detector oracle"):
        run_set(labelled, tasks_of(labelled, {}), ["oracle"], Options(), here)
