import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from model.errors import LabelledDataError
from model.evaluation.intervals import intervals_of
from model.evaluation.labelled import columns_of, read_series, read_set

PLAIN = """timestamp,load,card_id,heat,label,scenario,part
10,1.5,7,,0,0,train
20,2.5,8,-3e2,0,0,probation
20.5,,9,4,1,2,test
40,3,7,,1,2,test
"""


def written(folder: Path, text: str = PLAIN, name: str = "one.csv") -> Path:
    file = folder / name
    data = text.encode()
    file.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return file


@pytest.mark.parametrize("name", ["one.csv", "one.csv.gz"])
def test_a_series_is_read_with_its_labels(tmp_path: Path, name: str) -> None:
    series = read_series(written(tmp_path, name=name))
    assert series.name == "one"
    assert series.features == ("load", "heat")
    assert series.times.tolist() == [10.0, 20.0, 20.5, 40.0]
    expected = [[1.5, np.nan], [2.5, -300.0], [np.nan, 4.0], [3.0, np.nan]]
    np.testing.assert_array_equal(series.values, expected)
    assert series.labels.tolist() == [False, False, True, True]
    assert len(series) == 4


def test_train_and_probation_rows_are_for_training(tmp_path: Path) -> None:
    assert read_series(written(tmp_path)).training.tolist() == [True, True, False, False]
    assert read_series(written(tmp_path)).probation.tolist() == [False, True, False, False]


@pytest.mark.parametrize("name", ["one.csv", "one.csv.gz"])
def test_the_columns_of_a_file_are_told_without_its_rows(tmp_path: Path, name: str) -> None:
    file = written(tmp_path, name=name)
    assert columns_of(file) == PLAIN.partition("\n")[0].split(",")


def test_columns_that_are_no_features_come_along_when_asked_for(tmp_path: Path) -> None:
    series = read_series(written(tmp_path), keep=("scenario", "card_id", "load"))
    assert series.extra["scenario"].tolist() == [0, 0, 2, 2]
    assert series.extra["card_id"].dtype == np.int64
    assert series.extra["load"].dtype == np.float64
    assert series.features == ("heat",)
    assert read_series(written(tmp_path)).extra == {}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_field_may_be_missing_at_the_end_of_a_row(tmp_path: Path, end: str) -> None:
    rows = ["timestamp,label,part,load", "1,0,test,", "2,1,test,5", "3,0,test,"]
    series = read_series(written(tmp_path, end.join(rows)))
    np.testing.assert_array_equal(series.values, [[np.nan], [5.0], [np.nan]])


def test_windows_count_in_the_order_of_time(tmp_path: Path) -> None:
    file = written(tmp_path)
    (tmp_path / "windows.json").write_text(json.dumps({"one": [[40, 40], [10, 20]]}))
    assert read_series(file).windows.tolist() == [[0, 2], [3, 4]]


def test_without_a_file_of_windows_the_runs_of_labels_are_the_windows(tmp_path: Path) -> None:
    assert read_series(written(tmp_path)).windows.tolist() == [[2, 4]]


def test_windows_are_found_by_their_first_and_last_times(tmp_path: Path) -> None:
    windows = {"one": [[20, 20.5], [40, 99]]}
    (tmp_path / "windows.json").write_text(json.dumps(windows), encoding="utf-8")
    assert read_series(written(tmp_path)).windows.tolist() == [[1, 3], [3, 4]]


def test_a_file_of_windows_may_say_that_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "windows.json").write_text('{"one": []}', encoding="utf-8")
    assert read_series(written(tmp_path)).windows.shape == (0, 2)


def test_a_file_of_windows_names_every_series(tmp_path: Path) -> None:
    (tmp_path / "windows.json").write_text("{}", encoding="utf-8")
    with pytest.raises(LabelledDataError, match="does not name one"):
        read_series(written(tmp_path))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("timestamp,x,part\n1,2,test\n", "no column label"),
        ("timestamp,x,label,part\n", "no rows"),
        ("timestamp,x,label,part\n1,many,0,test\n", "many"),
        ("timestamp,x,label,part\n2,1,0,test\n1,1,0,test\n", "timestamps fall"),
        ("timestamp,x,label,part\n1,2,0,TEST\n", "it is train, probation or test"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(LabelledDataError, match=complaint):
        read_series(written(tmp_path, text))


def test_a_column_to_keep_must_exist(tmp_path: Path) -> None:
    with pytest.raises(LabelledDataError, match="no column colour"):
        read_series(written(tmp_path), keep=("colour",))


def test_a_set_is_the_series_of_a_folder_in_order(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv.gz"):
        written(tmp_path, name=name)
    (tmp_path / "README.md").write_text("not a series", encoding="utf-8")
    assert [series.name for series in read_set(tmp_path)] == ["a", "b"]


def test_a_folder_without_series_is_no_set(tmp_path: Path) -> None:
    with pytest.raises(LabelledDataError, match="holds no file"):
        read_set(tmp_path)


def test_the_benchmark_s_windows_are_its_labels(labelled_data: Path) -> None:
    series = read_set(labelled_data / "nab")
    assert len(series) == 31
    for one in series:
        assert one.windows.tolist() == intervals_of(one.labels).tolist(), one.name


def test_transactions_are_read_with_their_customers(labelled_data: Path) -> None:
    file = labelled_data / "fraud" / "transactions.csv.gz"
    series = read_series(file, keep=("customer_id", "scenario"))
    assert series.features == ("amount",)
    assert len(series) > 800_000
    assert set(np.unique(series.extra["scenario"])) == {0, 1, 2, 3}
    assert np.array_equal(series.extra["scenario"] > 0, series.labels)
