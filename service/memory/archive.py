"""Memories as a file, to be kept, moved, and compared to the bit.

The file is a row of blocks, each with its length and CRC-32C before it. Of each detector (and
partition) there is a block that says what follows, then its memories in packs as in a changelog;
the last block counts the others, so that a file that was cut is noticed.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np
from crc32c import crc32c

from service.errors import StateError
from service.memory.entries import pack_of, pack_value
from service.memory.packs import PACK_BYTES, Pack
from service.memory.store import Changed, Checkpoint, Idle, Positions, Shape, StateStore, resident
from service.records import Names, Partition

MAGIC = b"wakeful memories 1\n"
FRAME = struct.Struct("<II")  # bytes of the block, their CRC-32C
LARGEST = 1 << 30
TOGETHER = 64  # memories to a pack, at most


class Contents(msgspec.Struct, tag="memories"):
    """What follows: the memories of this name, of this shape, current to these positions."""

    name: str
    fingerprint: str
    features: tuple[str, ...]
    format: int
    positions: list[tuple[str, int, int]]
    streams: int

    @property
    def shape(self) -> Shape:
        return Shape(self.fingerprint, self.features, self.format)


class End(msgspec.Struct, tag="end"):
    blocks: int


_heads = msgspec.msgpack.Decoder(Contents | End)


@dataclass(frozen=True, slots=True)
class Memories:
    """The memories of one name: rows by stream, with the features that they are of."""

    contents: Contents
    rows: dict[str, tuple[tuple[str, ...], bytes]]


def stored(store: StateStore, name: str, partitions: Sequence[Partition]) -> Memories | None:
    """What a store has under a name, with the positions of some partitions; None: nothing."""
    here = resident(store, name)
    shape, known = store.shape(name), store.positions()
    if shape is None:
        return None
    idle = store.idle_after(name, "", "", store.idle_count(name))
    found = {one.stream: (one.features, one.row) for one in idle}
    found |= {stream: (shape.features, row) for stream, row in here.items()}
    positions = [(*place, known[place]) for place in partitions if place in known]
    contents = Contents(
        name, shape.fingerprint, shape.features, shape.format, positions, len(found)
    )
    return Memories(contents, found)


def require_free(memories: Memories, store: StateStore) -> None:
    """StateError where a store has some under that name, or where its position differs: events
    between the two would be told twice, or never."""
    contents = memories.contents
    if any(True for _ in store.packs(contents.name)) or store.shape(contents.name) is not None:
        raise StateError(
            f"there are memories of {contents.name} already: import into an empty data_dir, or an "
            "empty topic of memories"
        )
    known = store.positions()
    for topic, number, position in contents.positions:
        if known.get((topic, number), position) != position:
            raise StateError(
                f"the memories of {contents.name} are current to offset {position:,} of "
                f"{topic}-{number}, and others there to {known[topic, number]:,}: import into an "
                "empty data_dir, or an empty topic of memories"
            )


def save(memories: Memories, store: StateStore) -> None:
    """Put them into a store that is free for them."""
    contents = memories.contents
    here = {s: row for s, (features, row) in memories.rows.items() if features == contents.features}
    left = [
        Idle(stream, features, row)
        for stream, (features, row) in memories.rows.items()
        if features != contents.features
    ]
    positions: Positions = {(topic, number): at for topic, number, at in contents.positions}
    changed = Changed(contents.shape, len(here), list(_packs(here)))
    store.save(Checkpoint(positions, {contents.name: changed}))
    for idle in left:
        row = np.frombuffer(idle.row, np.uint8)[None]
        changed = Changed(
            contents.shape, 1, left=[idle.stream], left_rows=row, left_features=idle.features
        )
        store.save(Checkpoint(positions, {contents.name: changed}))


def write(file: Path, some: Iterable[Memories]) -> int:
    """Write a new file; how many memories it holds. StateError where it is there or cannot be."""
    count = blocks = 0
    try:
        with file.open("xb") as out:
            out.write(MAGIC)
            for memories in some:
                for block in _blocks(memories):
                    _put(out, block)
                    blocks += 1
                count += len(memories.rows)
            _put(out, msgspec.msgpack.encode(End(blocks)))
    except OSError as error:
        raise StateError(f"{file}: {error.strerror}; choose another file") from error
    return count


def read(file: Path) -> Iterator[Memories]:
    """What `write` wrote; StateError where the file is damaged, cut, or none of ours."""
    try:
        with file.open("rb") as source:
            if source.read(len(MAGIC)) != MAGIC:
                raise StateError(f"{file}: not a file of memories, or of another version")
            yield from _read(source)
    except OSError as error:
        raise StateError(f"{file}: {error.strerror}") from error
    except ValueError as error:
        raise StateError(f"{file}: {error}; bring it back from where it was copied") from error


def differences(some: Iterable[Memories], others: Iterable[Memories]) -> list[str]:
    """In words what one has and the other has not, or has otherwise; nothing: the same bits."""
    first, second = ({m.contents.name: m for m in each} for each in (some, others))
    found = [f"{name}: only in one of them" for name in sorted(first.keys() ^ second.keys())]
    for name in sorted(first.keys() & second.keys()):
        a, b = first[name], second[name]
        for what in ("fingerprint", "format", "features", "positions"):
            one, other = getattr(a.contents, what), getattr(b.contents, what)
            if one != other:
                found.append(f"{name}: {what}: {one} and {other}")
        for stream in sorted(a.rows.keys() | b.rows.keys()):
            if a.rows.get(stream) != b.rows.get(stream):
                only = stream not in a.rows or stream not in b.rows
                found.append(f"{name}: {stream}: {'only in one of them' if only else 'differs'}")
    return found


def _blocks(memories: Memories) -> Iterator[bytes]:
    yield msgspec.msgpack.encode(memories.contents)
    by_features: dict[tuple[str, ...], dict[str, bytes]] = {}
    for stream, (features, row) in memories.rows.items():
        by_features.setdefault(features, {})[stream] = row
    contents = memories.contents
    for features, rows in by_features.items():
        shape = Shape(contents.fingerprint, features, contents.format)
        for pack in _packs(rows):
            yield pack_value(shape, pack)


def _packs(rows: dict[str, bytes]) -> Iterator[Pack]:
    names = list(rows)
    row_bytes = len(rows[names[0]]) if names else 1
    together = max(1, min(TOGETHER, PACK_BYTES // row_bytes))  # brokers take only so much at once
    for number, start in enumerate(range(0, len(names), together), 1):
        some = names[start : start + together]
        table = np.stack([np.frombuffer(rows[name], np.uint8) for name in some])
        slots = np.arange(start, start + len(some))
        used, every = np.zeros(len(some), np.int64), np.ones(len(some), np.bool_)
        yield Pack(number, slots, Names.of(some), used, table, every)


def _read(source: BinaryIO) -> Iterator[Memories]:
    blocks = 0
    head = _heads.decode(_get(source))
    while isinstance(head, Contents):
        rows: dict[str, tuple[tuple[str, ...], bytes]] = {}
        blocks += 1
        while len(rows) < head.streams:
            shape, pack = pack_of(0, _get(source))
            blocks += 1
            for stream, row in zip(pack.streams, pack.rows, strict=True):
                rows[stream] = (shape.features, row.tobytes())
        yield Memories(head, rows)
        head = _heads.decode(_get(source))
    if head.blocks != blocks or source.read(1):
        raise ValueError("it does not end where it should")


def _put(out: BinaryIO, block: bytes) -> None:
    out.write(FRAME.pack(len(block), crc32c(block)))
    out.write(block)


def _get(source: BinaryIO) -> bytes:
    frame = source.read(FRAME.size)
    if len(frame) < FRAME.size:
        raise ValueError("it is cut")
    size, checksum = FRAME.unpack(frame)
    block = source.read(size) if size <= LARGEST else b""
    if len(block) != size or crc32c(block) != checksum:
        raise ValueError(f"the block before byte {source.tell()} is damaged")
    return block
