import json
from pathlib import Path

from model.evaluation.detector import Options
from model.evaluation.run import Measured, workers
from model.evaluation.run import run_set as run
from model.evaluation.sets import read_labelled_set, tasks_of
from model.evaluation.table import MEANINGS, SetFigures, shown, to_json, to_text
from tests.model.evaluation.folders import write_keyed_set, write_set

FIGURES = SetFigures(
    "plant",
    3,
    (
        Measured("one", {"auroc": 2 / 3, "delay_seconds": 1234.5678}),
        Measured("another", {"auroc": 0.5}, {"lstm": 1, "linear": 2}),
    ),
)


def test_the_json_is_as_agreed() -> None:
    assert json.loads(json.dumps(to_json([FIGURES]))) == {
        "sets": [
            {
                "name": "plant",
                "series": 3,
                "detectors": [
                    {
                        "name": "one",
                        "metrics": {"auroc": 0.666667, "delay_seconds": 1234.57},
                        "predictors": {},
                    },
                    {
                        "name": "another",
                        "metrics": {"auroc": 0.5},
                        "predictors": {"lstm": 1, "linear": 2},
                    },
                ],
            }
        ]
    }


def test_a_table_has_a_line_for_each_metric_that_some_detector_has() -> None:
    assert to_text(FIGURES).splitlines() == [
        "plant (3 series)     one  another",
        "auroc              0.667    0.500",
        "delay_seconds     1234.6        -",
        "another predicts with linear on 2, lstm on 1",
    ]
    assert shown(-0.5) == "-0.500"


def test_every_metric_is_explained(tmp_path: Path) -> None:
    windowed = write_set(tmp_path / "windowed")
    times = [
        f'"series-{n}": [[{one.times[220]}, {one.times[239]}]]'
        for n, one in enumerate(read_labelled_set(windowed).series)
    ]
    (windowed / "windows.json").write_text(f"{{{', '.join(times)}}}", encoding="utf-8")
    found: set[str] = set()
    for folder in (windowed, write_keyed_set(tmp_path / "keyed")):
        labelled = read_labelled_set(folder)
        with workers(1) as here:
            (measured,) = run(labelled, tasks_of(labelled, {}), ["wakeful-base"], Options(), here)
        found |= set(measured.metrics)
    assert found == set(MEANINGS)
