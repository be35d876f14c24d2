"""Memories as files: what went in comes out, to the bit, and nothing damaged is taken."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import StateError
from service.memory import archive
from service.memory.archive import Contents, Memories, differences
from service.memory.sqlite import SqliteStore
from service.memory.store import Changed, Checkpoint, InMemoryStore, Shape
from tests.contract.test_store import pack

SHAPE = Shape("00ff", ("a", "b"))
NARROW = ("a",)
streams = st.dictionaries(
    st.text(min_size=1, max_size=5).filter(lambda name: name.isprintable()),
    st.tuples(st.booleans(), st.binary(min_size=4, max_size=4)),
    max_size=200,
)


def memories(rows: dict[str, tuple[bool, bytes]], name: str = "default") -> Memories:
    """Some of them idle, of fewer features."""
    kept = {
        stream: (NARROW, row[:2]) if narrow else (SHAPE.features, row)
        for stream, (narrow, row) in rows.items()
    }
    positions = [("events", 0, 7), ("events", 1, 9)]
    contents = Contents(name, "00ff", SHAPE.features, SHAPE.format, positions, len(kept))
    return Memories(contents, kept)


@given(streams, streams)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    rows: dict[str, tuple[bool, bytes]],
    others: dict[str, tuple[bool, bytes]],
) -> None:
    file = tmp_path_factory.mktemp("archive") / "memories"
    some = [memories(rows), memories(others, "other")]
    assert archive.write(file, some) == len(rows) + len(others)
    assert differences(archive.read(file), some) == []


@given(streams)
def test_what_is_saved_is_stored(rows: dict[str, tuple[bool, bytes]]) -> None:
    """And only where nothing was."""
    store, given_ = InMemoryStore(), memories(rows)
    archive.require_free(given_, store)
    archive.save(given_, store)
    found = archive.stored(store, "default", [("events", 0), ("events", 1)])
    assert found is not None
    assert differences([found], [given_]) == []
    with pytest.raises(StateError, match="there are memories of default already"):
        archive.require_free(given_, store)


def test_memories_of_another_position_are_not_put_beside_others() -> None:
    """Events between the two would be told twice."""
    store, given_ = InMemoryStore(), memories({"s": (False, b"1234")})
    (topic, number, position), *_ = given_.contents.positions
    store.save(Checkpoint({(topic, number): position + 5}, {}))
    with pytest.raises(StateError, match=f"current to offset {position}"):
        archive.require_free(given_, store)


@given(st.data())
def test_no_byte_of_a_file_can_change_or_go_unnoticed(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    file = tmp_path_factory.mktemp("archive") / "memories"
    archive.write(file, [memories({f"s{n}": (n % 3 == 0, b"%04d" % n) for n in range(100)})])
    whole = file.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        file.write_bytes(whole[:at])
    else:
        changed = bytearray(whole)
        changed[at] ^= data.draw(st.integers(1, 255))
        file.write_bytes(changed)
    with pytest.raises(StateError, match=r"cut|damaged|end|version"):
        list(archive.read(file))


def test_of_what_was_stored_the_last_counts(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "wakeful.db")) as store:
        rows = np.frombuffer(b"tri", np.uint8)[None]
        first, second = pack(1, {"s": b"one", "t": b"two"}), pack(2, {"t": b"new"}, first_slot=1)
        store.save(Checkpoint({("log", 0): 3}, {"default": Changed(SHAPE, 2, [first])}))
        later = Changed(SHAPE, 1, [second], left=["i"], left_rows=rows)
        store.save(Checkpoint({("log", 0): 5}, {"default": later}))
        found = archive.stored(store, "default", [("log", 0)])
    assert found is not None
    assert {stream: row for stream, (_, row) in found.rows.items()} == {
        "s": b"one", "t": b"new", "i": b"tri",
    }  # fmt: skip
    assert found.contents.positions == [("log", 0, 5)]


def test_each_difference_is_told() -> None:
    one = memories({"s": (False, b"0000"), "t": (False, b"1111")})
    two = memories({"s": (False, b"0001"), "u": (False, b"1111")})
    assert differences([one], [one]) == []
    assert differences([one], [two]) == [
        "default: s: differs",
        "default: t: only in one of them",
        "default: u: only in one of them",
    ]
    assert differences([one], []) == ["default: only in one of them"]


def test_a_file_is_not_written_over(tmp_path: Path) -> None:
    file = tmp_path / "memories"
    file.write_bytes(b"mine")
    with pytest.raises(StateError, match="choose another"):
        archive.write(file, [])
    assert file.read_bytes() == b"mine"
