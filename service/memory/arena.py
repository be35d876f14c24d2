"""The memories of one detector's streams: rows in one buffer, a slot for each stream."""

import mmap
import os
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from model.judge import usual_error
from model.row import Bytes, RowLayout, RowTable
from service.errors import StateError
from service.memory.names import NameTable
from service.records import Names

I64 = npt.NDArray[np.int64]

REMEMBERED = "level", "fast", "slow", "scale", "step", "count"
LEAST_CAPACITY = 1024  # rows
CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")
MAP_NORESERVE = 0x4000 if sys.platform == "linux" else 0  # `mmap` has a name for it from 3.13 on


class Arena:
    """Rows of streams, all of one layout; a new stream starts as `fresh`.

    `fresh` is one row, (1, row_bytes). Which rows changed since the last checkpoint is known.

    Addresses are taken once for as many rows as the machine's memory could hold, memory itself by
    the system as rows are first written: nothing is ever moved, however many streams come.
    """

    def __init__(self, layout: RowLayout, fresh: Bytes, capacity: int | None = None) -> None:
        self.layout = layout
        self.fresh = fresh
        self.names = NameTable()
        rows = capacity or machine_memory() // layout.row_bytes
        self.table = RowTable(layout, _reserved(rows, layout.row_bytes))
        self._changed = _reserved(len(self.table), 1)[:, 0].view(np.bool_)

    def __len__(self) -> int:
        return len(self.names)

    def slots_of(self, streams: Names) -> I64:
        """(n,) slots; a stream not seen before gets one with a fresh row.

        StateError where they are more than the arena holds.
        """
        known = len(self)
        slots = self.names.slots_of(streams)
        if len(self) > len(self.table):
            raise StateError(
                f"{len(self):,} streams of {self.layout.row_bytes:,} bytes each are more than the "
                f"{len(self.table):,} that there is room for: spread them over several processes, "
                "by partitions or by detectors"
            )
        self.table.bytes[known : len(self)] = self.fresh[0]
        return slots

    def mark(self, slots: I64) -> None:
        """These rows changed."""
        self._changed[slots] = True

    def mark_all(self) -> None:
        self._changed[: len(self)] = True

    def changed(self) -> I64:
        """Slots of the rows that changed since `saved`."""
        return np.flatnonzero(self._changed[: len(self)])

    def saved(self, slots: I64) -> None:
        """These rows are in the store as they are."""
        self._changed[slots] = False

    def restore(self, streams: Names, rows: Bytes) -> None:
        """Put stored rows (n, row_bytes) back; they count as saved."""
        slots = self.slots_of(streams)
        self.table.bytes[slots] = rows

    def row(self, stream: str) -> RowTable | None:
        """A copy of one stream's row, or None where the stream is not known."""
        slot = self.names.find(stream)
        return None if slot is None else RowTable(self.layout, self.table.bytes[[slot]])


def machine_memory() -> int:
    """Bytes of memory that this machine has, or this container is allowed."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    allowed = CONTAINER_LIMIT.read_text("ascii").strip() if CONTAINER_LIMIT.exists() else "max"
    return min(physical, int(allowed)) if allowed.isdigit() else physical


def _reserved(rows: int, size: int) -> Bytes:
    """(rows, size) zeros that take no memory before they are written; fewer rows where the system
    refuses."""
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
    while True:
        try:
            pages = mmap.mmap(-1, rows * size, private)
        except OSError:
            if rows <= LEAST_CAPACITY:
                raise
            rows //= 2
        else:
            return np.frombuffer(pages, np.uint8).reshape(rows, size)


def relaid(
    table: RowTable, have: tuple[str, ...], layout: RowLayout, want: tuple[str, ...], fresh: Bytes
) -> RowTable:
    """The same memories for another list of features, matched by name.

    For artifacts that run feature by feature: what is known of a feature moves with its name, a new
    feature starts as in `fresh`, one no longer wanted is left out.
    """
    rows = RowTable(layout, np.repeat(fresh, len(table), axis=0))
    rows.head[:] = table.head
    rows.tails[:] = table.tails
    rows.maxima[:] = table.maxima
    for f, name in enumerate(want):
        if name in have:
            was = have.index(name)
            rows.features[:, :, f] = table.features[:, :, was]
            rows.locations[:, :, f] = table.locations[:, :, was]
            rows.spreads[:, :, f] = table.spreads[:, :, was]
            rows.states[:, :, f] = table.states[:, :, was]
            rows.profiles[:, f] = table.profiles[:, was]
    return rows


def feature_of(table: RowTable, f: int) -> dict[str, float | None]:
    """What is known of feature f in a one-row table, by name, at the finest resolution.

    The nearest reconstruction that waits is of the next value.
    """
    feature = table.features[0, 0, f]
    spread = float(table.spreads[0, 0, f, 0]) * usual_error(feature)
    known = {name: float(feature[name]) for name in REMEMBERED}
    expected = float(table.locations[0, 0, f, 0]) if spread > 0.0 else None
    return {**known, "value": float(feature["last"]), "expected": expected, "spread": spread}
