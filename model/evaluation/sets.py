"""Sets of labelled series, and by which rule one trains on them and counts: one for all detectors.

    part `train`       is trained on, without labels, and passed through, but not counted
    part `probation`   is passed through; nothing is trained on it, and it is not counted
    part `test`        is counted

Each series has a detector of its own, trained on its `train` rows, and is scored from its first row
to its last in one causal pass. A set may be trained on as a whole, once, where it is asked for; two
kinds of set always are:

- one in which a series has nothing but `train` rows. It was recorded to learn from, and it is of
  the same plant as the others; who runs that plant would give all of it to one training.
- one that is keyed: a column that ends in `_id` names the stream of each row. There are many
  streams, each too short to train on alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from model.errors import LabelledDataError
from model.evaluation.detector import Events
from model.evaluation.intervals import I64, Bools, intervals_of, rows_of
from model.evaluation.labelled import (
    WINDOWS_FILE,
    LabelledSeries,
    columns_of,
    files_of,
    read_series,
)
from model.evaluation.nab import probation_rows
from model.evaluation.transactions import SCENARIO
from model.scorer import directions_of
from model.series import Series

KEY_SUFFIX = "_id"
QUICK_SERIES, QUICK_STREAMS = 3, 100


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """key: the column that names the streams; None where each series is one stream.

    windowed: whether a file says in which intervals an alarm counts.
    """

    name: str
    series: tuple[LabelledSeries, ...]
    key: str | None
    windowed: bool

    @property
    def counted(self) -> list[int]:
        """The series that have rows to count."""
        return [n for n, one in enumerate(self.series) if not one.training.all()]


@dataclass(frozen=True, slots=True)
class Task:
    """Series that are scored after the same training; `places`: their numbers in the set."""

    places: tuple[int, ...]
    series: tuple[Events, ...]
    training: tuple[Series, ...]

    @property
    def events(self) -> int:
        return sum(map(len, self.series))


def read_labelled_set(folder: Path, key: str | None = None, quick: bool = False) -> LabelledSet:
    """A folder of series; without `key` the first column that ends in `_id`, if any, is the key.

    `quick` takes three series, evenly spread by name, and of a keyed series 100 streams.
    """
    files = files_of(folder)
    names = columns_of(files[0])
    key = key or next((name for name in names if name.endswith(KEY_SUFFIX)), None)
    keep = tuple(name for name in (key, SCENARIO) if name in names)
    if key is not None and key not in keep:
        raise LabelledDataError(f"{files[0]}: no column {key} to tell streams by")
    if quick:
        files = [files[n] for n in _spread(len(files), QUICK_SERIES)]
    series = [read_series(file, keep) for file in files]
    if quick and key is not None:
        series = [_first_streams(one, key) for one in series]
    if all(one.training.all() for one in series):
        raise LabelledDataError(f"{folder}: no series has rows of the part `test` to count")
    windowed = (folder / WINDOWS_FILE).is_file()
    return LabelledSet(folder.resolve().name, tuple(series), key, windowed)


def tasks_of(
    labelled: LabelledSet, directions: Mapping[str, int], together: bool = False
) -> list[Task]:
    """What is to be scored, and after which training; `together`: one on all series of the set."""
    lessons = [lessons_of(one, labelled.key) for one in labelled.series]
    places = labelled.counted
    events = {n: events_of(labelled.series[n], labelled.key, directions) for n in places}
    if together or _trained_as_a_whole(labelled):
        pooled = tuple(part for parts in lessons for part in parts)
        return [Task(tuple(places), tuple(events.values()), pooled)]
    return [Task((n,), (events[n],), tuple(lessons[n])) for n in places]


def events_of(series: LabelledSeries, key: str | None, directions: Mapping[str, int]) -> Events:
    """A series without its labels."""
    return Events(
        name=series.name,
        features=series.features,
        times=series.times,
        values=series.values,
        streams=streams_of(series, key),
        directions=directions_of(series.features, dict(directions)),
        warm_up=_warm_up(series),
    )


def lessons_of(series: LabelledSeries, key: str | None) -> list[Series]:
    """The `train` rows of a series, stream by stream."""
    rows = np.flatnonzero(trained_on(series))
    streams = streams_of(series, key)[rows]
    parts = [rows[streams == k] for k in np.unique(streams)] if key else [rows]
    return [
        Series(f"{series.name}/{n}" if key else series.name, series.times[at], series.values[at])
        for n, at in enumerate(parts)
        if len(at)
    ]


def trained_on(series: LabelledSeries) -> Bools:
    """(T,): True on `train` rows, False on those of probation."""
    return series.training & ~series.probation


def streams_of(series: LabelledSeries, key: str | None) -> I64:
    """(T,): the number of each row's stream, from 0, by the key's order."""
    if key is None:
        return np.zeros(len(series), np.int64)
    return np.unique(series.extra[key], return_inverse=True)[1].astype(np.int64)


def _trained_as_a_whole(labelled: LabelledSet) -> bool:
    recorded_to_learn_from = any(trained_on(one).all() for one in labelled.series)
    return labelled.key is not None or recorded_to_learn_from


def _warm_up(series: LabelledSeries) -> int:
    if trained_on(series).any():
        return 0
    return int(series.probation.sum()) or probation_rows(len(series))


def _spread(count: int, most: int) -> Sequence[int]:
    chosen = np.linspace(0, count - 1, min(count, most)).round().astype(int)
    return [int(n) for n in chosen]


def _first_streams(series: LabelledSeries, key: str) -> LabelledSeries:
    """The rows of the first streams by key; the windows follow them."""
    rows = streams_of(series, key) < QUICK_STREAMS
    return replace(
        series,
        times=series.times[rows],
        values=series.values[rows],
        labels=series.labels[rows],
        training=series.training[rows],
        probation=series.probation[rows],
        windows=intervals_of(rows_of(series.windows, len(series))[rows]),
        extra={name: column[rows] for name, column in series.extra.items()},
    )
