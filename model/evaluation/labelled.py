"""Labelled series, read from files.

A series is one CSV file, gzipped or not, with a head line: `timestamp` (Unix seconds, not falling),
feature columns (empty where missing), `label` (1 = anomalous), `part`. Of the parts, `train` and
`probation` may be learned from, never with their labels. `scenario` and columns that end in `_id`
are no features; a caller may ask for them by name.

A file `windows.json` beside the series gives, by name, the intervals [first time, last time] in
Unix seconds in which an alarm counts; without it, intervals are the runs of `label`.
"""

import gzip
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model.errors import LabelledDataError
from model.evaluation.intervals import F64, I64, Bools, intervals_of

WINDOWS_FILE = "windows.json"
SUFFIXES = (".csv", ".csv.gz")
PROBATION = "probation"
LEARNED_FROM = ("train", PROBATION)
PARTS = {*LEARNED_FROM, "test"}
REQUIRED = {"timestamp", "label", "part"}
NO_FEATURES = REQUIRED | {"scenario"}
PART_CHARACTERS = 16
EMPTY_FIELD = re.compile(r",(?=,|\r?$)", re.MULTILINE)

Columns = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class LabelledSeries:
    """One series with its labels.

    times: (T,) Unix seconds. values: (T, F), NaN where missing. labels: (T,), True where anomalous.
    training: (T,), True where a model may learn; probation: (T,), those of them that a detector
    settles on, rather than one is trained on. windows: (K, 2), first row and the row behind the
    last of each interval in which an alarm counts. extra: (T,) each, columns that were asked for.
    """

    name: str
    times: F64
    values: F64
    features: tuple[str, ...]
    labels: Bools
    training: Bools
    probation: Bools
    windows: I64
    extra: dict[str, npt.NDArray[Any]]

    def __len__(self) -> int:
        return len(self.times)


def files_of(folder: Path) -> list[Path]:
    """The files of a folder that are series, by name."""
    files = sorted(file for file in folder.iterdir() if file.name.endswith(SUFFIXES))
    if not files:
        raise LabelledDataError(f"{folder} holds no file that ends in {' or '.join(SUFFIXES)}")
    return files


def columns_of(file: Path) -> list[str]:
    """The names in a file's head line."""
    opened = gzip.open if file.suffix == ".gz" else open
    with opened(file, "rt", encoding="utf-8") as text:
        return text.readline().strip().split(",")


def read_set(folder: Path, keep: tuple[str, ...] = ()) -> list[LabelledSeries]:
    """Every series of a folder, by name."""
    return [read_series(file, keep) for file in files_of(folder)]


def read_series(file: Path, keep: tuple[str, ...] = ()) -> LabelledSeries:
    """One series; the columns named in `keep` come along in `extra`, and are no features."""
    columns = _read_columns(file, keep)
    name = _name_of(file)
    features = tuple(c for c in columns.dtype.names or () if _is_feature(c) and c not in keep)
    times = columns["timestamp"].copy()
    if np.any(times[1:] < times[:-1]):
        raise LabelledDataError(f"{file}: timestamps fall; sort the rows by time")
    labels = columns["label"] > 0.0
    return LabelledSeries(
        name=name,
        times=times,
        values=np.column_stack([np.empty((len(times), 0)), *(columns[f] for f in features)]),
        features=features,
        labels=labels,
        training=np.isin(columns["part"], LEARNED_FROM),
        probation=columns["part"] == PROBATION,
        windows=_windows(file.parent / WINDOWS_FILE, name, times, labels),
        extra={column: _integers_if_whole(columns[column]) for column in keep},
    )


def _name_of(file: Path) -> str:
    return file.name.removesuffix(".gz").removesuffix(".csv")


def _is_feature(column: str) -> bool:
    return column not in NO_FEATURES and not column.endswith("_id")


def _read_columns(file: Path, keep: tuple[str, ...]) -> Columns:
    """(T,) with a field for each column: text for `part`, float64 for the others."""
    text = _text(file)
    head, _, body = text.partition("\n")
    names = head.strip().split(",")
    missing = (REQUIRED | set(keep)) - set(names)
    if missing:
        raise LabelledDataError(f"{file}: no column {', '.join(sorted(missing))}")
    if not body.strip():
        raise LabelledDataError(f"{file}: no rows")
    kinds = [(name, f"<U{PART_CHARACTERS}" if name == "part" else "<f8") for name in names]
    try:
        columns: Columns = np.loadtxt(_said_missing(body), dtype=kinds, delimiter=",", ndmin=1)
    except ValueError as error:
        raise LabelledDataError(f"{file}: {error}") from error
    if unknown := set(columns["part"].tolist()) - PARTS:
        found = ", ".join(sorted(map(repr, unknown)))
        raise LabelledDataError(f"{file}: part is {found}; it is train, probation or test")
    return columns


def _text(file: Path) -> str:
    raw = file.read_bytes()
    return (gzip.decompress(raw) if file.suffix == ".gz" else raw).decode()


def _said_missing(body: str) -> io.StringIO:
    """The rows, with empty fields behind the first written as nan."""
    return io.StringIO(EMPTY_FIELD.sub(",nan", body))


def _integers_if_whole(column: F64) -> npt.NDArray[Any]:
    """Identifiers and scenarios are whole numbers: as such they can be keys."""
    whole = bool(np.all(np.mod(column, 1.0) == 0.0))
    return column.astype(np.int64) if whole else column.copy()


def _windows(file: Path, name: str, times: F64, labels: Bools) -> I64:
    if not file.is_file():
        return intervals_of(labels)
    named: dict[str, list[list[float]]] = json.loads(file.read_text(encoding="utf-8"))
    if name not in named:
        raise LabelledDataError(f"{file} does not name {name}")
    limits = np.array(sorted(named[name]), np.float64).reshape(-1, 2)
    first = np.searchsorted(times, limits[:, 0], side="left")
    behind = np.searchsorted(times, limits[:, 1], side="right")
    return np.column_stack([first, behind]).astype(np.int64)
