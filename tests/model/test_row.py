from typing import cast

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.config import ModelConfig
from model.fresh import layout_of
from model.row import ALIGNMENT, FEATURE, PROFILE_BINS, TAIL, Bytes, RowLayout, RowTable

layouts = st.builds(
    lambda features, resolutions, joint, memory, pending, views, blocks, profiled: RowLayout(
        features, resolutions, 1 if joint else features, memory, pending, views, blocks, profiled
    ),
    st.integers(1, 20),
    st.integers(1, 3),
    st.booleans(),
    st.integers(0, 100),
    st.integers(1, 25),
    st.integers(1, 12),
    st.integers(10, 200),
    st.booleans(),
)
SMALL = RowLayout(
    features=2, resolutions=2, runs=2, memory=6, pending=3, views=4, blocks=80, profiled=True
)  # fmt: skip
PARTS = tuple(name for name, _, _ in SMALL.parts())


def places(layout: RowLayout) -> dict[str, tuple[int, int]]:
    """The first byte of each part, and the one behind its last."""
    found, at = {}, 0
    for name, kind, shape in layout.parts():
        size = kind.itemsize * int(np.prod(shape))
        found[name] = at, at + size
        at += size
    return found


@given(layouts)
def test_the_parts_of_a_row_are_aligned_and_fit(layout: RowLayout) -> None:
    """Each part begins where its type may begin, and the row holds them all."""
    ends = places(layout)
    for name, kind, _ in layout.parts():
        assert ends[name][0] % kind.alignment == 0
    assert max(end for _, end in ends.values()) <= layout.row_bytes


@given(layouts)
def test_rows_are_whole_cache_lines(layout: RowLayout) -> None:
    """A row's size is a multiple of 64 bytes, with less than one line to spare."""
    assert layout.row_bytes % ALIGNMENT == 0
    assert layout.row_bytes - max(end for _, end in places(layout).values()) < ALIGNMENT


def test_a_memory_is_small() -> None:
    """A stream of one feature takes at most 3 KiB with the base artifact's shape."""
    assert layout_of(ModelConfig(), features=1).row_bytes <= 3072


@given(layouts, st.integers(1, 4))
def test_writing_one_part_of_one_row_touches_no_other_byte(layout: RowLayout, rows: int) -> None:
    """Ones written through a view change bytes of that part of that row, to both its ends.

    (The last ones may be there only to align what follows.)
    """
    for part, (start, end) in places(layout).items():
        table = RowTable.zeros(layout, rows)
        view = getattr(table, part)[-1:]
        view[...] = np.full(view.nbytes, 255, np.uint8).view(view.dtype).reshape(view.shape)
        written = np.flatnonzero(table.bytes) - (rows - 1) * layout.row_bytes
        if start == end:
            assert len(written) == 0
        else:
            assert written.min() == start
            assert end - view.dtype.alignment <= written.max() < end


def test_views_are_the_same_bytes() -> None:
    """What is written through a view is read from the bytes, and the other way round."""
    table = RowTable.zeros(SMALL, 3)
    table.head["time"][1] = 1.5
    table.features[1, 1, 1]["level"] = 2.5
    table.locations[1, 1, 1, 2] = 3.5
    table.spreads[1, 1, 1, 2] = 4.5
    table.tails[1, 3]["top"] = 5.5
    table.states[1, 1, 1, 5] = 6.5
    table.profiles[1, 1, PROFILE_BINS - 1] = -77
    table.maxima[1, 3, SMALL.blocks - 1] = 77
    copied = RowTable(SMALL, table.bytes.copy())
    assert copied.head["time"].tolist() == [0.0, 1.5, 0.0]
    assert copied.features[1, 1, 1]["level"] == 2.5
    assert copied.locations[1, 1, 1, 2] == 3.5
    assert copied.spreads[1, 1, 1, 2] == 4.5
    assert copied.tails[1, 3]["top"] == 5.5
    assert copied.states[1, 1, 1, 5] == 6.5
    assert copied.profiles[1, 1, PROFILE_BINS - 1] == -77
    assert copied.maxima[1, 3, SMALL.blocks - 1] == 77
    table.bytes[1] = 0
    assert table.head["time"][1] == 0.0
    assert not table.states.any()


def test_a_row_moves_as_its_bytes() -> None:
    """A row's bytes put at another slot of another table are the same memory."""
    table = RowTable.zeros(SMALL, 2)
    table.bytes[1] = np.random.default_rng(0).integers(0, 256, SMALL.row_bytes)
    other = RowTable.zeros(SMALL, 5)
    other.bytes[3] = np.frombuffer(table.bytes[1].tobytes(), np.uint8)
    for part in PARTS:
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


@given(layouts)
def test_a_table_has_as_many_rows_as_its_buffer(layout: RowLayout) -> None:
    """`len` of a table, and the first length of each view, is the number of rows."""
    table = RowTable.zeros(layout, 3)
    assert len(table) == 3
    for name, kind, shape in layout.parts():
        view = getattr(table, name)
        assert view.shape == (3, *shape)
        assert view.dtype == kind


def test_what_a_stream_has_not_is_not_kept() -> None:
    """No profiles without such views, no states for a network that remembers nothing."""
    table = RowTable.zeros(RowLayout(2, 1, 1, 0, 3, 4, 80, profiled=False), 5)
    assert table.profiles.shape == (5, 2, 0)
    assert table.states.shape == (5, 1, 1, 0)


@pytest.mark.parametrize("block", [FEATURE, TAIL])
def test_blocks_that_are_copied_whole_have_no_padding(block: np.dtype[np.void]) -> None:
    """Bytes that belong to no field are whatever was in memory: two copies would differ by them."""
    names = block.names or ()
    assert block.itemsize == sum(block[name].itemsize for name in names)
