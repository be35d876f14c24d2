"""The newest scored events of a detector: in memory, and in a file that only grows.

What was `saved` is there again after a crash. A head that is full becomes a block.
"""

import errno
import os
import zlib
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from service.blocks.columns import Columns, with_features
from service.records import ScoredBatch

FIRST_EVENTS = 1024
HEADER_BYTES = 12


class Part(msgspec.Struct, frozen=True):
    """Rows that were saved together; their columns follow, as they are."""

    features: tuple[str, ...]
    events: int


class Head:
    """Events in the order in which they came, of all features that they had.

    `most` events fit. Its file is made by the first `save`.
    """

    def __init__(self, file: Path, number: int, features: tuple[str, ...], most: int) -> None:
        self.file, self.number = file, number
        self._most = most
        # In one, as another thread may read them while there come to be more features.
        self._held = features, Columns.empty(min(FIRST_EVENTS, most), len(features))
        self.events = 0
        self._saved = 0

    @classmethod
    def read(cls, file: Path, number: int) -> "Head | None":
        """What was saved whole; None where nothing was."""
        parts = _parts(file.read_bytes())
        if not parts:
            return None
        features = parts[-1][0]  # they only grow
        head = cls(file, number, features, 0)
        columns = Columns.joined([with_features(c, has, features) for has, c in parts])
        head._held = features, columns
        head._most = head.events = head._saved = len(columns)
        return head

    @property
    def room(self) -> int:
        """How many more events fit."""
        return self._most - self.events

    def put(self, batch: ScoredBatch, seed: np.uint64) -> None:
        """Take a batch; there must be room. Features that it has beside ours become ours."""
        features, columns = self._held
        if batch.features != features:
            self._widen(tuple(dict.fromkeys(features + batch.features)))
            batch = _arranged(batch, self._held[0])
        if self.events + len(batch) > len(columns):
            self._grow(self.events + len(batch))
        self._held[1].put(self.events, batch, seed)
        self.events += len(batch)

    def save(self) -> None:
        """Write what came since the last time; OSError where it cannot be."""
        if self._saved == self.events:
            return
        features, columns = self._held
        new = columns.only(slice(self._saved, self.events))
        about = msgspec.json.encode(Part(features, len(new)))
        body = about + b"".join(column.tobytes() for column in new.all())
        sizes = len(about).to_bytes(4, "little") + len(body).to_bytes(4, "little")
        whole = self.file.stat().st_size if self.file.exists() else 0
        try:
            with self.file.open("ab", buffering=0) as out:
                out.write(sizes + zlib.crc32(body).to_bytes(4, "little") + body)
                if out.tell() != whole + HEADER_BYTES + len(body):
                    raise OSError(errno.ENOSPC, "no room for all of it", str(self.file))
        except OSError:
            if self.file.exists():  # nothing is to come behind half a part
                os.truncate(self.file, whole)
            raise
        self._saved = self.events

    def all(self) -> tuple[tuple[str, ...], Columns]:
        """Features, and what came so far."""
        events, (features, columns) = self.events, self._held
        return features, columns.only(slice(0, events))

    def of_stream(self, key: np.uint64) -> tuple[tuple[str, ...], Columns]:
        features, columns = self.all()
        return features, columns.only(columns.keys == key)

    def _widen(self, features: tuple[str, ...]) -> None:
        has, columns = self._held
        self._held = features, with_features(columns, has, features)

    def _grow(self, events: int) -> None:
        features, columns = self._held
        capacity = len(columns)
        while capacity < events:
            capacity *= 2
        grown = Columns.empty(min(capacity, self._most), len(features))
        for new, old in zip(grown.all(), columns.all(), strict=True):
            new[: self.events] = old[: self.events]
        self._held = features, grown


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


def _arranged(batch: ScoredBatch, features: tuple[str, ...]) -> ScoredBatch:
    """The same with these features, in this order: those that it does not have, have no values."""
    places = [features.index(name) for name in batch.features]
    shape = len(batch), len(features)
    values, expected, spread = (np.full(shape, np.nan) for _ in range(3))
    for new, old in (
        (values, batch.values), (expected, batch.expected), (spread, batch.spread),
    ):  # fmt: skip
        new[:, places] = old
    return replace(batch, features=features, values=values, expected=expected, spread=spread)
