"""The embedded log: events that came by HTTP, durable in SQLite before they are acknowledged."""

import sqlite3
import threading
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from service.clock import now
from service.errors import Unavailable
from service.memory.sqlite import connect
from service.memory.store import Positions
from service.records import LOG_TOPIC, Partition, RawBatch
from service.telemetry.logging import log

PARTITION: Partition = (LOG_TOPIC, 0)

SCHEMA = """
CREATE TABLE IF NOT EXISTS log (
    offset INTEGER PRIMARY KEY, detector TEXT NOT NULL, timestamp REAL NOT NULL, value BLOB NOT NULL
);
"""

SELECT = (
    "SELECT offset, detector, timestamp, value FROM log WHERE offset >= ? ORDER BY offset LIMIT ?"
)

TRIM_EVERY = 64  # commits


class EmbeddedLog:
    """An append-only log of one partition, and its only reader.

    `append` is safe from any thread; the methods of `Source` belong to the pipeline's thread.
    """

    missing_topics: Sequence[str] = ()
    waiting_for = None

    def __init__(self, file: Path, max_batch_events: int, retention_seconds: float) -> None:
        self._writer = connect(file)
        self._writer.executescript(SCHEMA)
        self._reader = connect(file)
        self._max_batch_events = max_batch_events
        self._retention_seconds = retention_seconds
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._next_offset = self._after_last(self._writer)
        self._read_to = 0
        self._commits = 0

    def append(
        self,
        detector: str,
        values: list[bytes],
        before_durable: Callable[[range], None] = lambda _: None,
    ) -> range:
        """Store records durably and return their offsets; Unavailable where none was stored.

        `before_durable` learns the offsets before the reader can see the records.
        """
        timestamp = now()
        with self._lock:
            offsets = range(self._next_offset, self._next_offset + len(values))
            before_durable(offsets)
            rows = [(o, detector, timestamp, v) for o, v in zip(offsets, values, strict=True)]
            try:
                with self._writer as transaction:
                    transaction.execute("BEGIN IMMEDIATE")
                    transaction.executemany("INSERT INTO log VALUES (?, ?, ?, ?)", rows)
            except sqlite3.OperationalError as error:
                raise Unavailable(f"log: {error}; free disk space or release the lock") from error
            self._next_offset = offsets.stop
        self._news.set()
        return offsets

    @property
    def next_offset(self) -> int:
        """The offset that the next record will have: how many were ever appended."""
        return self._next_offset

    def start(self, positions: Positions) -> None:
        self._read_to = positions.get(PARTITION, 0)
        with self._lock:
            # Checkpointed records may have been trimmed: offsets are never given twice.
            self._next_offset = max(self._next_offset, self._read_to)

    def poll(self, timeout_seconds: float) -> list[RawBatch]:
        self._news.clear()
        rows = self._read()
        if not rows and self._news.wait(timeout_seconds):
            self._news.clear()
            rows = self._read()
        if rows:
            self._read_to = rows[-1][0] + 1
        return [
            batch_of_rows(detector, list(part))
            for detector, part in groupby(rows, lambda row: row[1])
        ]

    def wake(self) -> None:
        self._news.set()

    def commit(self, positions: Positions) -> None:
        self._commits += 1
        if self._commits % TRIM_EVERY == 0:
            # The newest record stays: it says which offset comes next.
            until = min(positions.get(PARTITION, 0), self._next_offset - 1)
            try:
                with self._lock:
                    self._writer.execute(
                        "DELETE FROM log WHERE offset < ? AND timestamp < ?",
                        (until, now() - self._retention_seconds),
                    )
            except sqlite3.OperationalError as error:
                log.warning("old events are not trimmed; the next time will do", error=str(error))

    def lag(self) -> int:
        return self._next_offset - self._read_to

    @property
    def finished(self) -> bool:
        return False

    def close(self) -> None:
        with self._lock:
            self._writer.close()
            self._reader.close()

    def _read(self) -> list[tuple[int, str, float, bytes]]:
        try:
            return self._reader.execute(SELECT, (self._read_to, self._max_batch_events)).fetchall()
        except sqlite3.OperationalError as error:
            raise Unavailable(f"log: {error}; release the lock or repair the file") from error

    @staticmethod
    def _after_last(connection: sqlite3.Connection) -> int:
        (last,) = connection.execute("SELECT max(offset) FROM log").fetchone()
        return 0 if last is None else int(last) + 1


def batch_of_rows(detector: str, rows: list[tuple[int, str, float, bytes]]) -> RawBatch:
    offsets, _, timestamps, values = zip(*rows, strict=True)
    return RawBatch.of(
        partition=PARTITION,
        offsets=np.array(offsets, np.int64),
        timestamps=np.array(timestamps),
        keys=[None] * len(rows),
        values=list(values),
        detector=detector,
    )
