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
Bools = npt.NDArray[np.bool_]
I64 = npt.NDArray[np.int64]

GROWTH = 1024  # places
SYNC = getattr(os, "fdatasync", os.fsync)  # not on macOS; does not wait for the time of change


class RowFile:
    """Rows of `row_bytes` at places 0, 1, 2, …; something refers to those in `used`."""

    def __init__(self, path: Path, row_bytes: int, used: I64) -> None:
        self.path = path
        self.row_bytes = row_bytes
        self._used = np.zeros(used.max(initial=-1) + 1, np.bool_)
        self._used[used] = True
        self._free = np.flatnonzero(~self._used)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)  # a new file's name is as durable as what will be in it
            finally:
                os.close(folder)
        except OSError:
            os.close(self._file)
            raise

    def take(self, count: int) -> I64:
        """(count,) places that nothing refers to, in rising order."""
        if len(self._free) < count:
            self._free = np.flatnonzero(~self._used)
        if len(self._free) < count:
            more = max(count, GROWTH)
            self._used = np.concatenate([self._used, np.zeros(more, np.bool_)])
            self._free = np.flatnonzero(~self._used)
        places, self._free = self._free[:count], self._free[count:]
        self._used[places] = True
        return places

    def free(self, places: I64) -> None:
        """Nothing refers to these places any longer."""
        self._used[places] = False
        self._free = np.flatnonzero(~self._used)  # the lowest first: the file stays short

    @property
    def empty(self) -> bool:
        """Whether nothing refers to any place."""
        return not self._used.any()

    def write(self, places: I64, rows: Bytes) -> None:
        """Write rows (n, row_bytes) to places (n,) in rising order."""
        for first, start, stop in runs(places):
            data, offset = rows[start:stop].data.cast("B"), first * self.row_bytes
            while data:
                written = os.pwrite(self._file, data, offset)
                data, offset = data[written:], offset + written

    def read(self, places: I64) -> Bytes:
        """The rows (n, row_bytes) at places (n,); EOFError behind the end."""
        rows = np.empty((len(places), self.row_bytes), np.uint8)
        for first, start, stop in runs(places):
            data, offset = rows[start:stop].data.cast("B"), first * self.row_bytes
            while data:
                got = os.preadv(self._file, [data], offset)
                if not got:
                    raise EOFError
                data, offset = data[got:], offset + got
        return rows

    def sync(self) -> None:
        """Return when all that was written is durable."""
        SYNC(self._file)

    def close(self) -> None:
        os.close(self._file)


def runs(places: I64) -> Iterator[tuple[int, int, int]]:
    """Where places follow one another: the first, and from which to before which in `places`."""
    if len(places):
        edges = [0, *(np.flatnonzero(np.diff(places) != 1) + 1).tolist(), len(places)]
        yield from ((int(places[a]), a, b) for a, b in pairwise(edges))
