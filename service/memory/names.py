"""Which slot a stream's name has: a hash table over bytes, in compiled code."""

import os
from collections.abc import Iterator
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from model.compiled import compiled
from service.records import Names, read_only

FREE = -1
FIRST_CAPACITY = 64  # names
FIRST_BYTES = 1024
FULLEST = 2  # places for each name, at least

MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio
MIXER = np.uint64(0xBF58476D1CE4E5B9)
SHIFT = np.uint64(32)
BYTE = np.uint64(8)

Bytes = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]


T = TypeVar("T", bound=np.generic)


class NameTable:
    """Slots 0, 1, 2, … in the order in which names were first met.

    Where a name lies depends on a random seed, so that nobody can choose names that collide; its
    slot does not.
    """

    def __init__(self) -> None:
        self._seed = np.uint64(int.from_bytes(os.urandom(8), "little"))
        self._count = 0
        self._hashes = np.zeros(FIRST_CAPACITY, np.uint64)
        self._places = self._placed(FULLEST * FIRST_CAPACITY)
        self._spans = np.zeros((FIRST_CAPACITY, 2), np.int64)
        self._pool = np.zeros(FIRST_BYTES, np.uint8)
        self._used = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        return iter(self.of(np.arange(self._count)))

    def of(self, slots: I64) -> Names:
        """The names of some slots."""
        return Names(read_only(self._pool), self._spans[slots])

    def find(self, name: str) -> int | None:
        """The slot of a name, None where it was never met."""
        data = read_only(name.encode("utf-8", "surrogatepass"))
        slot = slot_of(data, self._seed, self._places, self._hashes, self._spans, self._pool)
        return None if slot == FREE else slot

    def slots_of(self, names: Names) -> I64:
        """(n,) slots; a name not met before gets the next one."""
        self._make_room(len(names), int(names.spans[:, 1].sum()))
        slots = np.empty(len(names), np.int64)
        self._count, self._used = take_slots(
            names.data, names.spans, self._seed, self._count, self._used, self._places,
            self._hashes, self._spans, self._pool, slots,
        )  # fmt: skip
        return slots

    def _make_room(self, names: int, size: int) -> None:
        """Room for so many more names, of so many bytes altogether, should all be new."""
        capacity, reserved = len(self._hashes), len(self._pool)
        while capacity < self._count + names:
            capacity *= 2
        while reserved < self._used + size:
            reserved *= 2
        self._hashes = _grown(self._hashes, capacity)
        self._spans = _grown(self._spans, capacity)
        self._pool = _grown(self._pool, reserved)
        if len(self._places) < FULLEST * capacity:
            self._places = self._placed(FULLEST * capacity)

    def _placed(self, size: int) -> I64:
        """The names that there are, in a table of so many places."""
        places = np.full(size, FREE, np.int64)
        place_all(self._hashes, self._count, places)
        return places


def _grown(array: npt.NDArray[T], length: int) -> npt.NDArray[T]:
    if len(array) == length:
        return array
    grown = np.zeros((length, *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown


@compiled
def hash_of(data: Bytes, start: int, length: int, seed: np.uint64) -> np.uint64:
    """Eight bytes at a time, multiplied and folded."""
    result = seed ^ (np.uint64(length) * MULTIPLIER)
    word, filled = np.uint64(0), 0
    for k in range(start, start + length):
        word = (word << BYTE) | np.uint64(data[k])
        filled += 1
        if filled == 8:
            result = (result ^ word) * MULTIPLIER
            result ^= result >> SHIFT
            word, filled = np.uint64(0), 0
    result = (result ^ word) * MIXER
    result ^= result >> SHIFT
    return (result * MULTIPLIER) ^ (result >> SHIFT)


@compiled
def find(
    data: Bytes, start: int, length: int, hashed: np.uint64, places: I64, hashes: U64, spans: I64,
    pool: Bytes,
) -> int:  # fmt: skip
    """The place of a name; -1 - (the free place where it belongs) if it has none."""
    mask = len(places) - 1
    place = np.int64(hashed & np.uint64(mask))
    while places[place] != FREE:
        slot = places[place]
        if hashes[slot] == hashed and spans[slot, 1] == length:
            same = True
            for k in range(length):
                if pool[spans[slot, 0] + k] != data[start + k]:
                    same = False
                    break
            if same:
                return int(place)
        place = (place + 1) & mask
    return int(-1 - place)


@compiled
def slot_of(data: Bytes, seed: np.uint64, places: I64, hashes: U64, spans: I64, pool: Bytes) -> int:
    """The slot of one name, FREE where it has none."""
    hashed = hash_of(data, 0, len(data), seed)
    place = find(data, 0, len(data), hashed, places, hashes, spans, pool)
    return FREE if place < 0 else int(places[place])


@compiled
def take_slots(
    data: Bytes, names: I64, seed: np.uint64, count: int, used: int, places: I64, hashes: U64,
    spans: I64, pool: Bytes, slots: I64,
) -> tuple[int, int]:  # fmt: skip
    """The slots of names (n, 2); returns how many names and bytes there are now."""
    for i in range(len(names)):
        start, length = names[i, 0], names[i, 1]
        hashed = hash_of(data, start, length, seed)
        place = find(data, start, length, hashed, places, hashes, spans, pool)
        if place < 0:
            place = -1 - place
            places[place] = count
            hashes[count] = hashed
            spans[count, 0], spans[count, 1] = used, length
            for k in range(length):
                pool[used + k] = data[start + k]
            used += length
            count += 1
        slots[i] = places[place]
    return count, used


@compiled
def place_all(hashes: U64, count: int, places: I64) -> None:
    """Put the names 0 to count - 1 into an empty table."""
    mask = len(places) - 1
    for slot in range(count):
        place = np.int64(hashes[slot] & np.uint64(mask))
        while places[place] != FREE:
            place = (place + 1) & mask
        places[place] = slot
