"""The memories of one detector's streams: rows in one buffer, a slot for each stream."""

import mmap
import os
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from model.judge import usual_error
from model.row import Bytes, RowLayout, RowTable
from service.errors import StateError
from service.memory.names import FREE, NameTable
from service.memory.packs import NOWHERE, Pack, Packing, Plan
from service.records import Names, read_only

I64 = npt.NDArray[np.int64]

REMEMBERED = "level", "fast", "slow", "scale", "step", "count"
LEAST_CAPACITY = 1024  # rows
CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")
MAP_NORESERVE = 0x4000 if sys.platform == "linux" else 0  # `mmap` has a name for it from 3.13 on


class Arena:
    """Rows of streams, all of one layout; a new stream starts as `fresh`.

    `fresh` is one row, (1, row_bytes). Which rows changed since the last checkpoint is known, and
    which have waited longest for an event.

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
        self._used = np.zeros(len(self.table), np.int64)  # number of the last batch with an event
        self._batches = 0
        self._packing = Packing.of(len(self.table), layout.row_bytes)

    def __len__(self) -> int:
        return len(self.names)

    def slots_of(self, streams: Names) -> tuple[I64, I64]:
        """(n,) slots, and those among them that streams not seen before have got, with fresh rows.

        StateError where they are more than the arena holds.
        """
        slots, born = self.names.slots_of(streams)
        if self.names.top > len(self.table):
            raise StateError(
                f"{len(self):,} streams of {self.layout.row_bytes:,} bytes each are more than the "
                f"{len(self.table):,} that there is room for: spread them over several processes, "
                "by partitions or by detectors"
            )
        self.table.bytes[born] = self.fresh[0]
        return slots, born

    def mark(self, slots: I64) -> None:
        """These rows changed: they had events."""
        self._changed[slots] = True
        self._batches += 1
        self._used[slots] = self._batches

    def parts(self, size: int) -> Iterator[tuple[Names, I64, RowTable]]:
        """All streams, so many at a time: the number of the last batch that had an event for each,
        and a copy of their rows."""
        taken = np.flatnonzero(self.names.taken())
        for start in range(0, len(taken), size):
            slots = taken[start : start + size]
            rows = RowTable(self.layout, self.table.bytes[slots])
            yield self.names.of(slots), self._used[slots], rows

    def take_over(self, streams: Names, used: I64, rows: Bytes) -> None:
        """Have streams of another arena, as `parts` gives them, their rows in this layout."""
        slots, _ = self.slots_of(streams)
        self.table.bytes[slots] = rows
        self._changed[slots] = True
        self._used[slots] = used
        self._batches = max(self._batches, int(used.max(initial=0)))

    def longest_idle(self, streams: Names, most: int, share: float) -> I64:
        """Slots to free so that `streams` have room among `most`: a `share` of all at least, of
        those that have waited longest for an event. None where there is room.

        streams: at most `most`.
        """
        if len(self) + len(streams) <= most:
            return np.empty(0, np.int64)
        known = self.names.known(streams)
        over = len(self) + self.names.different(streams.only(known == FREE)) - most
        if over <= 0:
            return np.empty(0, np.int64)
        staying = ~self.names.taken()
        staying[known[known != FREE]] = True
        leaving = np.flatnonzero(~staying)
        count = min(max(over, int(share * most)), len(leaving))
        return leaving[np.argpartition(self._used[leaving], count - 1)[:count]]

    def plan(self, leaving: I64) -> Plan:
        """What the next checkpoint must write; the slots `leaving` are free then."""
        self._changed[leaving] = True
        return self._packing.plan(np.flatnonzero(self._changed[: self.names.top]), leaving)

    def packs(self, plan: Plan) -> Iterator[Pack]:
        """The packs that it writes, made as they are asked for."""
        changed, leaving = np.zeros((2, self.names.top), np.bool_)
        changed[plan.changed], leaving[plan.leaving] = True, True
        for number, slots in self._packing.parts(plan):
            streams = self.names.of(slots)
            streams.spans[leaving[slots], 1] = 0
            held = slots[streams.spans[:, 1] > 0]
            yield Pack(
                number, slots, streams.joined(), self._used[slots], self.table.bytes[held],
                changed[held],
            )  # fmt: skip

    def saved(self, plan: Plan) -> None:
        """It was written."""
        self._packing.saved(plan)
        self._changed[plan.slots] = False
        if len(plan.leaving):
            self.names.remove(plan.leaving)

    @property
    def all_saved(self) -> bool:
        """Whether no row changed since the last checkpoint."""
        return not self._changed[: self.names.top].any()

    def restore(self, packs: Iterable[Pack]) -> None:
        """Take the memories of stored packs, in the order in which they were written, into an empty
        arena."""
        parts: list[bytes] = []
        spans, size, top = np.zeros((0, 2), np.int64), 0, 0
        for pack in packs:
            if pack.number == NOWHERE:
                parts, size = [], 0
                spans[:] = 0
                self._packing = Packing.of(len(self.table), self.layout.row_bytes)
                continue
            held = pack.slots[pack.streams.spans[:, 1] > 0]
            self._take(pack, held)
            self._packing.restore(pack.number, pack.slots)
            top = max(top, int(pack.slots.max(initial=-1)) + 1)
            if top > len(spans):
                spans = np.concatenate([spans, np.zeros((top, 2), np.int64)])
            spans[pack.slots] = pack.streams.spans + np.array([size, 0])
            parts.append(pack.streams.data.tobytes())
            size += len(parts[-1])
        self._packing.count()
        self.names = NameTable.filled(Names(read_only(b"".join(parts)), spans[:top]))

    def require_whole(self) -> None:
        """StateError where a memory that was restored is in no pack: one is missing."""
        homes = self._packing.home[: self.names.top]
        if missing := int(np.count_nonzero(self.names.taken() & (homes == NOWHERE))):
            raise StateError(
                f"{missing} memories are missing in the store: bring it back from a copy, or start "
                "with another one"
            )

    def _take(self, pack: Pack, held: I64) -> None:
        if not len(held):
            return
        if pack.rows.shape[1] != self.layout.row_bytes:
            raise StateError(
                f"memories of {pack.rows.shape[1]} bytes, expected {self.layout.row_bytes}: the "
                "store is damaged; start with another data_dir"
            )
        if held.max() >= len(self.table):
            raise StateError(
                f"memories are stored in more than the {len(self.table):,} places that there is "
                "room for: start where there is as much memory as before"
            )
        self.table.bytes[held] = pack.rows
        self._used[pack.slots] = pack.used
        self._batches = max(self._batches, int(pack.used.max()))

    def row(self, stream: str) -> RowTable | None:
        """A copy of one stream's row, or None where the stream is not known."""
        slot = self.names.find(stream)
        return None if slot is None else RowTable(self.layout, self.table.bytes[[slot]])


@cache
def machine_memory() -> int:
    """Bytes of memory that this machine has, or this container is allowed; as it was when it was
    first asked for, as arenas are made for it."""
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
