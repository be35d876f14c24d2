"""Small folders of labelled series, generated: waves with noise, a shift where it is anomalous."""

import csv
import gzip
from pathlib import Path

import numpy as np

from model.evaluation.detector import Events
from model.evaluation.intervals import F64, Bools

START = 1.7e9
COLUMNS = ("load", "heat")


def waves(seed: int, rows: int, features: int = 2) -> F64:
    """(rows, features): a period of 40 events, and noise."""
    random = np.random.default_rng(seed)
    phase = np.arange(rows)[:, None] * 2.0 * np.pi / 40.0 + np.arange(features)
    values: F64 = 10.0 + np.sin(phase) + 0.1 * random.normal(size=(rows, features))
    return values


def run_of(rows: int, start: int, stop: int) -> Bools:
    """(rows,), True from `start` to `stop`."""
    labels = np.zeros(rows, np.bool_)
    labels[start:stop] = True
    return labels


def write_series(
    folder: Path, name: str, values: F64, labels: Bools, parts: list[str], **more: list[int]
) -> None:
    """One gzipped file, an event a minute; `more` are further columns."""
    folder.mkdir(exist_ok=True)
    names = COLUMNS[: values.shape[1]]
    with gzip.open(folder / f"{name}.csv.gz", "wt", newline="") as text:
        writer = csv.writer(text)
        writer.writerow(["timestamp", *more, *names, "label", "part"])
        for i, row in enumerate(values):
            extra = [column[i] for column in more.values()]
            time = START + 60.0 * i
            writer.writerow([time, *extra, *row.tolist(), int(labels[i]), parts[i]])


def write_set(folder: Path, count: int = 2, rows: int = 300, train: str = "probation") -> Path:
    """Series of two features; the first sixth is of the part `train`, the anomaly near the end."""
    for n in range(count):
        labels = run_of(rows, rows - 80, rows - 60)
        values = waves(n, rows) + 5.0 * labels[:, None]
        parts = [train if i < rows // 6 else "test" for i in range(rows)]
        write_series(folder, f"series-{n}", values, labels, parts)
    return folder


def write_keyed_set(folder: Path, cards: int = 4, rows: int = 400) -> Path:
    """One series of several cards in turn, the first half to train on; frauds of two scenarios."""
    card = [100 + 3 * (i % cards) for i in range(rows)]
    scenario = [0] * rows
    scenario[rows - 40], scenario[rows - 21] = 1, 2
    labels = np.array(scenario) > 0
    more = {"card_id": card, "shop_id": card[::-1], "scenario": scenario}
    values = waves(5, rows, 1) + 8.0 * labels[:, None]
    parts = ["train" if i < rows // 2 else "test" for i in range(rows)]
    write_series(folder, "payments", values, labels, parts, **more)
    return folder


def events(values: F64, streams: int = 1, warm_up: int = 0) -> Events:
    """Values (T, F) as events of streams in turn."""
    rows, features = values.shape
    return Events(
        name="made",
        features=COLUMNS[:features],
        times=START + 60.0 * np.arange(rows, dtype=np.float64),
        values=values,
        streams=np.arange(rows) % streams,
        directions=np.zeros(features, np.int8),
        warm_up=warm_up,
    )


def first(given: Events, rows: int) -> Events:
    """The first events of a series."""
    return Events(
        given.name,
        given.features,
        given.times[:rows],
        given.values[:rows],
        given.streams[:rows],
        given.directions,
        given.warm_up,
    )
