from itertools import pairwise
from typing import cast

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.row import (
    ALIGNMENT,
    BLOCKS,
    FEATURE,
    HEAD,
    TAIL,
    VIEWS,
    Bytes,
    RowLayout,
    RowTable,
)

layouts = st.builds(
    lambda features, joint, memory: RowLayout(features, 1 if joint else features, memory),
    st.integers(1, 64),
    st.booleans(),
    st.integers(1, 128),
)
SMALL = RowLayout(features=2, runs=2, memory=6)


@given(layouts)
def test_the_parts_of_a_row_lie_side_by_side(layout: RowLayout) -> None:
    """No two parts overlap, each is aligned for its type, and the row holds them all."""
    parts = [
        (0, HEAD.itemsize),
        (layout.features_at, layout.features * FEATURE.itemsize),
        (layout.tails_at, len(VIEWS) * TAIL.itemsize),
        (layout.maxima_at, len(VIEWS) * BLOCKS),
        (layout.states_at, layout.runs * layout.memory * 4),
        (layout.row_bytes, 0),
    ]
    for (start, size), (following, _) in pairwise(parts):
        assert start + size <= following
    assert layout.features_at % HEAD.alignment == 0
    assert layout.features_at % FEATURE.alignment == 0
    assert layout.tails_at % 4 == 0
    assert layout.states_at % 4 == 0


@given(layouts)
def test_rows_are_whole_cache_lines(layout: RowLayout) -> None:
    """A row's size is a multiple of 64 bytes, with less than one line to spare."""
    assert layout.row_bytes % ALIGNMENT == 0
    assert layout.row_bytes - (layout.states_at + layout.runs * layout.memory * 4) < ALIGNMENT


def test_a_memory_is_small() -> None:
    """A stream of one feature takes at most 2 KiB with the base artifact's states."""
    assert RowLayout(features=1, runs=1, memory=96).row_bytes <= 2048


@given(layouts, st.integers(1, 4))
def test_writing_one_part_of_one_row_touches_no_other_byte(layout: RowLayout, rows: int) -> None:
    """Ones written through a view change bytes of that part of that row, to both its ends."""
    parts = {
        "head": (0, layout.features_at),
        "features": (layout.features_at, layout.tails_at),
        "tails": (layout.tails_at, layout.maxima_at),
        "maxima": (layout.maxima_at, layout.states_at),
        "states": (layout.states_at, layout.states_at + layout.runs * layout.memory * 4),
    }
    for part, (start, end) in parts.items():
        table = RowTable.zeros(layout, rows)
        view = getattr(table, part)[-1:]
        view[...] = np.full(view.nbytes, 255, np.uint8).view(view.dtype).reshape(view.shape)
        written = np.flatnonzero(table.bytes) - (rows - 1) * layout.row_bytes
        assert (written.min(), written.max()) == (start, end - 1)


def test_views_are_the_same_bytes() -> None:
    """What is written through a view is read from the bytes, and the other way round."""
    table = RowTable.zeros(SMALL, 3)
    table.head["time"][1] = 1.5
    table.features[1, 1]["level"] = 2.5
    table.tails[1, 4]["top"] = 3.5
    table.maxima[1, 4, BLOCKS - 1] = 77
    table.states[1, 1, 5] = 4.5
    copied = RowTable(SMALL, table.bytes.copy())
    assert copied.head["time"].tolist() == [0.0, 1.5, 0.0]
    assert copied.features[1, 1]["level"] == 2.5
    assert copied.tails[1, 4]["top"] == 3.5
    assert copied.maxima[1, 4, BLOCKS - 1] == 77
    assert copied.states[1, 1, 5] == 4.5
    table.bytes[1] = 0
    assert table.head["time"][1] == 0.0
    assert not table.states.any()


def test_a_row_moves_as_its_bytes() -> None:
    """A row's bytes put at another slot of another table are the same memory."""
    table = RowTable.zeros(SMALL, 2)
    table.bytes[1] = np.random.default_rng(0).integers(0, 256, SMALL.row_bytes)
    other = RowTable.zeros(SMALL, 5)
    other.bytes[3] = np.frombuffer(table.bytes[1].tobytes(), np.uint8)
    for part in ("head", "features", "tails", "maxima", "states"):
        assert getattr(other, part)[3].tobytes() == getattr(table, part)[1].tobytes()


@pytest.mark.parametrize(
    "buffer",
    [
        np.zeros((2, SMALL.row_bytes - 64), np.uint8),
        np.zeros((2, SMALL.row_bytes), np.int8),
        np.zeros(SMALL.row_bytes, np.uint8),
    ],
    ids=["too-short", "not-bytes", "not-rows"],
)
def test_a_buffer_of_another_shape_is_refused(buffer: npt.NDArray[np.generic]) -> None:
    """A buffer that is not rows of this layout is refused with the shape that is needed."""
    with pytest.raises(ValueError, match=rf"needs shape \(rows, {SMALL.row_bytes}\) of uint8"):
        RowTable(SMALL, cast(Bytes, buffer))


def test_a_table_has_as_many_rows_as_its_buffer() -> None:
    """`len` of a table, and the first length of each view, is the number of rows."""
    table = RowTable.zeros(SMALL, 3)
    assert len(table) == 3
    assert table.head.shape == (3,)
    assert table.features.shape == (3, 2)
    assert table.tails.shape == (3, len(VIEWS))
    assert table.maxima.shape == (3, len(VIEWS), BLOCKS)
    assert table.states.shape == (3, 2, 6)
