"""The memories in one buffer."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model.row import RowLayout
from service.memory.arena import FIRST_CAPACITY, Arena

LAYOUT = RowLayout(features=1, runs=1, memory=4)


def arena() -> Arena:
    fresh = np.arange(LAYOUT.row_bytes, dtype=np.uint8)[None] % 7
    return Arena(LAYOUT, fresh)


@given(st.lists(st.text(min_size=1, max_size=3), max_size=300))
def test_each_stream_keeps_one_slot_however_much_the_arena_grows(streams: list[str]) -> None:
    made = arena()
    slots = made.slots_of(streams)
    again = made.slots_of(streams)
    assert np.array_equal(slots, again)
    assert len(made) == len(set(streams)) == len(set(slots.tolist()))
    assert all(made.streams[slot] == stream for slot, stream in zip(slots, streams, strict=True))


def test_rows_survive_growth_and_new_ones_start_fresh() -> None:
    made = arena()
    (slot,) = made.slots_of(["first"])
    made.table.bytes[slot] = 99
    made.slots_of([f"s{n}" for n in range(5 * FIRST_CAPACITY)])
    assert np.all(made.table.bytes[slot] == 99)
    assert np.array_equal(made.table.bytes[-1 + len(made)], made.fresh[0])


def test_what_changed_is_known_until_it_is_saved() -> None:
    made = arena()
    slots = made.slots_of(["a", "b", "c"])
    made.mark(slots[:2])
    assert made.changed().tolist() == slots[:2].tolist()
    made.saved(slots[:1])
    assert made.changed().tolist() == slots[1:2].tolist()
    made.restore("b", bytes(LAYOUT.row_bytes))
    assert made.row("nobody") is None
    row = made.row("b")
    assert row is not None
    assert not row.bytes.any()
