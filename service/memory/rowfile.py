"""Rows of one size in a file: what a database is slow at.

A place is written while nothing refers to it, and made durable before something does: what was
there before stays whole, whenever the power fails.
"""

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]


class RowFile:
    """Rows of `row_bytes` at places 0, 1, 2, …; those in `used` hold some."""

    def __init__(self, path: Path, row_bytes: int, used: I64) -> None:
        self.path = path
        self.row_bytes = row_bytes
        self._top = int(used.max()) + 1 if len(used) else 0
        self._free = np.setdiff1d(np.arange(self._top), used)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)  # a new file's name is as durable as what will be in it
        os.close(folder)

    def write(self, rows: Bytes) -> I64:
        """Write rows (n, row_bytes) to free places and return these, (n,), in rising order."""
        lacking = max(0, len(rows) - len(self._free))
        self._free = np.concatenate([self._free, np.arange(self._top, self._top + lacking)])
        self._top += lacking
        places = self._free[: len(rows)]
        for first, start, stop in runs(places):
            data, offset = rows[start:stop].data.cast("B"), first * self.row_bytes
            while data:
                written = os.pwrite(self._file, data, offset)
                data, offset = data[written:], offset + written
        self._free = self._free[len(rows) :]
        return places

    def read(self, places: I64) -> Bytes:
        """The rows (n, row_bytes) at these places, in rising order; EOFError behind the end."""
        rows = np.empty((len(places), self.row_bytes), np.uint8)
        for first, start, stop in runs(places):
            data, offset = rows[start:stop].data.cast("B"), first * self.row_bytes
            while data:
                got = os.preadv(self._file, [data], offset)
                if not got:
                    raise EOFError
                data, offset = data[got:], offset + got
        return rows

    def free(self, places: I64) -> None:
        """Nothing refers to these places any longer."""
        self._free = np.union1d(self._free, places)
        if len(self._free) == self._top:
            os.ftruncate(self._file, 0)
            self._free, self._top = np.empty(0, np.int64), 0

    def sync(self) -> None:
        """Return when all that was written is durable."""
        os.fdatasync(self._file)

    def close(self) -> None:
        os.close(self._file)


def runs(places: I64) -> Iterator[tuple[int, int, int]]:
    """Where places follow one another: the first, and from which to before which in `places`."""
    if len(places):
        edges = [0, *(np.flatnonzero(np.diff(places) != 1) + 1).tolist(), len(places)]
        yield from ((int(places[a]), a, b) for a, b in pairwise(edges))
