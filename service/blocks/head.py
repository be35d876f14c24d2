"""The newest scored events of a detector: in memory, and in a file that only grows.

What was `saved` is there again after a crash. A head that is full becomes a block.
"""

import zlib
from pathlib import Path

import msgspec
import numpy as np

from service.blocks.columns import Columns
from service.records import ScoredBatch

FIRST_EVENTS = 1024
HEADER_BYTES = 12


class Part(msgspec.Struct, frozen=True):
    """Rows that were saved together; their columns follow, as they are."""

    features: tuple[str, ...]
    events: int


class Head:
    """Events of one set of features, in the order in which they came.

    `most` events fit. Its file is made by the first `save`.
    """

    def __init__(self, file: Path, number: int, features: tuple[str, ...], most: int) -> None:
        self.file, self.number, self.features = file, number, features
        self._most = most
        self._columns = Columns.empty(min(FIRST_EVENTS, most), len(features))
        self.events = 0
        self._saved = 0

    @classmethod
    def read(cls, file: Path, number: int) -> "Head | None":
        """What was saved whole; None where nothing was."""
        parts = list(_parts(file.read_bytes()))
        if not parts:
            return None
        head = cls(file, number, parts[0][0], 0)
        head._columns = Columns.joined([columns for _, columns in parts])
        head._most = head.events = head._saved = len(head._columns)
        return head

    @property
    def room(self) -> int:
        """How many more events fit."""
        return self._most - self.events

    def put(self, batch: ScoredBatch, seed: np.uint64) -> None:
        """Take a batch; there must be room."""
        if self.events + len(batch) > len(self._columns):
            self._grow(self.events + len(batch))
        self._columns.put(self.events, batch, seed)
        self.events += len(batch)

    def save(self) -> None:
        """Write what came since the last time; OSError where it cannot be."""
        if self._saved == self.events:
            return
        new = self._columns.only(slice(self._saved, self.events))
        about = msgspec.json.encode(Part(self.features, len(new)))
        body = about + b"".join(column.tobytes() for column in new.all())
        sizes = len(about).to_bytes(4, "little") + len(body).to_bytes(4, "little")
        with self.file.open("ab") as out:
            whole = out.tell()
            try:
                out.write(sizes + zlib.crc32(body).to_bytes(4, "little") + body)
            except OSError:  # nothing is to come behind half a part
                out.truncate(whole)
                raise
        self._saved = self.events

    def columns(self) -> Columns:
        """All that came; rows that come later are not seen by whoever has this."""
        return self._columns.only(slice(0, self.events))

    def of_stream(self, key: np.uint64) -> Columns:
        columns = self.columns()
        return columns.only(columns.keys == key)

    def _grow(self, events: int) -> None:
        capacity = len(self._columns)
        while capacity < events:
            capacity *= 2
        grown = Columns.empty(min(capacity, self._most), len(self.features))
        for new, old in zip(grown.all(), self.columns().all(), strict=True):
            new[: self.events] = old
        self._columns = grown


def _parts(data: bytes) -> "list[tuple[tuple[str, ...], Columns]]":
    """Those that are whole, up to the first that is not: a crash came while it was written."""
    parts, at = [], 0
    while at + HEADER_BYTES <= len(data):
        about, length, checksum = np.frombuffer(data, np.uint32, 3, at).tolist()
        body = data[at + HEADER_BYTES : at + HEADER_BYTES + length]
        if len(body) < length or zlib.crc32(body) != checksum:
            break
        part = msgspec.json.decode(body[:about], type=Part)
        columns, place = Columns.empty(part.events, len(part.features)), about
        for column in columns.all():
            column[:] = np.frombuffer(body, column.dtype, column.size, place).reshape(column.shape)
            place += column.nbytes
        parts.append((part.features, columns))
        at += HEADER_BYTES + length
    return parts
