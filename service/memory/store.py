"""The contract of a state store, and the one that lives in this process."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Protocol

import numpy as np

from model.row import FORMAT, Bytes
from service.errors import StateError
from service.memory.packs import NOWHERE, Pack
from service.records import Partition

Positions = dict[Partition, int]
"""For each partition the offset of the next record to read."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What rows of a detector mean: whose artifact made them, which features, in which format."""

    fingerprint: str
    features: tuple[str, ...]
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Changed:
    """What a checkpoint writes of one detector's memories.

    `packs` are new and made as they are read; those with the numbers `dropped` go. `left` are the n
    streams whose memories leave the arena, `left_rows` (n, row_bytes) these, of the features
    `left_features` where they are not the shape's; `returned` are those
    whose memories came back to it. With `replace_all` the packs are all that there are, of another
    shape than before.
    """

    shape: Shape
    memories: int
    packs: Iterable[Pack] = ()
    dropped: Sequence[int] = ()
    left: Sequence[str] = ()
    left_rows: Bytes = field(default_factory=lambda: np.empty((0, 0), np.uint8))
    left_features: tuple[str, ...] | None = None
    returned: Collection[str] = ()
    replace_all: bool = False


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Memories and the positions that they are current to: saved together or not at all."""

    positions: Positions
    changed: dict[str, Changed]


@dataclass(frozen=True, slots=True)
class Idle:
    """The memory of a stream that has left the arena, and the features that it is of."""

    stream: str
    features: tuple[str, ...]
    row: bytes


class StateStore(Protocol):
    """Keeps checkpoints. Called from the pipeline's thread, or for memories that are on their way
    from the one that restores them.

    A `detector` is here the name of its memories, see `memory_name`.
    """

    def save(self, checkpoint: Checkpoint) -> None:
        """Save all of it, durably, in one transaction."""

    def positions(self) -> Positions:
        """The positions of the last checkpoint."""

    def shape(self, detector: str) -> Shape | None:
        """The shape of a detector's rows, None where there are none."""

    def knows(self, detector: str) -> bool:
        """Whether there was ever a checkpoint of these."""

    def others(self, detector: str) -> set[str]:
        """Names of memories that other artifacts made of the same streams; where these are in
        Kafka, once `packs` was read to its end."""

    def drop(self, detector: str) -> None:
        """Let all of them go, and what is known of them."""

    def packs(self, detector: str) -> Iterator[tuple[Shape, Pack]]:
        """What the arena held, in the order in which it was written, with the shape of its rows.

        Of a slot the last pack counts, of a number the last one of that number (of no slots where
        it was dropped), and of several shapes the last one; behind a pack of the number NOWHERE
        nothing of before does.
        """

    def idle_count(self, detector: str) -> int:
        """How many memories are outside of the arena."""

    def idle(self, detector: str, streams: Sequence[str]) -> list[Idle]:
        """Those of some streams, as far as they are there, in any order."""

    def idle_after(self, detector: str, after: str, prefix: str, limit: int) -> list[Idle]:
        """Those of streams behind `after` that begin with `prefix`, in the order of their names."""

    def close(self) -> None: ...


def memory_name(detector: str, fingerprint: str, partition: Partition | None = None) -> str:
    """What a store calls the memories that one artifact made of a detector's streams; in Kafka
    those of each partition have a name of their own."""
    place = () if partition is None else (partition[0], str(partition[1]))
    return ":".join((detector, fingerprint, *place))


def owner_of(memory: str) -> tuple[str, str, Partition]:
    """What `memory_name` was made of, in Kafka: no part of it has a colon."""
    detector, fingerprint, topic, number = memory.split(":")
    return detector, fingerprint, (topic, int(number))


def made_by(memory: str) -> str:
    """The fingerprint in a name."""
    return memory.split(":")[1]


def of_same_streams(memory: str, other: str) -> bool:
    """Whether two names differ in the artifact alone."""
    return memory != other and streams_of(memory) == streams_of(other)


def streams_of(memory: str) -> tuple[str, ...]:
    """What is in a name beside the artifact."""
    detector, _, *place = memory.split(":")
    return detector, *place


def memories(store: StateStore, detector: str) -> dict[str, bytes]:
    """Every memory that is stored, by stream."""
    here = resident(store, detector)
    limit = store.idle_count(detector)
    return here | {one.stream: one.row for one in store.idle_after(detector, "", "", limit)}


def resident(store: StateStore, detector: str) -> dict[str, bytes]:
    """Those of streams that are not idle."""
    slots: dict[int, tuple[str, bytes]] = {}
    for _, packs in groupby(store.packs(detector), itemgetter(0)):
        slots = {}
        for _, pack in packs:
            if pack.number == NOWHERE:
                slots = {}
            rows = iter(pack.rows)
            for slot, stream in zip(pack.slots.tolist(), pack.streams, strict=True):
                slots[slot] = (stream, next(rows).tobytes() if stream else b"")
    return {stream: row for stream, row in slots.values() if stream}


@dataclass(slots=True)
class InMemoryStore:
    """A store that ends with the process: for `wakeful replay` and for tests."""

    _positions: Positions = field(default_factory=dict)
    _shapes: dict[str, Shape] = field(default_factory=dict)
    _packs: dict[str, dict[int, Pack]] = field(default_factory=lambda: defaultdict(dict))
    _idle: dict[str, dict[str, Idle]] = field(default_factory=lambda: defaultdict(dict))

    def save(self, checkpoint: Checkpoint) -> None:
        self._positions.update(checkpoint.positions)
        for detector, changed in checkpoint.changed.items():
            self._shapes[detector] = changed.shape
            packs, idle = self._packs[detector], self._idle[detector]
            if changed.replace_all:
                packs.clear()
            for number in changed.dropped:
                packs.pop(number, None)
            packs.update((pack.number, pack) for pack in changed.packs)
            for stream in changed.returned:
                del idle[stream]
            for stream, row in zip(changed.left, changed.left_rows, strict=True):
                features = changed.left_features or changed.shape.features
                idle[stream] = Idle(stream, features, row.tobytes())

    def positions(self) -> Positions:
        return dict(self._positions)

    def shape(self, detector: str) -> Shape | None:
        return self._shapes.get(detector)

    def knows(self, detector: str) -> bool:
        return detector in self._shapes

    def others(self, detector: str) -> set[str]:
        return {name for name in self._shapes if of_same_streams(detector, name)}

    def drop(self, detector: str) -> None:
        self._shapes.pop(detector, None)
        self._packs.pop(detector, None)
        self._idle.pop(detector, None)

    def packs(self, detector: str) -> Iterator[tuple[Shape, Pack]]:
        for _, pack in sorted(self._packs[detector].items()):
            yield self._shapes[detector], pack

    def idle_count(self, detector: str) -> int:
        return len(self._idle[detector])

    def idle(self, detector: str, streams: Sequence[str]) -> list[Idle]:
        idle = self._idle[detector]
        return [idle[stream] for stream in streams if stream in idle]

    def idle_after(self, detector: str, after: str, prefix: str, limit: int) -> list[Idle]:
        idle = self._idle[detector]
        names = sorted(name for name in idle if name > after and name.startswith(prefix))
        return [idle[name] for name in names[:limit]]

    def close(self) -> None:
        pass


def require_format(shape: Shape, detector: str) -> None:
    """Refuse rows of another format before they are misread."""
    if shape.format != FORMAT:
        raise StateError(
            f"detector {detector}: its stored memories have format {shape.format}, this version "
            f"reads {FORMAT}: run the version that wrote them, or start with another data_dir"
        )
