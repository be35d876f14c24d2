"""What every state store promises."""

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import StateError, Unavailable
from service.memory.packs import Pack
from service.memory.rowfile import RowFile
from service.memory.sqlite import SqliteStore
from service.memory.store import (
    Changed,
    Checkpoint,
    Idle,
    InMemoryStore,
    Shape,
    StateStore,
    memories,
)
from service.records import Names

SHAPE = Shape("00ff", ("a", "b"))


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> StateStore:
    if request.param == "memory":
        return InMemoryStore()
    made = SqliteStore(tmp_path / "wakeful.db")
    request.addfinalizer(made.close)
    return made


def pack(number: int, rows: dict[str, bytes], first_slot: int = 0) -> Pack:
    """Rows of three bytes in slots side by side; a stream without a name has none."""
    table = np.frombuffer(b"".join(rows[name] for name in rows if name), np.uint8)
    slots = np.arange(first_slot, first_slot + len(rows))
    return Pack(number, slots, Names.of(list(rows)), table.reshape(-1, 3))


def checkpoint(
    offset: int,
    *packs: Pack,
    dropped: Sequence[int] = (),
    shape: Shape = SHAPE,
    replace_all: bool = False,
) -> Checkpoint:
    count = sum(len(each.slots) for each in packs)
    changed = Changed(shape, count, packs, dropped, replace_all=replace_all)
    return Checkpoint({("events", 0): offset}, {"default": changed})


def idle_checkpoint(left: dict[str, bytes], returned: Sequence[str] = ()) -> Checkpoint:
    return Checkpoint({}, {"default": Changed(SHAPE, 1, left=left, returned=returned)})


def test_an_empty_store_says_that_it_has_nothing(store: StateStore) -> None:
    assert store.positions() == {}
    assert store.shape("default") is None
    assert list(store.packs("default")) == []
    assert store.idle_count("default") == 0
    assert store.idle("default", "s") is None
    assert memories(store, "default") == {}


def test_memories_come_back_with_the_position_and_the_shape_that_they_were_saved_with(
    store: StateStore,
) -> None:
    store.save(checkpoint(7, pack(1, {"s": b"one", "": b"", "é": b"two"}, first_slot=5)))
    assert store.positions() == {("events", 0): 7}
    assert store.shape("default") == SHAPE
    (read,) = store.packs("default")
    assert read.number == 1
    assert read.slots.tolist() == [5, 6, 7]
    assert list(read.streams) == ["s", "", "é"]
    assert read.rows.tobytes() == b"onetwo"
    assert memories(store, "default") == {"s": b"one", "é": b"two"}


def test_a_later_pack_replaces_what_it_holds_and_keeps_the_rest(store: StateStore) -> None:
    store.save(checkpoint(7, pack(1, {"s": b"one", "t": b"two"})))
    store.save(checkpoint(9, pack(2, {"t": b"new", "u": b"tri"}, first_slot=1)))
    assert [each.number for each in store.packs("default")] == [1, 2]
    assert memories(store, "default") == {"s": b"one", "t": b"new", "u": b"tri"}
    assert store.positions() == {("events", 0): 9}


def test_packs_that_are_dropped_are_gone(store: StateStore) -> None:
    store.save(checkpoint(7, pack(1, {"s": b"one"}), pack(2, {"t": b"two"}, first_slot=1)))
    store.save(checkpoint(8, pack(3, {"s": b"new"}), dropped=[1]))
    assert [each.number for each in store.packs("default")] == [2, 3]
    assert memories(store, "default") == {"s": b"new", "t": b"two"}


def test_positions_of_other_partitions_stay(store: StateStore) -> None:
    store.save(Checkpoint({("events", 0): 7, ("events", 1): 1}, {}))
    store.save(Checkpoint({("events", 1): 5}, {}))
    assert store.positions() == {("events", 0): 7, ("events", 1): 5}


def test_packs_of_another_shape_replace_all_that_were_there(store: StateStore) -> None:
    store.save(checkpoint(7, pack(1, {"s": b"one"}), pack(2, {"t": b"two"}, first_slot=1)))
    wider = Shape("00ff", ("a", "b", "c"))
    store.save(checkpoint(8, pack(1, {"s": b"wid"}), shape=wider, replace_all=True))
    assert store.shape("default") == wider
    assert memories(store, "default") == {"s": b"wid"}


def test_idle_memories_wait_under_their_streams_name(store: StateStore) -> None:
    store.save(idle_checkpoint({"s": b"one", "t": b"two"}))
    assert store.idle_count("default") == 2
    assert store.idle("default", "t") == Idle("t", ("a", "b"), b"two")
    assert store.idle("default", "u") is None
    store.save(idle_checkpoint({"t": b"new"}, returned=["s", "t"]))
    assert store.idle_count("default") == 1
    assert store.idle("default", "s") is None
    assert store.idle("default", "t") == Idle("t", ("a", "b"), b"new")


def test_idle_memories_are_listed_by_name(store: StateStore) -> None:
    """By prefix, which is a text and no pattern, and page by page."""
    store.save(idle_checkpoint(dict.fromkeys(("b%", "a", "b", "bb", "é"), b"row")))
    names = [one.stream for one in store.idle_after("default", "", "", 10)]
    assert names == ["a", "b", "b%", "bb", "é"]
    assert [one.stream for one in store.idle_after("default", "a", "b", 2)] == ["b", "b%"]
    assert [one.stream for one in store.idle_after("default", "", "b%", 10)] == ["b%"]


