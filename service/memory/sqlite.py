"""The state store of one process: an index in SQLite, the rows themselves in files beside it.

The database says which rows count, in its transactions; it refers to rows that are durable already
and that nothing writes over. So one checkpoint is all there or not at all, and its bulk is written
once: through the database it would be written twice, and through ten times as much code.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from service.errors import StateError, Unavailable
from service.memory.packs import Pack
from service.memory.shelves import Shelves, Writing
from service.memory.store import Checkpoint, Idle, Positions, Shape, of_same_streams
from service.records import Names, read_only

BUSY_TIMEOUT_SECONDS = 30.0

SCHEMA = """
CREATE TABLE IF NOT EXISTS detectors (
    name TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, features TEXT NOT NULL,
    format INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS packs (
    detector TEXT NOT NULL, number INTEGER NOT NULL, row_bytes INTEGER NOT NULL,
    slots BLOB NOT NULL, places BLOB NOT NULL, checksums BLOB NOT NULL, used BLOB NOT NULL,
    lengths BLOB NOT NULL, streams BLOB NOT NULL,
    PRIMARY KEY (detector, number)
);
CREATE TABLE IF NOT EXISTS idle (
    detector TEXT NOT NULL, stream TEXT NOT NULL, features TEXT NOT NULL,
    row_bytes INTEGER NOT NULL, place INTEGER NOT NULL, checksum INTEGER NOT NULL,
    PRIMARY KEY (detector, stream)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS positions (
    topic TEXT NOT NULL, partition INTEGER NOT NULL, next_offset INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)
);
"""
IDLE = "stream, features, row_bytes, place, checksum"
LAST_CHARACTER = "\U0010ffff"


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
        self._shelves: dict[str, Shelves] = {}
        self._doubtful: list[Writing] = []

    def save(self, checkpoint: Checkpoint) -> None:
        written: list[Writing] = []
        try:
            for detector, changed in checkpoint.changed.items():
                written.append(Writing(self._of(detector), changed))
                written[-1].write()
            self._connection.execute("BEGIN IMMEDIATE")
            self._say(checkpoint, written)
        except (sqlite3.OperationalError, OSError) as error:
            self._roll_back()
            for one in written:
                one.undo()
            raise _unavailable(error) from error
        try:
            self._connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            self._roll_back()
            self._doubtful += written  # it may be there after a crash, until another one is
            raise _unavailable(error) from error
        for one in self._doubtful:
            one.undo()
        self._doubtful = []
        for one in written:  # the database refers to what is new, and to nothing that is old
            one.settle()

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _say(self, checkpoint: Checkpoint, written: Sequence[Writing]) -> None:
        """What the database says from now on."""
        for one in written:
            self._save(one.shelves.detector, one)
        self._connection.executemany(
            "INSERT OR REPLACE INTO positions VALUES (?, ?, ?)",
            ((*partition, offset) for partition, offset in checkpoint.positions.items()),
        )

    def _save(self, detector: str, written: Writing) -> None:
        """What the database says of a detector from now on."""
        shape, changed = written.changed.shape, written.changed
        self._connection.execute(
            "INSERT OR REPLACE INTO detectors VALUES (?, ?, ?, ?)",
            (detector, shape.fingerprint, json.dumps(shape.features), shape.format),
        )
        if changed.replace_all:
            self._connection.execute("DELETE FROM packs WHERE detector = ?", (detector,))
        self._connection.executemany(
            "DELETE FROM packs WHERE detector = ? AND number = ?",
            ((detector, number) for number in changed.dropped),
        )
        self._connection.executemany(
            "INSERT INTO packs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", written.packs
        )
        for stream in changed.returned:
            gone = self._connection.execute(
                "DELETE FROM idle WHERE detector = ? AND stream = ? RETURNING row_bytes, place",
                (detector, stream),
            ).fetchall()
            written.outdated += [(size, np.array([place])) for size, place in gone]
        self._connection.executemany("INSERT INTO idle VALUES (?, ?, ?, ?, ?, ?)", written.idle)

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

    def knows(self, detector: str) -> bool:
        return self.shape(detector) is not None

    def others(self, detector: str) -> set[str]:
        found = self._connection.execute("SELECT name FROM detectors")
        return {name for (name,) in found if of_same_streams(detector, name)}

    def drop(self, detector: str) -> None:
        shelves = self._of(detector)
        try:
            with self._connection as transaction:
                transaction.execute("BEGIN IMMEDIATE")
                for table, column in (
                    ("packs", "detector"),
                    ("idle", "detector"),
                    ("detectors", "name"),
                ):
                    transaction.execute(f"DELETE FROM {table} WHERE {column} = ?", (detector,))  # noqa: S608 # nosec B608
        except sqlite3.OperationalError as error:
            raise _unavailable(error) from error
        del self._shelves[detector]
        shelves.close()
        for file in shelves.files.values():  # nothing refers to them
            file.path.unlink()

    def packs(self, detector: str) -> Iterator[tuple[Shape, Pack]]:
        shelves, shape = self._of(detector), self.shape(detector)
        if shape is None:
            return
        found = self._connection.execute(
            "SELECT number, row_bytes, slots, used, lengths, streams FROM packs "
            "WHERE detector = ? ORDER BY number",
            (detector,),
        )
        for number, row_bytes, *parts, data in found:
            slots, used, sizes = (np.frombuffer(part, np.int64) for part in parts)
            latest = np.flatnonzero(shelves.numbers[slots] == number)
            spans = np.stack([np.cumsum(sizes) - sizes, sizes], axis=1)[latest]
            held = slots[latest][spans[:, 1] > 0]
            what = f"detector {detector}: pack {number} of its memories"
            rows = shelves.read(row_bytes, shelves.places[held], shelves.checksums[held], what)
            streams = Names(read_only(data), spans).joined()
            every = np.ones(len(held), np.bool_)
            yield shape, Pack(number, slots[latest], streams, used[latest], rows, every)

    def idle_count(self, detector: str) -> int:
        count = self._connection.execute(
            "SELECT count(*) FROM idle WHERE detector = ?", (detector,)
        ).fetchone()
        return int(count[0])

    def idle(self, detector: str, streams: Sequence[str]) -> list[Idle]:
        return self._idle(
            detector,
            f"SELECT {IDLE} FROM json_each(?) JOIN idle "  # noqa: S608 # nosec B608
            "ON idle.detector = ? AND idle.stream = json_each.value ORDER BY place",
            (json.dumps(streams), detector),
        )

    def idle_after(self, detector: str, after: str, prefix: str, limit: int) -> list[Idle]:
        return self._idle(
            detector,
            f"SELECT {IDLE} FROM idle WHERE detector = ? AND stream > ? AND stream >= ? "  # noqa: S608 # nosec B608
            "AND stream < ? ORDER BY stream LIMIT ?",
            (detector, after, prefix, prefix + LAST_CHARACTER, limit),
        )

    def _idle(self, detector: str, query: str, parameters: tuple[object, ...]) -> list[Idle]:
        shelves, found = self._of(detector), []
        try:
            for stream, features, row_bytes, place, checksum in self._connection.execute(
                query, parameters
            ):
                what = f"detector {detector}: the memory of {stream!r}"
                row = shelves.read(row_bytes, np.array([place]), np.array([checksum]), what)
                found.append(Idle(stream, tuple(json.loads(features)), row.tobytes()))
        except (sqlite3.OperationalError, OSError) as error:
            raise _unavailable(error) from error
        return found

    def _of(self, detector: str) -> Shelves:
        """Where a detector's rows are; read from the database when it is first asked for."""
        if detector not in self._shelves:
            shelves = Shelves(self._folder, detector)
            for number, row_bytes, *parts in self._connection.execute(
                "SELECT number, row_bytes, slots, places, checksums FROM packs "
                "WHERE detector = ? ORDER BY number",
                (detector,),
            ):
                shelves.row_bytes = row_bytes
                shelves.hold(number, *(np.frombuffer(part, np.int64) for part in parts))
            idle = self._connection.execute(
                "SELECT row_bytes, place FROM idle WHERE detector = ?", (detector,)
            )
            shelves.open([(row_bytes, np.array([place])) for row_bytes, place in idle])
            self._shelves[detector] = shelves
        return self._shelves[detector]

    def close(self) -> None:
        self._connection.close()
        for shelves in self._shelves.values():
            shelves.close()


def _unavailable(error: Exception) -> Unavailable:
    return Unavailable(f"state store: {error}; free disk space or release the lock")
