"""`wakeful evaluate` as its users type it."""

import csv
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from model.artifact import BASE
from model.evaluation.detector import Options
from model.evaluation.run import score
from model.evaluation.sets import read_labelled_set, tasks_of
from service.cli import main
from tests.model.evaluation.folders import write_keyed_set, write_set

FAST = "ewma,moving-z-score"


def evaluate(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["evaluate", *map(str, arguments)])


def figures(file: Path) -> dict[str, dict[str, dict[str, float]]]:
    """set -> detector -> metrics, without those that measure the machine."""
    body: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    found = {s["name"]: {d["name"]: d["metrics"] for d in s["detectors"]} for s in body["sets"]}
    for detectors in found.values():
        for metrics in detectors.values():
            metrics.pop("microseconds_per_event")
    return found


def test_each_set_is_shown_and_the_figures_are_written(tmp_path: Path) -> None:
    one, two = write_set(tmp_path / "one"), write_keyed_set(tmp_path / "two")
    file = tmp_path / "made" / "figures.json"
    result = evaluate(one, two, "--detectors", f"wakeful-base,{FAST}", "--jobs", 1, "--json", file)
    assert result.exit_code == 0, result.output
    heads = [line.split() for line in result.stdout.splitlines() if "series)" in line]
    assert heads == [
        ["one", "(2", "series)", "wakeful-base", "ewma", "moving-z-score"],
        ["two", "(1", "series)", "wakeful-base", "ewma", "moving-z-score"],
    ]
    found = figures(file)
    assert list(found) == ["one", "two"]
    assert list(found["one"]) == ["wakeful-base", "ewma", "moving-z-score"]
    assert "card_recall_at_top_1_percent" in found["two"]["ewma"]


def test_figures_are_the_same_twice(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", train="train")
    names = "wakeful-base,ewma,half-space-trees,random-cut-forest,windowed-lstm"
    files = [tmp_path / "one.json", tmp_path / "two.json"]
    for file in files:
        result = evaluate(folder, "--detectors", names, "--jobs", 1, "--json", file, "--seed", 4)
        assert result.exit_code == 0, result.output
    assert figures(files[0]) == figures(files[1])


def test_what_is_measured_is_what_serving_says(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", count=1)
    arguments = [folder / "series-0.csv.gz", "--out", tmp_path / "out", "--ignore", "label,part"]
    result = CliRunner().invoke(main, ["replay", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    (task,) = tasks_of(read_labelled_set(folder), {})
    (outputs,) = score("wakeful", Options(), task)
    with (tmp_path / "out" / "series-0.csv").open(newline="", encoding="utf-8") as text:
        rows = list(csv.DictReader(text))
    assert [float(row["score"]) for row in rows] == outputs.score.tolist()
    assert [float(row["level"]) for row in rows] == outputs.level.tolist()


def test_an_artifact_takes_the_place_of_training(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", rows=400, train="train")
    file = tmp_path / "figures.json"
    result = evaluate(
        folder, "--detectors", "wakeful,wakeful-base", "--artifact", BASE, "--jobs", 1,
        "--json", file,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    found = figures(file)["set"]
    assert found["wakeful"] == found["wakeful-base"]
    assert "predicts with" not in result.output


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--detectors", "oracle"], "no detector oracle"),
        (["--direction", "colour=low"], "no series has a feature colour"),
        (["--direction", "load=sideways"], "sideways is none of low, both, high"),
        (["--direction", "load"], "is not NAME=VALUE"),
        (["--direction", "load=low", "--direction", "load=high"], "once"),
        (["--feedback", "--direction", "load=low"], "do not go with it"),
        (["--feedback", "--detectors", "ewma"], "do not go with it"),
        (["--feedback", "--together"], "do not go with it"),
        (["--jobs", "0"], "--jobs"),
        (["--artifact", str(BASE), "--detectors", "ewma"], "--detectors leaves out"),
    ],
)
def test_wrong_usage_has_status_2(tmp_path: Path, arguments: list[str], complaint: str) -> None:
    result = evaluate(write_set(tmp_path / "set"), *arguments)
    assert result.exit_code == 2
    assert complaint in result.output


def test_a_folder_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    assert evaluate(tmp_path / "nowhere").exit_code == 2
    assert evaluate().exit_code == 2


def test_a_missing_package_is_wrong_usage_and_its_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    result = evaluate(write_set(tmp_path / "set"), "--detectors", "half-space-trees")
    assert result.exit_code == 2
    assert "pip install -e '.[evaluate]'" in result.output


def test_series_that_cannot_be_read_have_status_1(tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("timestamp,x\n1,2\n", encoding="utf-8")
    result = evaluate(tmp_path, "--detectors", "ewma", "--jobs", 1)
    assert result.exit_code == 1
    assert "no column label, part" in result.output


def test_a_direction_may_be_declared(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set")
    files = [tmp_path / "both.json", tmp_path / "low.json"]
    arguments = [folder, "--detectors", "ewma", "--jobs", 1, "--json"]
    assert evaluate(*arguments, files[0]).exit_code == 0
    low = ["--direction", "load=low", "--direction", "heat=low"]
    assert evaluate(*arguments, files[1], *low).exit_code == 0
    both, only_low = (figures(file)["set"]["ewma"]["auroc"] for file in files)
    assert only_low < both


def test_the_product_on_real_series(labelled_data: Path, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    result = evaluate(
        labelled_data / "nab", "--quick", "--detectors", "wakeful,ewma", "--jobs", 1, "--json", file
    )
    assert result.exit_code == 0, result.output
    found = figures(file)["nab"]
    assert found["wakeful"]["nab_standard_best_rested"] > 0.0