def test_detectors_do_not_see_each_others_memories(store: StateStore) -> None:
    one = Changed(SHAPE, 1, [pack(1, {"s": b"111"})], left={"i": b"ii1"})
    two = Changed(SHAPE, 1, [pack(1, {"s": b"222"})], left={"i": b"ii2"})
    store.save(Checkpoint({}, {"one": one, "two": two}))
    assert memories(store, "one") == {"s": b"111", "i": b"ii1"}
    assert memories(store, "two") == {"s": b"222", "i": b"ii2"}


def test_sqlite_memories_outlive_the_process_that_wrote_them(tmp_path: Path) -> None:
    file = tmp_path / "wakeful.db"
    first = SqliteStore(file)
    first.save(checkpoint(7, pack(1, {"s": b"one"})))
    first.close()
    second = SqliteStore(file)
    assert memories(second, "default") == {"s": b"one"}
    assert second.positions() == {("events", 0): 7}
    second.close()


@pytest.mark.parametrize("size", [0, 5, 8])
def test_a_file_that_was_cut_is_not_misread(tmp_path: Path, size: int) -> None:
    """The pack is named, and the file, and what to do is said."""
    made = SqliteStore(tmp_path / "wakeful.db")
    made.save(checkpoint(7, pack(4, {"s": b"one", "t": b"two", "u": b"tri"})))
    os.truncate(tmp_path / "default.3.rows", size)
    with pytest.raises(StateError, match=r"pack 4 .* is damaged in .*default\.3\.rows"):
        list(made.packs("default"))
    made.close()


def test_a_changed_byte_is_not_misread(tmp_path: Path) -> None:
    made = SqliteStore(tmp_path / "wakeful.db")
    made.save(checkpoint(7, pack(4, {"s": b"one", "t": b"two"})))
    (tmp_path / "default.3.rows").write_bytes(b"onetwO")
    with pytest.raises(StateError, match="pack 4 of its memories is damaged"):
        list(made.packs("default"))
    made.close()


def test_what_a_checkpoint_refers_to_is_not_written_over_before_the_next_one_counts(
    tmp_path: Path,
) -> None:
    """A crash after rows were written, and before the database says so, leaves the last ones."""
    file = tmp_path / "wakeful.db"
    made = SqliteStore(file)
    made.save(checkpoint(7, pack(1, {"s": b"one", "t": b"two"})))
    made.save(checkpoint(8, pack(2, {"s": b"ONE"}), dropped=[]))
    blocker = sqlite3.connect(file, timeout=0.0, isolation_level=None)
    made._connection.execute("PRAGMA busy_timeout = 1")
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="locked"):
        made.save(checkpoint(9, pack(3, {"s": b"xxx", "t": b"yyy"}), dropped=[1, 2]))
    blocker.close()
    crashed = SqliteStore(file)
    assert memories(crashed, "default") == {"s": b"ONE", "t": b"two"}
    assert crashed.positions() == {("events", 0): 8}
    crashed.close()
    made.save(checkpoint(9, pack(3, {"s": b"xxx", "t": b"yyy"}), dropped=[1, 2]))
    assert memories(made, "default") == {"s": b"xxx", "t": b"yyy"}
    made.close()


def test_the_file_of_rows_does_not_grow_where_streams_do_not(tmp_path: Path) -> None:
    """Places that nothing refers to are used again: twice the rows at most."""
    made = SqliteStore(tmp_path / "wakeful.db")
    for number in range(1, 20):
        rows = {f"s{n}": b"%03d" % (number + n) for n in range(50)}
        made.save(checkpoint(number, pack(number, rows), dropped=[number - 1]))
    assert (tmp_path / "default.3.rows").stat().st_size == 2 * 50 * 3
    assert memories(made, "default") == rows
    made.close()


def test_rows_of_another_size_leave_no_file_behind(tmp_path: Path) -> None:
    made = SqliteStore(tmp_path / "wakeful.db")
    made.save(checkpoint(7, pack(1, {"s": b"one"})))
    wide = Pack(1, np.arange(1), Names.of(["s"]), np.full((1, 8), 7, np.uint8))
    made.save(checkpoint(8, wide, replace_all=True))
    assert (tmp_path / "default.3.rows").stat().st_size == 0
    assert memories(made, "default") == {"s": b"\x07" * 8}
    made.close()


places = st.lists(st.integers(0, 40), unique=True).map(sorted)


@given(places, st.integers(0, 30))
def test_rows_are_written_where_nothing_is_and_read_again(used: list[int], count: int) -> None:
    with TemporaryDirectory() as folder:
        file = RowFile(Path(folder) / "d.8.rows", 8, np.array(used, np.int64))
        rows = np.arange(8 * count, dtype=np.uint8).reshape(count, 8)
        taken = file.write(rows)
        assert sorted(set(taken.tolist())) == taken.tolist()
        assert not set(taken.tolist()) & set(used)
        assert taken.max(initial=-1) < len(used) + count + max(used, default=0)
        assert np.array_equal(file.read(taken), rows)
        file.close()
