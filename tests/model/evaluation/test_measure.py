from pathlib import Path

import numpy as np
import pytest

from model.evaluation.detector import Outputs
from model.evaluation.intervals import F64
from model.evaluation.measure import counted_rows, measure
from model.evaluation.sets import LabelledSet, read_labelled_set
from tests.model.evaluation.folders import run_of, waves, write_keyed_set, write_series, write_set


def outputs(score: F64) -> Outputs:
    """Anomalous from 0.5 on; an alarm at the first event of each run."""
    anomalous = score >= 0.5
    alarm = anomalous & ~np.roll(anomalous, 1)
    return Outputs(score, score.copy(), anomalous, alarm, seconds=2e-6 * len(score))


def perfect(labelled: LabelledSet) -> dict[int, Outputs]:
    """Labels as scores; nothing but a detector's dream."""
    return {n: outputs(labelled.series[n].labels.astype(np.float64)) for n in labelled.counted}


def with_windows(folder: Path, windows: str) -> Path:
    (folder / "windows.json").write_text(windows, encoding="utf-8")
    return folder


def test_a_perfect_detector_is_told_so(tmp_path: Path) -> None:
    labelled = read_labelled_set(write_set(tmp_path / "set"))
    metrics = measure(labelled, perfect(labelled), promised_per_day=0.5)
    ones = {
        "peak_accuracy", "level_peak_accuracy", "range_precision", "range_recall", "range_f1",
        "best_range_f1", "level_best_range_f1", "average_precision", "auroc", "best_f1",
        "level_average_precision", "level_auroc", "level_best_f1", "share_detected", "vus_pr",
    }  # fmt: skip
    assert {name for name, value in metrics.items() if value == 1.0} == ones
    assert metrics["delay_seconds"] == metrics["false_alarms_per_day"] == 0.0
    assert metrics["promised_per_day"] == 0.5
    assert metrics["microseconds_per_event"] == pytest.approx(2.0)
    assert not any(name.startswith("nab") for name in metrics)


def test_nab_s_score_is_for_sets_with_windows(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", count=1)
    times = read_labelled_set(folder).series[0].times
    with_windows(folder, f'{{"series-0": [[{times[220]}, {times[239]}]]}}')
    labelled = read_labelled_set(folder)
    metrics = measure(labelled, perfect(labelled), 0.0)
    nab = [value for name, value in metrics.items() if name.startswith("nab")]
    assert nab == pytest.approx([100.0] * 7, abs=0.2)


def test_rows_that_are_not_of_the_part_test_count_for_nothing(tmp_path: Path) -> None:
    labelled = read_labelled_set(write_set(tmp_path / "set"))
    wild = perfect(labelled)
    for one in wild.values():
        one.score[:50] = one.level[:50] = 9.0
        one.anomalous[:50] = one.alarm[:50] = True
    assert measure(labelled, wild, 0.0) == measure(labelled, perfect(labelled), 0.0)


def test_a_false_alarm_is_counted_for_the_days_of_its_stream(tmp_path: Path) -> None:
    labelled = read_labelled_set(write_set(tmp_path / "set"))
    found = perfect(labelled)
    found[0].alarm[100] = True
    found[0].anomalous[100] = True
    normal_days = 2 * (250 - 20) / 1440.0
    metrics = measure(labelled, found, 0.0)
    assert metrics["false_alarms_per_day"] == pytest.approx(1.0 / normal_days)
    assert metrics["range_precision"] == pytest.approx(2 / 3)


def test_a_late_alarm_has_its_delay(tmp_path: Path) -> None:
    labelled = read_labelled_set(write_set(tmp_path / "set"))
    found = perfect(labelled)
    for n, late in ((0, 3), (1, 7)):
        found[n].alarm[:] = False
        found[n].alarm[220 + late] = True
    metrics = measure(labelled, found, 0.0)
    assert metrics["delay_seconds"] == 300.0
    assert metrics["share_detected"] == 1.0
    found[1].alarm[:] = False
    assert measure(labelled, found, 0.0)["share_detected"] == 0.5


def test_the_peak_is_for_series_of_one_anomaly_each(tmp_path: Path) -> None:
    labels = run_of(300, 100, 110) | run_of(300, 200, 210)
    write_series(tmp_path / "set", "two", waves(0, 300), labels, ["test"] * 300)
    labelled = read_labelled_set(tmp_path / "set")
    assert "peak_accuracy" not in measure(labelled, perfect(labelled), 0.0)


def test_keyed_streams_are_counted_one_by_one(tmp_path: Path) -> None:
    labelled = read_labelled_set(write_keyed_set(tmp_path / "set"))
    (series,) = labelled.series
    parts = counted_rows(series, labelled.key, perfect(labelled)[0])
    assert [len(part.times) for part in parts] == [50] * 4
    assert [int(part.labels.sum()) for part in parts] == [1, 0, 0, 1]
    assert [len(part.windows) for part in parts] == [1, 0, 0, 1]
    metrics = measure(labelled, perfect(labelled), 0.0)
    assert metrics["card_recall_at_top_1_percent"] == 1.0
    assert metrics["average_precision_scenarios_1_3"] == 1.0
    assert "vus_pr" not in metrics
    assert "range_f1" not in metrics


def test_what_the_labels_leave_undefined_is_left_out(tmp_path: Path) -> None:
    write_series(tmp_path / "set", "calm", waves(0, 100), np.zeros(100, np.bool_), ["test"] * 100)
    labelled = read_labelled_set(tmp_path / "set")
    metrics = measure(labelled, perfect(labelled), float("nan"))
    assert set(metrics) == {"false_alarms_per_day", "microseconds_per_event"}
