"""The headers of a record, read where somebody asks: of most records nobody does."""

from collections.abc import Iterator

import numpy as np

from service.kafka.transactions import Header
from service.records import RawBatch

MOST_BYTES = 8192  # of a record's headers; what is beyond is left out


def headers_of(raw: RawBatch, offset: int) -> list[Header]:
    """Those of the record at an offset, as far as the batch has them."""
    i = int(np.searchsorted(raw.offsets, offset))
    if not raw.headers or i == len(raw) or raw.offsets[i] != offset:
        return []
    start, length = raw.values[i].tolist()
    return list(_read(raw.data[start + max(length, 0) :][: 2 * MOST_BYTES].tobytes()))


def _read(data: bytes) -> Iterator[Header]:
    """As they are stored: how many, then the length and bytes of each name and value."""
    count, at = _number(data, 0)
    total = 0
    for _ in range(count):
        if at >= len(data):
            return
        size, at = _number(data, at)
        name = data[at : at + size]
        length, at = _number(data, at + size)
        value = data[at : at + max(length, 0)]  # the client writes no null: it becomes empty
        at += max(length, 0)
        total += size + max(length, 0)
        if total > MOST_BYTES or at > len(data):
            return
        yield name.decode(errors="replace"), value


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A zigzag number of seven bits a byte, and the place after it."""
    value = shift = 0
    while at < len(data):
        byte = data[at]
        value |= (byte & 0x7F) << shift
        shift += 7
        at += 1
        if byte < 0x80:
            break
    return (value >> 1) ^ -(value & 1), at
