"""`wakeful train`: CSV files to series, series to an artifact."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.artifact import Description
from model.categories import buckets_of
from model.series import Series
from service.clock import parse_time
from service.errors import SettingsError
from service.sources.table import Columns, open_text, read_columns, read_rows, sniff, value_of


@dataclass(frozen=True, slots=True)
class Selection:
    """Which columns and rows to train on; `where` keeps the rows whose column has that text."""

    key: str | None
    time: str | None
    features: list[str] | None
    ignore: tuple[str, ...]
    where: dict[str, str]
    categories: tuple[str, ...] = ()


def read_series(
    files: Sequence[Path], selection: Selection
) -> tuple[list[Series], tuple[str, ...]]:
    """Every stream of every file, and the features; SettingsError where files do not agree."""
    series: list[Series] = []
    features: tuple[str, ...] | None = None
    for file in files:
        columns, more = _read_file(file, selection, features)
        features = features or columns.features
        series += more
    return series, features or ()


def chosen(description: Description, categories: Sequence[str] = ()) -> list[str]:
    """What training found in the data and what it took, in words; categories: that were given."""
    config, found = description.config, description.training["disturbances_found"]
    others = ", ".join(f"{cell} {share:.2f}" for cell, share in found.items())
    period = "no period"
    if config.unit == "increments":
        period = f"a period of about {round(2 * config.persistence * config.resolutions[0])} events"
    held = "many streams alike: each is held against the others, and judged from its first event"
    if not config.in_population:
        held = "each stream is held against its own past"
        known = [
            name for name, pair in zip(config.features, config.scales, strict=False) if pair[0]
        ]
        if known:
            held += f", a new one at first in these streams' scales of {', '.join(known)}"
    takes = f"takes {config.cell}; disturbances told: {others}"
    if categories and not config.categories:
        takes += f"; it does not read {', '.join(categories)}: no better told with them"
    return [f"found {period}; {held}", takes]


def _read_file(
    file: Path, selection: Selection, features: tuple[str, ...] | None
) -> tuple[Columns, list[Series]]:
    with open_text(file) as text:
        first, rows = sniff(read_rows(file, text))
        ignore = (*selection.ignore, *selection.where)
        columns = read_columns(
            file,
            first,
            selection.key,
            selection.time,
            features or selection.features,
            ignore,
            selection.categories,
        )
        streams: dict[str, list[tuple[float, list[float], list[str | None]]]] = defaultdict(list)
        clock = -1.0
        for line, row in enumerate(rows, 2):
            cells = dict(zip(columns.names, row, strict=False))
            if any(cells.get(name) != text for name, text in selection.where.items()):
                continue
            clock = _time(cells, columns, clock, f"{file}:{line}")
            stream = cells.get(columns.key, "") if columns.key else columns.stream
            categories = [cells.get(name) for name in columns.categories]
            streams[stream].append((clock, _values(cells, columns, f"{file}:{line}"), categories))
    return columns, [
        Series(
            f"{columns.stream}/{name}",
            np.array([time for time, _, _ in events]),
            np.array([values for _, values, _ in events]),
            buckets_of([texts for _, _, texts in events], len(columns.categories)),
        )
        for name, events in streams.items()
    ]


def _time(cells: dict[str, str], columns: Columns, last: float, where: str) -> float:
    if columns.time is None:
        return last + 1.0
    try:
        return parse_time(value_of(cells.get(columns.time, "")))
    except (ValueError, OverflowError) as error:
        raise SettingsError(f"{where}: column {columns.time}: {error}") from None


def _values(cells: dict[str, str], columns: Columns, where: str) -> list[float]:
    values = []
    for name in columns.features:
        value = value_of(cells.get(name, ""))
        if isinstance(value, str):
            raise SettingsError(f"{where}: column {name}: {value!r} is not a finite number")
        values.append(np.nan if value is None else value)
    return values
