"""A block: scored events of one detector in a file that is written once.

Columns lie in pieces of so many events, byte by byte of their numbers and compressed; behind them,
as they are, the streams' keys in order and where each one's events begin; then a footer, its
length, its checksum. What is asked of one stream is found in the keys, and only its pieces are
read.
"""

import itertools
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from service.blocks.columns import MILLISECONDS, Columns
from service.errors import StateError

MAGIC = b"WAKEFUL1"
PIECE = 16_384  # events
EFFORT = 1  # of zlib: more takes longer and saves little
TAIL_BYTES = 4 + 4 + len(MAGIC)
LARGEST_FOOTER = 2**26

Array = npt.NDArray[np.generic]


class Footer(msgspec.Struct, frozen=True):
    """What a block holds: times in Unix seconds, those of events and that of its writing; `heads`
    are the first and the last of the numbers that were written here; `thinned` is how often."""

    features: tuple[str, ...]
    events: int
    start: float
    end: float
    written: float
    heads: tuple[int, int]
    thinned: int
    pieces: list[list[int]]  # each: where its columns begin, one after the other, and their end
    streams: int
    keys: int  # where they begin


@dataclass(frozen=True, slots=True)
class Block:
    """A block's file, its size in bytes, and its footer."""

    file: Path
    size: int
    footer: Footer


def write(
    file: Path, features: tuple[str, ...], columns: Columns, heads: tuple[int, int], written: float,
    thinned: int,
) -> Block:  # fmt: skip
    """Write columns that are in order; the file is there whole, or not at all."""
    start, end = float(columns.times.min()), float(columns.times.max())
    new = file.with_suffix(".new")
    with new.open("wb") as out:
        pieces = []
        for first in range(0, len(columns), PIECE):
            parts = _compressed(columns.only(slice(first, first + PIECE)), start)
            places = [out.tell(), *(len(part) for part in parts)]
            pieces.append(list(itertools.accumulate(places)))
            out.writelines(parts)
        keys, first_rows = np.unique(columns.keys, return_index=True)
        place = out.tell()
        out.write(keys.tobytes() + first_rows.astype(np.uint32).tobytes())
        footer = Footer(
            features, len(columns), start, end, written, heads, thinned, pieces, len(keys), place
        )
        body = msgspec.json.encode(footer)
        out.write(body + _number(len(body)) + _number(zlib.crc32(body)) + MAGIC)
        size = out.tell()
    new.replace(file)
    return Block(file, size, footer)


def opened(file: Path) -> Block:
    """A block that is there; StateError where it is none, or damaged."""
    size = file.stat().st_size
    with file.open("rb") as source:
        source.seek(max(0, size - TAIL_BYTES))
        tail = source.read()
        length = int.from_bytes(tail[:4], "little")
        if tail[8:] != MAGIC or not 0 < length <= min(size - TAIL_BYTES, LARGEST_FOOTER):
            raise StateError(f"{file}: is no whole block of the history; delete it")
        source.seek(size - TAIL_BYTES - length)
        body = source.read(length)
    if _number(zlib.crc32(body)) != tail[4:8]:
        raise StateError(f"{file}: is damaged; delete it")
    return Block(file, size, msgspec.json.decode(body, type=Footer))


def of_stream(block: Block, key: np.uint64) -> Columns:
    """A stream's events in a block; FileNotFoundError where another thread has deleted it."""
    footer = block.footer
    streams = footer.streams
    with block.file.open("rb") as source:
        place = source.fileno()
        keys = np.memmap(source, np.uint64, "r", footer.keys, (streams,))
        at = int(np.searchsorted(keys, key))
        if at == streams or keys[at] != key:
            return Columns.empty(0, len(footer.features))
        rows = os.pread(place, 8, footer.keys + 8 * streams + 4 * at)
        first = int.from_bytes(rows[:4], "little")
        following = footer.events if at + 1 == streams else int.from_bytes(rows[4:], "little")
        return _rows(block, place, first, following, key)


def everything(block: Block) -> Columns:
    """All of a block, in order."""
    footer = block.footer
    with block.file.open("rb") as source:
        columns = _rows(block, source.fileno(), 0, footer.events, np.uint64(0))
        index = os.pread(source.fileno(), 12 * footer.streams, footer.keys)
    keys = np.frombuffer(index[: 8 * footer.streams], np.uint64)
    first_rows = np.frombuffer(index[8 * footer.streams :], np.uint32)
    try:
        columns.keys[:] = np.repeat(keys, np.diff(np.r_[first_rows, footer.events]))
    except ValueError as error:
        raise StateError(f"{block.file}: its index is damaged; delete it") from error
    return columns


def _rows(block: Block, descriptor: int, first: int, following: int, key: np.uint64) -> Columns:
    footer, features = block.footer, len(block.footer.features)
    parts = []
    for number in range(first // PIECE, -(-following // PIECE)):
        begin = number * PIECE
        n = min(PIECE, footer.events - begin)
        places = footer.pieces[number]
        packed = [os.pread(descriptor, b - a, a) for a, b in itertools.pairwise(places)]
        piece = _decompressed(block, packed, n, features, key)
        parts.append(piece.only(slice(max(0, first - begin), min(n, following - begin))))
    return Columns.joined(parts) if len(parts) > 1 else parts[0]


def _compressed(columns: Columns, start: float) -> list[bytes]:
    ticks = np.rint((columns.times - start) * MILLISECONDS).astype(np.int64)
    _, offsets, _, *others = columns.all()
    steps = (np.diff(numbers, prepend=0) for numbers in (offsets, ticks))
    return [zlib.compress(_planes(column), EFFORT) for column in (*steps, *others)]


def _decompressed(
    block: Block, packed: list[bytes], n: int, features: int, key: np.uint64
) -> Columns:
    footer, shape = block.footer, (n, features)
    kinds = (
        (np.int64, (n,)), (np.int64, (n,)), (np.uint8, (n,)), (np.float64, shape),
        (np.float64, shape), (np.int16, shape),
    )  # fmt: skip
    try:
        offsets, ticks, *others = (
            _of_planes(zlib.decompress(part), np.dtype(kind), of)
            for part, (kind, of) in zip(packed, kinds, strict=True)
        )
    except (zlib.error, ValueError) as error:
        raise StateError(f"{block.file}: is damaged: {error}; delete it") from error
    times = np.rint(footer.start * MILLISECONDS) + np.cumsum(ticks)
    return Columns(np.full(n, key), np.cumsum(offsets), times / MILLISECONDS, *others)  # type: ignore[arg-type]


def _planes(column: Array) -> bytes:
    """The first bytes of all numbers, feature by feature, then the second ones, and so on."""
    numbers = np.ascontiguousarray(column.T).reshape(-1)
    return np.ascontiguousarray(numbers.view(np.uint8).reshape(-1, column.itemsize).T).tobytes()


def _of_planes(data: bytes, kind: np.dtype[np.generic], shape: tuple[int, ...]) -> Array:
    planes = np.frombuffer(data, np.uint8).reshape(kind.itemsize, -1)
    numbers = np.ascontiguousarray(planes.T).view(kind).reshape(shape[::-1])
    return np.ascontiguousarray(numbers.T)


def _number(value: int) -> bytes:
    return value.to_bytes(4, "little")
