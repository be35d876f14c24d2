"""`wakeful compare`: RNN, GRU and LSTM on the same data, figures printed and written."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from model.comparison.cells import CELLS, LENGTHS, CellFigures, measure_cell
from model.comparison.tasks import TASKS
from model.series import Series
from model.training import TrainingSettings

SHIPPED = (Path(__file__).parent / "demo" / "data" / "operations" / "nyc_taxi.csv.gz",)
UPDATES, QUICK_UPDATES = 1000, 60
QUICK_LENGTHS = 10, 30


def compare(
    series: Sequence[Series], features: tuple[str, ...], quick: bool, seed: int
) -> list[CellFigures]:
    """The three cells, trained on the same series and tasks."""
    lengths, updates = (QUICK_LENGTHS, QUICK_UPDATES) if quick else (LENGTHS, UPDATES)
    settings = TrainingSettings(updates=QUICK_UPDATES if quick else UPDATES, seed=seed)
    total = len(CELLS) * len(TASKS) * len(lengths) * updates
    with tqdm(total=total, desc="comparing", unit=" updates", disable=None) as bar:

        def progress(made: int) -> None:
            bar.update(made)

        return [
            measure_cell(cell, series, features, lengths, updates, settings, progress)
            for cell in CELLS
        ]


def to_text(figures: Sequence[CellFigures]) -> str:
    """A line for each figure, a column for each cell."""
    columns = [_lines(one) for one in figures]
    names = list(dict.fromkeys(name for column in columns for name in column))
    width = max(map(len, names))
    lines = [" " * width + "".join(f"{one.cell:>12}" for one in figures)]
    lines += [
        f"{name:<{width}}" + "".join(f"{column.get(name, '-'):>12}" for column in columns)
        for name in names
    ]
    return "\n".join(lines)


def _lines(one: CellFigures) -> Mapping[str, str]:
    lines = {
        f"recall, {task}, {steps} steps": f"{recall:.2f}"
        for task, by_steps in one.recall.items()
        for steps, recall in by_steps.items()
    }
    lines |= {f"gradient, {steps} steps back": f"{g:.1e}" for steps, g in one.gradient.items()}
    return lines | {
        "held-out loss, nats": f"{one.held_out_loss:.3f}",
        "disturbances found": f"{one.disturbances_found:.3f}",
        "steps a second": f"{one.steps_per_second:,.0f}",
        "bytes of states": f"{one.network_bytes:,}",
        "bytes of a memory": f"{one.row_bytes:,}",
    }


def write_figures(figures: Sequence[CellFigures], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    body = {"cells": [asdict(one) for one in figures]}
    file.write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")
