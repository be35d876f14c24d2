"""The state store in one SQLite file, in WAL mode: the database itself guards a torn write."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from service.errors import StateError, Unavailable
from service.memory.store import Checkpoint, Positions, Shape

BUSY_TIMEOUT_SECONDS = 30.0

SCHEMA = """
CREATE TABLE IF NOT EXISTS detectors (
    name TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, features TEXT NOT NULL,
    format INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS memories (
    detector TEXT NOT NULL, stream TEXT NOT NULL, row BLOB NOT NULL,
    PRIMARY KEY (detector, stream)
);
CREATE TABLE IF NOT EXISTS positions (
    topic TEXT NOT NULL, partition INTEGER NOT NULL, next_offset INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)
);
"""


def connect(file: Path) -> sqlite3.Connection:
    """A connection to the service's database file; StateError where it is not one.

    Usable from any thread, one at a time: the caller serialises.
    """
    try:
        connection = sqlite3.connect(
            file, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
    except sqlite3.DatabaseError as error:
        raise StateError(
            f"{file}: {error}. Free disk space or repair the file, or start with another data_dir"
        ) from error
    return connection


class SqliteStore:
    """Memories and positions of one process, in `file`."""

    def __init__(self, file: Path) -> None:
        self._connection = connect(file)
        self._connection.executescript(SCHEMA)

    def save(self, checkpoint: Checkpoint) -> None:
        try:
            self._save(checkpoint)
        except sqlite3.OperationalError as error:
            raise Unavailable(
                f"state store: {error}; free disk space or release the lock"
            ) from error

    def _save(self, checkpoint: Checkpoint) -> None:
        with self._connection as transaction:
            transaction.execute("BEGIN IMMEDIATE")
            for detector, changed in checkpoint.changed.items():
                if changed.replace_all:
                    transaction.execute("DELETE FROM memories WHERE detector = ?", (detector,))
                shape = changed.shape
                transaction.execute(
                    "INSERT OR REPLACE INTO detectors VALUES (?, ?, ?, ?)",
                    (detector, shape.fingerprint, json.dumps(shape.features), shape.format),
                )
                transaction.executemany(
                    "INSERT INTO memories VALUES (?, ?, ?) "
                    "ON CONFLICT (detector, stream) DO UPDATE SET row = excluded.row",
                    (
                        (detector, stream, row)
                        for stream, row in zip(changed.streams, changed.rows, strict=True)
                    ),
                )
            transaction.executemany(
                "INSERT OR REPLACE INTO positions VALUES (?, ?, ?)",
                ((*partition, offset) for partition, offset in checkpoint.positions.items()),
            )

    def positions(self) -> Positions:
        rows = self._connection.execute("SELECT topic, partition, next_offset FROM positions")
        return {(topic, partition): offset for topic, partition, offset in rows}

    def shape(self, detector: str) -> Shape | None:
        row = self._connection.execute(
            "SELECT fingerprint, features, format FROM detectors WHERE name = ?", (detector,)
        ).fetchone()
        if row is None:
            return None
        return Shape(row[0], tuple(json.loads(row[1])), row[2])

    def memories(self, detector: str) -> Iterator[tuple[str, bytes]]:
        yield from self._connection.execute(
            "SELECT stream, row FROM memories WHERE detector = ? ORDER BY rowid", (detector,)
        )

    def close(self) -> None:
        self._connection.close()
