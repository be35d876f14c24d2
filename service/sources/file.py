"""CSV files as a source: a header, then one record for each row, in order."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from service.clock import parse_time
from service.memory.store import Positions
from service.records import RawBatch
from service.sources.table import Columns, Row, value_of

KEY_FIELD, TIME_FIELD = "\0stream", "\0time"  # in the records: no column can have these names


class FileSource:
    """The rows of one file as JSON records of one partition named after it.

    Offsets are row numbers from 0. A row's record time is its own time; a file without times has
    a row a second. Nothing reads the wall clock.
    """

    def __init__(self, file: Path, columns: Columns, rows: Iterator[Row], batch_rows: int) -> None:
        self.partition = (columns.stream, 0)
        self._file = file
        self._columns = columns
        self._rows = rows
        self._batch_rows = batch_rows
        self._next = 0
        self._clock = 0.0
        self.finished = False

    def start(self, positions: Positions) -> None:
        """A file is read once, from its start."""

    missing_topics: Sequence[str] = ()
    waiting_for = None

    def poll(self, timeout_seconds: float) -> list[RawBatch]:  # noqa: ARG002 - a file never waits
        rows = list(islice(self._rows, self._batch_rows))
        if not rows:
            self.finished = True
            return []
        offsets = np.arange(self._next, self._next + len(rows))
        self._next += len(rows)
        records = [self._record(row) for row in rows]
        return [
            RawBatch.of(
                partition=self.partition,
                offsets=offsets,
                timestamps=np.array([clock for _, clock in records]),
                keys=[None] * len(rows),
                values=[value for value, _ in records],
            )
        ]

    def wake(self) -> None:
        pass

    def commit(self, positions: Positions) -> None:
        pass

    def lag(self) -> int:
        return 0

    def close(self) -> None:
        pass

    def _record(self, row: Row) -> tuple[bytes, float]:
        columns = self._columns
        cells = dict(zip(columns.names, row, strict=False))
        body: dict[str, Any] = {name: value_of(cells.get(name, "")) for name in columns.features}
        body |= {name: cells.get(name) for name in columns.categories}
        body[KEY_FIELD] = cells.get(columns.key, "") if columns.key else columns.stream
        body[TIME_FIELD] = value_of(cells.get(columns.time, "")) if columns.time else None
        self._clock = self._record_time(body[TIME_FIELD])
        return msgspec.json.encode(body), self._clock

    def _record_time(self, time: object) -> float:
        """The row's own time; else one second after the last row, or the last row's time."""
        try:
            return parse_time(time)
        except (ValueError, OverflowError):
            return self._clock + (0.0 if self._columns.time else 1.0)
