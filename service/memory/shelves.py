"""Where the rows of one detector are, in files beside the database that says which ones count."""

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from crc32c import crc32c

from service.errors import StateError
from service.memory.packs import NOWHERE, Pack
from service.memory.rowfile import RowFile
from service.memory.store import Changed

NO_PLACE = -1  # of a slot that is free

Bytes = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]
Rows = tuple[int, I64]
"""Some rows: their size, and their places in the file of that size."""


class Shelves:
    """By slot, (slots,) each: the number of the pack that counts, the row's place and its CRC-32C.

    All of these rows have the size `row_bytes`; those of idle streams may be older, of others.
    """

    def __init__(self, folder: Path, detector: str) -> None:
        self.detector = detector
        self.files: dict[int, RowFile] = {}
        self.row_bytes = 0
        self._folder = folder
        self.clear()

    def clear(self) -> None:
        """Nothing counts."""
        self.numbers, self.places, self.checksums = np.zeros((3, 0), np.int64)

    def hold(self, number: int, slots: I64, places: I64, checksums: I64) -> None:
        """A pack counts for these slots from now on."""
        more = int(slots.max(initial=-1)) + 1 - len(self.numbers)
        if more > 0:
            more = max(more, len(self.numbers))
            self.numbers = np.pad(self.numbers, (0, more), constant_values=NOWHERE)
            self.places = np.pad(self.places, (0, more), constant_values=NO_PLACE)
            self.checksums = np.pad(self.checksums, (0, more))
        self.numbers[slots], self.places[slots] = number, places
        self.checksums[slots] = checksums

    def open(self, idle: Sequence[Rows]) -> None:
        """Open the files that anything refers to, and remove the others; `idle`: what else does."""
        used: dict[int, list[I64]] = {self.row_bytes: [self.places[self.places >= 0]]}
        for row_bytes, places in idle:
            used.setdefault(row_bytes, []).append(places)
        for path in self._folder.glob(f"{self.detector}.*.rows"):
            size = path.name.split(".")[1]
            if not (size.isdigit() and int(size) in used):
                path.unlink()
        for row_bytes, parts in used.items():
            if row_bytes:
                self.file(row_bytes, np.concatenate(parts))

    def file(self, row_bytes: int, used: I64 | None = None) -> RowFile:
        """The file of rows of this size; a new one has nothing in it that is `used`."""
        if row_bytes not in self.files:
            path = self._folder / f"{self.detector}.{row_bytes}.rows"
            nothing = np.empty(0, np.int64)
            self.files[row_bytes] = RowFile(path, row_bytes, nothing if used is None else used)
        return self.files[row_bytes]

    def read(self, row_bytes: int, places: I64, checksums: I64, what: str) -> Bytes:
        """Rows (n, row_bytes) as they were written, else StateError."""
        file = self.file(row_bytes)
        try:
            rows = file.read(places)
        except EOFError:
            rows = np.empty((0, row_bytes), np.uint8)
        if checksums_of(rows).tolist() != checksums.tolist():
            raise StateError(
                f"{what} is damaged in {file.path}: bring the file back from where it was copied, "
                "or start with another data_dir"
            )
        return rows

    def free(self, rows: Iterable[Rows]) -> None:
        """Nothing refers to these any longer; a file of another size without any goes, if not now
        then at the next start."""
        sizes: dict[int, list[I64]] = {}
        for row_bytes, places in rows:
            sizes.setdefault(row_bytes, []).append(places)
        for row_bytes, parts in sizes.items():
            file = self.file(row_bytes)
            file.free(np.concatenate(parts))
            if file.empty and row_bytes != self.row_bytes:
                del self.files[row_bytes]
                with suppress(OSError):
                    file.close()
                    file.path.unlink()

    def close(self) -> None:
        for file in self.files.values():
            file.close()


@dataclass(slots=True)
class Writing:
    """A checkpoint of one detector on its way: rows at places that nothing refers to.

    `packs` and `idle` are what the database will say; `taken` the rows that are new, `outdated`
    those that nothing will refer to.
    """

    shelves: Shelves
    changed: Changed
    packs: list[tuple[object, ...]] = field(default_factory=list)
    idle: list[tuple[object, ...]] = field(default_factory=list)
    taken: list[Rows] = field(default_factory=list)
    outdated: list[Rows] = field(default_factory=list)
    _held: list[tuple[int, I64, I64, I64]] = field(default_factory=list)

    def write(self) -> None:
        """Write what is new, durably."""
        if self.changed.replace_all:
            places = self.shelves.places
            self.outdated.append((self.shelves.row_bytes, places[places >= 0]))
        for pack in self.changed.packs:
            self._write_pack(pack)
        self._write_left()
        for row_bytes in {row_bytes for row_bytes, _ in self.taken}:
            self.shelves.file(row_bytes).sync()

    def undo(self) -> None:
        """The database refers to nothing of it."""
        self.shelves.free(self.taken)

    def settle(self) -> None:
        """The database refers to all of it."""
        if self.changed.replace_all:
            self.shelves.clear()
        if self.taken and self._held:
            self.shelves.row_bytes = self.taken[0][0]
        for held in self._held:
            self.shelves.hold(*held)
        self.shelves.free(self.outdated)

    def _write_pack(self, pack: Pack) -> None:
        row_bytes = pack.rows.shape[1]
        named = pack.streams.spans[:, 1] > 0
        new = np.ones(len(pack.slots), np.bool_)  # as far as it did not just move
        new[named] = pack.changed
        places, checksums = self._before(pack.slots)
        if not self.changed.replace_all:
            self.outdated.append((row_bytes, places[new & (places >= 0)]))
        places[~named], checksums[~named] = NO_PLACE, 0
        rows = pack.rows[pack.changed]
        places[new & named], checksums[new & named] = self._write(rows), checksums_of(rows)
        self._held.append((pack.number, pack.slots, places, checksums))
        columns = (pack.slots, places, checksums, pack.used, pack.streams.spans[:, 1])
        self.packs.append((
            self.shelves.detector, pack.number, row_bytes, *(each.tobytes() for each in columns),
            pack.streams.data.tobytes(),
        ))  # fmt: skip

    def _before(self, slots: I64) -> tuple[I64, I64]:
        """(n,) places and checksums that slots have had."""
        places, checksums = np.full(len(slots), NO_PLACE), np.zeros(len(slots), np.int64)
        known = slots < len(self.shelves.places)
        places[known] = self.shelves.places[slots[known]]
        checksums[known] = self.shelves.checksums[slots[known]]
        return places, checksums

    def _write_left(self) -> None:
        rows = self.changed.left_rows
        features = json.dumps(self.changed.left_features or self.changed.shape.features)
        places, checksums = self._write(rows), checksums_of(rows)
        self.idle = [
            (self.shelves.detector, stream, features, rows.shape[1], place, checksum)
            for stream, place, checksum in zip(
                self.changed.left, places.tolist(), checksums.tolist(), strict=True
            )
        ]

    def _write(self, rows: Bytes) -> I64:
        """The places (n,) that rows (n, row_bytes) have got."""
        if not len(rows):
            return np.empty(0, np.int64)
        file = self.shelves.file(rows.shape[1])
        places = file.take(len(rows))
        self.taken.append((file.row_bytes, places))
        file.write(places, rows)
        return places


def checksums_of(rows: Bytes) -> I64:
    """(n,), the CRC-32C of each row (n, row_bytes)."""
    return np.fromiter((crc32c(row) for row in rows), np.int64, len(rows))
