"""How memories lie in a store: many to a record, in packs.

A checkpoint puts what changed since the last one into new packs. What an older pack says of these
slots is out of date then; once that is half of it, the rest moves into the new packs as well, and
it is dropped. So there are at most twice as many entries as slots. Rows that only moved need not be
written again where a store keeps them apart.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from service.records import Names

PACK_BYTES = 1 << 18  # of rows
NOWHERE = 0  # the number of no pack

Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Pack:
    """Memories that are stored together.

    slots: (n,). streams: n names, empty where a slot is free. used: (n,), the number of the last
    batch that had an event for each. rows: (m, row_bytes) of the m that have names, in order;
    changed: (m,), those that are not as an older pack has them.
    """

    number: int
    slots: I64
    streams: Names
    used: I64
    rows: Bytes
    changed: Bools


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What a checkpoint writes: `slots` in new packs, instead of the packs `dropped`.

    `changed`: those of them that did not just move. `leaving`: those that are free then.
    `outdated`: by pack, how many of its slots are out of date then.
    """

    slots: I64
    changed: I64
    leaving: I64
    dropped: list[int]
    outdated: dict[int, int]


@dataclass(slots=True)
class Packing:
    """Which pack of the store each of an arena's slots is in.

    `home` is (capacity,); `held` are the slots that a pack was written with, and `live` how many of
    them are in no later one.
    """

    home: I64
    rows: int
    held: dict[int, I64] = field(default_factory=dict)
    live: dict[int, int] = field(default_factory=dict)
    last: int = NOWHERE

    @classmethod
    def of(cls, capacity: int, row_bytes: int) -> "Packing":
        return cls(np.zeros(capacity, np.int64), max(1, PACK_BYTES // row_bytes))

    def plan(self, changed: I64, leaving: I64) -> Plan:
        """How to write the slots that changed, of which these are `leaving`."""
        numbers, counts = np.unique(self.home[changed], return_counts=True)
        outdated = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
        outdated.pop(NOWHERE, None)
        dropped = [
            number
            for number, count in outdated.items()
            if 2 * (self.live[number] - count) <= len(self.held[number])
        ]
        moved = [self._of(number) for number in dropped]
        slots = np.unique(np.concatenate([changed, *moved]))
        return Plan(slots, changed, leaving, dropped, outdated)

    def parts(self, plan: Plan) -> Iterator[tuple[int, I64]]:
        """The new packs: their numbers and slots."""
        for k, start in enumerate(range(0, len(plan.slots), self.rows)):
            yield self.last + 1 + k, plan.slots[start : start + self.rows]

    def saved(self, plan: Plan) -> None:
        """It is in the store."""
        for number, count in plan.outdated.items():
            self.live[number] -= count
        for number in plan.dropped:
            del self.held[number], self.live[number]
        for number, slots in list(self.parts(plan)):
            self._hold(number, slots)
            self.live[number] = len(slots)

    def restore(self, number: int, slots: I64) -> None:
        """It was in the store, of no slots where it was dropped. Packs come in the order in which
        they were written; `count` follows."""
        if number in self.held:
            self.home[self._of(number)] = NOWHERE
        self._hold(number, slots)

    def count(self) -> None:
        """After the last pack."""
        self.held = {number: slots for number, slots in self.held.items() if len(slots)}
        self.live = {number: len(self._of(number)) for number in self.held}

    def _of(self, number: int) -> I64:
        held = self.held[number]
        return held[self.home[held] == number]

    def _hold(self, number: int, slots: I64) -> None:
        self.held[number] = slots
        self.home[slots] = number
        self.last = max(self.last, number)
