"""A source of records that are given to it: for tests, and the shape of every other source."""

import threading
from collections import deque
from collections.abc import Iterable, Sequence

import numpy as np

from service.memory.store import Positions
from service.records import Partition, RawBatch


class MemorySource:
    """Hands out batches as they were given; below a partition's position nothing is handed out."""

    missing_topics: Sequence[str] = ()
    waiting_for = None

    def __init__(self, batches: Iterable[RawBatch] = ()) -> None:
        self._batches = deque(batches)
        self._positions: Positions = {}
        self._woken = threading.Event()
        self.committed: Positions = {}

    def start(self, positions: Positions) -> None:
        self._positions = dict(positions)

    def poll(self, timeout_seconds: float) -> list[RawBatch]:
        if not self._batches:
            self._woken.wait(timeout_seconds)
            self._woken.clear()
            return []
        batch = from_position(self._batches.popleft(), self._positions)
        return [batch] if len(batch) else []

    def wake(self) -> None:
        self._woken.set()

    def commit(self, positions: Positions) -> None:
        self.committed = dict(positions)

    def lag(self) -> int:
        return sum(map(len, self._batches))

    @property
    def finished(self) -> bool:
        return not self._batches

    def close(self) -> None:
        pass


def from_position(batch: RawBatch, positions: Positions) -> RawBatch:
    """The part of a batch at and above its partition's position."""
    partition: Partition = batch.partition
    first = int(np.searchsorted(batch.offsets, positions.get(partition, 0)))
    return batch.part(slice(first, None))
