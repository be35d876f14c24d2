"""The state store of one process: an index in SQLite, the rows themselves in files beside it.

The database says which rows count, in its transactions; it refers to rows that are durable already
and that nothing writes over. So one checkpoint is all there or not at all, and its bulk is written
once: through the database it would be written twice, and through ten times as much code.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from service.errors import StateError, Unavailable
from service.memory.packs import Pack
from service.memory.rowfile import RowFile
from service.memory.store import Changed, Checkpoint, Idle, Positions, Shape
from service.records import Names, read_only

BUSY_TIMEOUT_SECONDS = 30.0

SCHEMA = """
CREATE TABLE IF NOT EXISTS detectors (
    name TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, features TEXT NOT NULL,
    format INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS packs (
    detector TEXT NOT NULL, number INTEGER NOT NULL, slots BLOB NOT NULL, lengths BLOB NOT NULL,
    streams BLOB NOT NULL, places BLOB NOT NULL, row_bytes INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (detector, number)
);
CREATE TABLE IF NOT EXISTS idle (
    detector TEXT NOT NULL, stream TEXT NOT NULL, features TEXT NOT NULL, place INTEGER NOT NULL,
    row_bytes INTEGER NOT NULL, checksum INTEGER NOT NULL,
    PRIMARY KEY (detector, stream)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS positions (
    topic TEXT NOT NULL, partition INTEGER NOT NULL, next_offset INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)
);
"""

IDLE = "stream, features, place, row_bytes, checksum"

Bytes = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]
Rows = tuple[RowFile, I64]
"""Some rows of a file: their places."""


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
    """Memories and positions of one process: in `file`, and in `<detector>.<bytes>.rows` beside."""

    def __init__(self, file: Path) -> None:
        self._folder = file.parent
        self._connection = connect(file)
        self._connection.executescript(SCHEMA)
        self._files: dict[tuple[str, int], RowFile] = {}

    def save(self, checkpoint: Checkpoint) -> None:
        written: list[Rows] = []
        try:
            self._save(checkpoint, written)
        except (sqlite3.OperationalError, OSError) as error:
            _free(written)
            raise Unavailable(
                f"state store: {error}; free disk space or release the lock"
            ) from error

    def _save(self, checkpoint: Checkpoint, written: list[Rows]) -> None:
        packs, idle = {}, {}
        for detector, changed in checkpoint.changed.items():
            packs[detector] = self._write_packs(detector, changed, written)
            idle[detector] = self._write_idle(detector, changed, written)
        for file in {file for file, _ in written}:
            file.sync()
        outdated: list[Rows] = []
        with self._connection as transaction:
            transaction.execute("BEGIN IMMEDIATE")
            for detector, changed in checkpoint.changed.items():
                self._save_shape(detector, changed)
                outdated += self._drop(detector, changed)
                transaction.executemany(
                    "INSERT INTO packs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", packs[detector]
                )
                transaction.executemany(
                    "INSERT INTO idle VALUES (?, ?, ?, ?, ?, ?)", idle[detector]
                )
            transaction.executemany(
                "INSERT OR REPLACE INTO positions VALUES (?, ?, ?)",
                ((*partition, offset) for partition, offset in checkpoint.positions.items()),
            )
        _free(outdated)

    def _write_packs(
        self, detector: str, changed: Changed, written: list[Rows]
    ) -> list[tuple[object, ...]]:
        """Write the rows of packs to their file, and return what the database says of them."""
        packs: list[tuple[object, ...]] = []
        for pack in changed.packs:
            file = self._file(detector, pack.rows.shape[1])
            places = file.write(pack.rows)
            written.append((file, places))
            lengths = pack.streams.spans[:, 1]
            packs.append((
                detector, pack.number, pack.slots.tobytes(), lengths.tobytes(),
                pack.streams.data.tobytes(), places.tobytes(), file.row_bytes,
                crc32(pack.rows.data),
            ))  # fmt: skip
        return packs

    def _write_idle(
        self, detector: str, changed: Changed, written: list[Rows]
    ) -> list[tuple[object, ...]]:
        """The same for memories that leave the arena."""
        if not changed.left:
            return []
        rows = np.frombuffer(b"".join(changed.left.values()), np.uint8)
        rows = rows.reshape(len(changed.left), -1)
        file = self._file(detector, rows.shape[1])
        places = file.write(rows)
        written.append((file, places))
        features = json.dumps(changed.shape.features)
        return [
            (detector, stream, features, place, file.row_bytes, crc32(row))
            for (stream, row), place in zip(changed.left.items(), places.tolist(), strict=True)
        ]

    def _save_shape(self, detector: str, changed: Changed) -> None:
        shape = changed.shape
        self._connection.execute(
            "INSERT OR REPLACE INTO detectors VALUES (?, ?, ?, ?)",
            (detector, shape.fingerprint, json.dumps(shape.features), shape.format),
        )

    def _drop(self, detector: str, changed: Changed) -> list[Rows]:
        """Drop what no longer counts; returns where its rows are."""
        if changed.replace_all:
            gone = self._delete("packs", "places", "detector = ?", [(detector,)])
        else:
            keys: Iterable[tuple[str, object]] = ((detector, each) for each in changed.dropped)
            gone = self._delete("packs", "places", "detector = ? AND number = ?", keys)
        keys = ((detector, stream) for stream in changed.returned)
        back = self._delete("idle", "place", "detector = ? AND stream = ?", keys)
        return [
            (self._file(detector, row_bytes), np.frombuffer(places, np.int64))
            for places, row_bytes in gone
        ] + [(self._file(detector, row_bytes), np.array([place])) for place, row_bytes in back]

    def _delete(
        self, table: str, places: str, where: str, keys: Iterable[tuple[object, ...]]
    ) -> list[tuple[Any, int]]:
        delete = f"DELETE FROM {table} WHERE {where} RETURNING {places}, row_bytes"  # noqa: S608
        return [row for key in keys for row in self._connection.execute(delete, key).fetchall()]

    def _file(self, detector: str, row_bytes: int) -> RowFile:
        """The file of a detector's rows, opened when it is first asked for."""
        if (detector, row_bytes) not in self._files:
            key = detector, row_bytes
            packs = self._connection.execute(
                "SELECT places FROM packs WHERE detector = ? AND row_bytes = ?", key
            )
            idle = self._connection.execute(
                "SELECT place FROM idle WHERE detector = ? AND row_bytes = ?", key
            )
            places = np.concatenate(
                [
                    np.frombuffer(b"".join(each for (each,) in packs), np.int64),
                    np.fromiter((each for (each,) in idle), np.int64),
                ]
            )
            path = self._folder / f"{detector}.{row_bytes}.rows"
            self._files[detector, row_bytes] = RowFile(path, row_bytes, places)
        return self._files[detector, row_bytes]

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

    def packs(self, detector: str) -> Iterator[Pack]:
        for (
            number,
            slots,
            lengths,
            streams,
            places,
            row_bytes,
            checksum,
        ) in self._connection.execute(
            "SELECT number, slots, lengths, streams, places, row_bytes, checksum FROM packs "
            "WHERE detector = ? ORDER BY number",
            (detector,),
        ):
            sizes = np.frombuffer(lengths, np.int64)
            spans = np.stack([np.cumsum(sizes) - sizes, sizes], axis=1)
            what = f"detector {detector}: pack {number} of its memories"
            rows = self._read(detector, np.frombuffer(places, np.int64), row_bytes, checksum, what)
            yield Pack(
                number, np.frombuffer(slots, np.int64), Names(read_only(streams), spans), rows
            )

    def idle_count(self, detector: str) -> int:
        count = self._connection.execute(
            "SELECT count(*) FROM idle WHERE detector = ?", (detector,)
        ).fetchone()
        return int(count[0])

    def idle(self, detector: str, stream: str) -> Idle | None:
        row = self._connection.execute(
            f"SELECT {IDLE} FROM idle WHERE detector = ? AND stream = ?",  # noqa: S608
            (detector, stream),
        ).fetchone()
        return None if row is None else self._idle(detector, *row)

    def idle_after(self, detector: str, after: str, prefix: str, limit: int) -> list[Idle]:
        rows = self._connection.execute(
            f"SELECT {IDLE} FROM idle WHERE detector = ? AND stream > ? "  # noqa: S608
            "AND substr(stream, 1, ?) = ? ORDER BY stream LIMIT ?",
            (detector, after, len(prefix), prefix, limit),
        ).fetchall()
        return [self._idle(detector, *row) for row in rows]

    def _idle(
        self, detector: str, stream: str, features: str, place: int, row_bytes: int, checksum: int
    ) -> Idle:
        what = f"detector {detector}: the memory of {stream!r}"
        rows = self._read(detector, np.array([place]), row_bytes, checksum, what)
        return Idle(stream, tuple(json.loads(features)), rows.tobytes())

    def _read(self, detector: str, places: I64, row_bytes: int, checksum: int, what: str) -> Bytes:
        """Rows (n, row_bytes) as they were written, else StateError."""
        file = self._file(detector, row_bytes)
        try:
            rows = file.read(places)
        except (EOFError, OSError):
            rows = np.empty((0, row_bytes), np.uint8)
        if crc32(rows.data) != checksum:
            raise StateError(
                f"{what} is damaged in {file.path}: bring the file back from where it was copied, "
                "or start with another data_dir"
            )
        return rows

    def close(self) -> None:
        self._connection.close()
        for file in self._files.values():
            file.close()


def _free(rows: list[Rows]) -> None:
    """Nothing refers to these rows any longer."""
    for file in {file for file, _ in rows}:
        file.free(np.concatenate([places for each, places in rows if each is file]))
