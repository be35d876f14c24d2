"""The memories in one buffer."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.row import RowLayout, RowTable
from service.errors import StateError
from service.memory.arena import LEAST_CAPACITY, Arena, feature_of, relaid
from service.records import Names

LAYOUT = RowLayout(
    features=1, resolutions=2, runs=1, memory=4, pending=3, views=2, profiled=True
)  # fmt: skip


def arena() -> Arena:
    fresh = np.arange(LAYOUT.row_bytes, dtype=np.uint8)[None] % 7
    return Arena(LAYOUT, fresh)


@settings(deadline=None)  # the first run compiles
@given(st.lists(st.text(min_size=1, max_size=3), max_size=300))
def test_each_stream_keeps_one_slot_however_much_the_arena_grows(streams: list[str]) -> None:
    made = arena()
    slots = made.slots_of(Names.of(streams))
    again = made.slots_of(Names.of(streams))
    assert np.array_equal(slots, again)
    assert len(made) == len(set(streams)) == len(set(slots.tolist()))
    assert list(made.names.of(slots)) == streams
    assert list(made.names) == list(dict.fromkeys(streams))
    assert [made.names.find(stream) for stream in streams] == slots.tolist()


def test_rows_survive_growth_and_new_ones_start_fresh() -> None:
    made = arena()
    (slot,) = made.slots_of(Names.of(["first"]))
    made.table.bytes[slot] = 99
    made.slots_of(Names.of([f"s{n}" for n in range(5000)]))
    assert np.all(made.table.bytes[slot] == 99)
    assert np.array_equal(made.table.bytes[-1 + len(made)], made.fresh[0])


def test_no_row_is_moved_when_streams_come() -> None:
    """A hundred thousand streams later a memory is where it was: growing takes no time."""
    made = arena()
    before = made.table.bytes.ctypes.data
    made.slots_of(Names.of([f"s{n}" for n in range(100_000)]))
    assert made.table.bytes.ctypes.data == before


def test_more_streams_than_there_is_room_for_are_refused() -> None:
    """The message says how many there are, how many fit, and what to do."""
    made = Arena(LAYOUT, arena().fresh, capacity=LEAST_CAPACITY)
    made.slots_of(Names.of([f"s{n}" for n in range(LEAST_CAPACITY)]))
    with pytest.raises(StateError, match=r"1,025 streams .* 1,024 .* several processes"):
        made.slots_of(Names.of(["one more"]))


def test_what_changed_is_known_until_it_is_saved() -> None:
    made = arena()
    slots = made.slots_of(Names.of(["a", "b", "c"]))
    made.mark(slots[:2])
    assert made.changed().tolist() == slots[:2].tolist()
    made.saved(slots[:1])
    assert made.changed().tolist() == slots[1:2].tolist()
    made.restore(Names.of(["b"]), np.zeros((1, LAYOUT.row_bytes), np.uint8))
    assert made.row("nobody") is None
    row = made.row("b")
    assert row is not None
    assert not row.bytes.any()


NAMES = st.lists(st.sampled_from("abcde"), min_size=1, unique=True).map(tuple)


def laid_out(features: int, rows: int, seed: int) -> RowTable:
    """Rows of so many features, each run alone, full of bytes."""
    layout = replace(LAYOUT, features=features, runs=features)
    random = np.random.default_rng(seed)
    return RowTable(layout, random.integers(0, 256, (rows, layout.row_bytes), np.uint8))


@given(NAMES, NAMES, st.integers(1, 3))
def test_what_is_known_of_a_feature_moves_with_its_name(
    have: tuple[str, ...], want: tuple[str, ...], rows: int
) -> None:
    """With another list of features the known ones keep all they had, the new ones start fresh."""
    table, fresh = laid_out(len(have), rows, 1), laid_out(len(want), 1, 2)
    moved = relaid(table, have, fresh.layout, want, fresh.bytes)
    for name in table.head.dtype.names or ():
        assert moved.head[name].tobytes() == table.head[name].tobytes()
    assert moved.tails.tobytes() == table.tails.tobytes()
    assert moved.maxima.tobytes() == table.maxima.tobytes()
    for f, name in enumerate(want):
        source, was = (table, have.index(name)) if name in have else (fresh, f)
        for row in range(rows):
            at = row if name in have else 0
            assert moved.profiles[row, f].tobytes() == source.profiles[at, was].tobytes()
            for part in ("features", "locations", "spreads", "states"):
                kept = getattr(moved, part)[row, :, f]
                assert kept.tobytes() == getattr(source, part)[at, :, was].tobytes()


def test_a_feature_is_shown_as_events_come() -> None:
    """What is shown of a feature is its finest resolution's, by name."""
    table = RowTable.zeros(replace(LAYOUT, features=2, runs=2), 1)
    table.features[0, 0, 1]["level"] = 7.5
    table.features[0, 1, 1]["level"] = 8.5
    shown = feature_of(table, 1)
    assert shown["level"] == 7.5
    assert shown["expected"] is None
    table.spreads[0, 0, 1, 0], table.locations[0, 0, 1, 0] = 0.5, 3.0
    assert feature_of(table, 1)["expected"] == 3.0
