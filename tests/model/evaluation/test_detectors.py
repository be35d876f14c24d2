"""What holds for every detector, the product's and the baselines."""

import dataclasses
import importlib.util

import numpy as np
import pytest

from model.errors import EvaluationError
from model.evaluation.detector import Options, Outputs
from model.evaluation.detectors import BUILDERS, PACKAGES, build, require
from model.evaluation.wakeful import WakefulDetector
from model.series import Series
from tests.model.evaluation.folders import events, first, waves

FIELDS = ("score", "level", "anomalous", "alarm")
UPDATES = 60  # of what is trained: enough to be another than the base artifact
STREAMS = 2
ROWS = 700
GIVEN = events(waves(1, ROWS) + 6.0 * (np.arange(ROWS) >= 620)[:, None], STREAMS, warm_up=120)
LESSON = waves(2, 210)
TRAINING = [Series("lesson", 60.0 * np.arange(len(LESSON), dtype=np.float64), LESSON)]


def assert_same(found: Outputs, expected: Outputs, rows: int | None = None) -> None:
    for field in FIELDS:
        np.testing.assert_array_equal(
            getattr(found, field), getattr(expected, field)[:rows], err_msg=field
        )


@pytest.fixture(scope="module", params=BUILDERS)
def scored(request: pytest.FixtureRequest) -> tuple[str, list[Outputs]]:
    """A whole series of two streams, its first half and its first third."""
    training = TRAINING if request.param.startswith("wakeful") else []
    detector = build(request.param, Options())
    if isinstance(detector, WakefulDetector) and detector.updates is None:
        detector = dataclasses.replace(detector, updates=UPDATES)
    halves = [first(GIVEN, ROWS // 2), first(GIVEN, ROWS // 3)]
    return request.param, detector.score([GIVEN, *halves], training)


def test_what_is_said_of_an_event_does_not_depend_on_later_ones(
    scored: tuple[str, list[Outputs]],
) -> None:
    _, (whole, half, third) = scored
    assert_same(half, whole, ROWS // 2)
    assert_same(third, whole, ROWS // 3)


def test_outputs_are_finite_and_one_for_each_event(scored: tuple[str, list[Outputs]]) -> None:
    name, (whole, *_) = scored
    for field in FIELDS:
        assert getattr(whole, field).shape == (ROWS,)
    assert np.all(np.isfinite(whole.score))
    assert np.all(np.isfinite(whole.level))
    assert np.all(whole.anomalous[whole.alarm])
    assert whole.seconds > 0.0
    assert build(name, Options()).name == name


def test_a_shift_is_surprising_to_all(scored: tuple[str, list[Outputs]]) -> None:
    name, (whole, *_) = scored
    normal = np.median(whole.score[550:620])
    assert whole.score[620:640].max() > normal, name


def test_training_changes_what_the_product_says(scored: tuple[str, list[Outputs]]) -> None:
    name, (whole, *_) = scored
    (untrained,) = build("wakeful-base", Options()).score([GIVEN], TRAINING)
    assert np.array_equal(whole.score, untrained.score) == (name == "wakeful-base")


@pytest.mark.parametrize("name", [n for n in BUILDERS if not n.startswith("wakeful-")])
def test_the_same_seed_gives_the_same_scores(name: str) -> None:
    given = [first(GIVEN, 300)]
    twice = [build(name, Options(seed=3)).score(given, [])[0] for _ in range(2)]
    assert_same(twice[0], twice[1])


@pytest.mark.parametrize("name", ["wakeful-base", "ewma", "half-space-trees", "random-cut-forest"])
def test_streams_know_nothing_of_each_other(name: str) -> None:
    detector = build(name, Options())
    rows = GIVEN.streams == 1
    alone = dataclasses.replace(
        GIVEN,
        times=GIVEN.times[rows],
        values=GIVEN.values[rows],
        streams=np.zeros(int(rows.sum()), np.int64),
    )
    together, apart = detector.score([GIVEN, alone], [])
    np.testing.assert_array_equal(together.score[rows], apart.score)
    np.testing.assert_array_equal(together.alarm[rows], apart.alarm)


@pytest.mark.parametrize("name", ["wakeful-base", "ewma", "moving-z-score"])
def test_a_declared_direction_silences_the_other(name: str) -> None:
    values = waves(4, 400, 1)
    values[300:320] -= 8.0
    both = events(values)
    high = dataclasses.replace(both, directions=np.ones(1, np.int8))
    seen, unseen = build(name, Options()).score([both, high], [])
    assert seen.score[300] > 2.0 * unseen.score[300]


def test_a_detector_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(EvaluationError, match="no detector oracle; there are wakeful, "):
        build("oracle", Options())


@pytest.mark.parametrize(("name", "package"), PACKAGES.items())
def test_a_package_that_is_missing_is_told_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(EvaluationError, match=rf"{name} needs {package}: .*\.\[evaluate\]"):
        require([name])
    require(["wakeful", "wakeful-base", "ewma", "moving-z-score"])
