"""What is known of the memories of one name, beside their rows."""

import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from service.errors import StateError, Unavailable
from service.memory.arena import Arena
from service.memory.entries import HEAD, NOTHING, Keys, gone, idle_of, pack_of
from service.memory.packs import Pack
from service.memory.sqlite import SqliteStore
from service.memory.store import Changed, Checkpoint, Idle, Shape
from service.records import Partition

DATABASE = "idle.db"
ALL = "idle"  # what a folder calls its memories, which are of one name


@dataclass(slots=True)
class Kept:
    """What is known of the memories of one detector's streams in one partition."""

    place: Partition
    keys: Keys
    source: Partition
    folder: Path
    position: int | None = None
    topic_id: str | None = None  # of the source, when the position was noted
    shape: Shape | None = None
    numbers: set[int] = field(default_factory=set)  # of the packs that are there
    idle: SqliteStore | None = None
    others: set[str] = field(default_factory=set)
    """Artifacts that made other memories of the same streams."""

    def idle_store(self) -> SqliteStore:
        """Idle memories, to be found by name; in Kafka they are as well, and that counts."""
        if self.idle is None:
            shutil.rmtree(self.folder, ignore_errors=True)  # what an earlier try left
            try:
                self.folder.mkdir(parents=True)
                self.idle = SqliteStore(self.folder / DATABASE)
            except (sqlite3.Error, StateError, OSError) as error:
                raise Unavailable(f"{self.folder}: {error}; idle memories need room") from error
        return self.idle

    def close(self) -> None:
        if self.idle is not None:
            self.idle.close()
            shutil.rmtree(self.folder, ignore_errors=True)  # a start clears what is left


@dataclass(frozen=True, slots=True)
class Left:
    """Memories of one name, all of which is saved, as a service leaves them to the one that follows
    it in this process; `end`: of their partition of the topic, behind what was written last."""

    kept: Kept
    end: int
    arena: Arena


def note_other(kept: Kept, fingerprint: str, kind: str, value: bytes | None) -> None:
    """Another artifact's memories, or what is none of this detector's; see `drop`."""
    if value is not None and fingerprint and kind != HEAD:
        kept.others.add(fingerprint)
    elif value is None and kind == HEAD:
        kept.others.discard(fingerprint)


def void(kept: Kept, idle: dict[str, Idle | None]) -> Iterator[tuple[Shape, Pack]]:
    """All that was read so far was dropped."""
    if kept.shape is not None:
        yield kept.shape, NOTHING
    kept.close()
    kept.position, kept.shape, kept.idle = None, None, None
    kept.numbers.clear()
    idle.clear()


def note_pack(kept: Kept, number: int, value: bytes | None) -> Iterator[tuple[Shape, Pack]]:
    if value is not None:
        kept.shape, pack = pack_of(number, value)
        kept.numbers.add(number)
        yield kept.shape, pack
    elif kept.shape is not None:
        kept.numbers.discard(number)
        yield kept.shape, gone(number)


def note_idle(kept: Kept, idle: dict[str, Idle | None], stream: str, value: bytes | None) -> None:
    idle[stream] = None
    if value is not None:
        shape, idle[stream] = idle_of(stream, value)
        kept.shape = kept.shape or shape


def file_idle(kept: Kept, found: dict[str, Idle | None]) -> None:
    """Put idle memories where they are found by name, and take away those that are no longer."""
    if kept.shape is None or not found:  # without the first there are none
        return
    store = kept.idle_store()
    known = [one.stream for one in store.idle(ALL, list(found))]
    store.save(Checkpoint({}, {ALL: Changed(kept.shape, 0, returned=known)}))
    by_features: dict[tuple[str, ...], list[Idle]] = {}
    for one in found.values():
        if one is not None:
            by_features.setdefault(one.features, []).append(one)
    for features, some in by_features.items():
        rows = np.stack([np.frombuffer(one.row, np.uint8) for one in some])
        left = [one.stream for one in some]
        changed = Changed(kept.shape, 0, left=left, left_rows=rows, left_features=features)
        store.save(Checkpoint({}, {ALL: changed}))
    found.clear()
