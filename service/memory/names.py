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
    """A slot for each name: the next one, or one that a removed name has left.

    Where a name lies depends on a random seed, so that nobody can choose names that collide; its
    slot does not. No name is empty: that is what a free slot has.
    """

    def __init__(self) -> None:
        self._seed = np.uint64(int.from_bytes(os.urandom(8), "little"))
        self.top = 0
        """Slots so far, the free ones among them."""
        self._free = np.empty(0, np.int64)
        self._hashes = np.zeros(FIRST_CAPACITY, np.uint64)
        self._spans = np.zeros((FIRST_CAPACITY, 2), np.int64)
        self._pool = np.zeros(FIRST_BYTES, np.uint8)
        self._used = 0
        self._places = self._placed(FULLEST * FIRST_CAPACITY)

    @classmethod
    def filled(cls, names: Names) -> "NameTable":
        """Name k in slot k; where it is empty the slot is free."""
        table, joined = cls(), names.joined()
        table._make_room(len(names), len(joined.data))
        table.top, table._used = len(names), len(joined.data)
        table._spans[: table.top], table._pool[: table._used] = joined.spans, joined.data
        table._free = np.flatnonzero(joined.spans[:, 1] == 0)
        hash_all(joined.data, joined.spans, table._seed, table._hashes)
        table._places = table._placed(len(table._places))
        return table

    def __len__(self) -> int:
        return self.top - len(self._free)

    def __iter__(self) -> Iterator[str]:
        return iter(self.of(np.flatnonzero(self.taken())))

    def taken(self) -> npt.NDArray[np.bool_]:
        """(top,), whether a slot has a name."""
        return self._spans[: self.top, 1] > 0

    def of(self, slots: I64) -> Names:
        """The names of some slots."""
        return Names(read_only(self._pool), self._spans[slots])

    def find(self, name: str) -> int | None:
        """The slot of a name, None where it has none."""
        data = read_only(name.encode("utf-8", "surrogatepass"))
        slot = int(self.known(Names(data, np.array([[0, len(data)]])))[0])
        return None if slot == FREE else slot

    def known(self, names: Names) -> I64:
        """(n,) slots, FREE where a name has none."""
        slots = np.empty(len(names), np.int64)
        slots_of_known(
            names.data, names.spans, self._seed, self._places, self._hashes, self._spans,
            self._pool, slots,
        )  # fmt: skip
        return slots

    def different(self, names: Names) -> int:
        """How many different names there are among these."""
        hashes = np.zeros(len(names), np.uint64)
        hash_all(names.data, names.spans, self._seed, hashes)
        return len(np.unique(hashes))

    def slots_of(self, names: Names) -> tuple[I64, I64]:
        """(n,) slots, and those among them that were given away now, to names not met before."""
        self._make_room(len(names), int(names.spans[:, 1].sum()))
        slots, born = np.empty(len(names), np.int64), np.empty(len(names), np.int64)
        self.top, self._used, free, count = take_slots(
            names.data, names.spans, self._seed, self.top, self._used, self._free, self._places,
            self._hashes, self._spans, self._pool, slots, born,
        )  # fmt: skip
        self._free = self._free[:free]
        return slots, born[:count]

    def remove(self, slots: I64) -> None:
        """Forget the names of these slots, which are free then."""
        self._spans[slots, 1] = 0
        self._free = np.concatenate([self._free, slots])
        kept = self._spans[: self.top, 1].sum()
        if 2 * kept < self._used:
            joined = self.of(np.arange(self.top)).joined()
            self._spans[: self.top], self._pool[:kept] = joined.spans, joined.data
            self._used = int(kept)
        self._places = self._placed(len(self._places))

    def _make_room(self, names: int, size: int) -> None:
        """Room for so many more names, of so many bytes altogether, should all be new."""
        capacity, reserved = len(self._hashes), len(self._pool)
        while capacity < self.top + names:
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
        place_all(self._hashes, self._spans, self.top, places)
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
def slots_of_known(
    data: Bytes, names: I64, seed: np.uint64, places: I64, hashes: U64, spans: I64, pool: Bytes,
    slots: I64,
) -> None:  # fmt: skip
    """The slots of names (n, 2), FREE where one has none."""
    for i in range(len(names)):
        start, length = names[i, 0], names[i, 1]
        hashed = hash_of(data, start, length, seed)
        place = find(data, start, length, hashed, places, hashes, spans, pool)
        slots[i] = FREE if place < 0 else places[place]


@compiled
def take_slots(
    data: Bytes, names: I64, seed: np.uint64, top: int, used: int, free: I64, places: I64,
    hashes: U64, spans: I64, pool: Bytes, slots: I64, born: I64,
) -> tuple[int, int, int, int]:  # fmt: skip
    """The slots of names (n, 2); returns how many slots, bytes, free slots and new names there are
    now."""
    frees, count = len(free), 0
    for i in range(len(names)):
        start, length = names[i, 0], names[i, 1]
        hashed = hash_of(data, start, length, seed)
        place = find(data, start, length, hashed, places, hashes, spans, pool)
        if place < 0:
            place = -1 - place
            if frees > 0:
                frees -= 1
                slot = free[frees]
            else:
                slot = top
                top += 1
            places[place] = slot
            hashes[slot] = hashed
            spans[slot, 0], spans[slot, 1] = used, length
            for k in range(length):
                pool[used + k] = data[start + k]
            used += length
            born[count] = slot
            count += 1
        slots[i] = places[place]
    return top, used, frees, count


@compiled
def hash_all(data: Bytes, names: I64, seed: np.uint64, hashes: U64) -> None:
    """The hashes of names (n, 2)."""
    for i in range(len(names)):
        hashes[i] = hash_of(data, names[i, 0], names[i, 1], seed)


@compiled
def place_all(hashes: U64, spans: I64, top: int, places: I64) -> None:
    """Put the names of the slots below `top` into an empty table."""
    mask = len(places) - 1
    for slot in range(top):
        if spans[slot, 1] > 0:
            place = np.int64(hashes[slot] & np.uint64(mask))
            while places[place] != FREE:
                place = (place + 1) & mask
            places[place] = slot
