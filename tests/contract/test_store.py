"""What every state store promises."""

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from errno import ENOSPC
from pathlib import Path
from pkgutil import resolve_name
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import StateError, Unavailable
from service.memory import rowfile
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
SYNC = f"{rowfile.__name__}.SYNC"


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> StateStore:
    if request.param == "memory":
        return InMemoryStore()
    made = SqliteStore(tmp_path / "wakeful.db")
    request.addfinalizer(made.close)
    return made


def pack(
    number: int, rows: dict[str, bytes], first_slot: int = 0, moved: Sequence[str] = ()
) -> Pack:
    """Rows of three bytes in slots side by side; a stream without a name has none. Those that
    moved are as an older pack has them."""
    table = np.frombuffer(b"".join(rows[name] for name in rows if name), np.uint8)
    slots = np.arange(first_slot, first_slot + len(rows))
    changed = np.array([name not in moved for name in rows if name], np.bool_)
    return Pack(number, slots, Names.of(list(rows)), slots + 100, table.reshape(-1, 3), changed)


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


def left(rows: dict[str, bytes], returned: Sequence[str] = (), shape: Shape = SHAPE) -> Changed:
    """Memories of one size that leave."""
    table = np.frombuffer(b"".join(rows.values()), np.uint8).reshape(len(rows), -1)
    return Changed(shape, 1, left=list(rows), left_rows=table, returned=returned)


def idle_checkpoint(rows: dict[str, bytes], returned: Sequence[str] = ()) -> Checkpoint:
    return Checkpoint({}, {"default": left(rows, returned)})


def test_an_empty_store_says_that_it_has_nothing(store: StateStore) -> None:
    assert store.positions() == {}
    assert store.shape("default") is None
    assert list(store.packs("default")) == []
    assert store.idle_count("default") == 0
    assert store.idle("default", ["s"]) == []
    assert memories(store, "default") == {}


def test_memories_come_back_with_the_position_and_the_shape_that_they_were_saved_with(
    store: StateStore,
) -> None:
    store.save(checkpoint(7, pack(1, {"s": b"one", "": b"", "é": b"two"}, first_slot=5)))
    assert store.positions() == {("events", 0): 7}
    assert store.shape("default") == SHAPE
    ((_, read),) = store.packs("default")
    assert read.number == 1
    assert read.slots.tolist() == [5, 6, 7]
    assert list(read.streams) == ["s", "", "é"]
    assert read.used.tolist() == [105, 106, 107]
    assert read.rows.tobytes() == b"onetwo"
    assert memories(store, "default") == {"s": b"one", "é": b"two"}


def test_a_later_pack_replaces_what_it_holds_and_keeps_the_rest(store: StateStore) -> None:
    store.save(checkpoint(7, pack(1, {"s": b"one", "t": b"two"})))
    store.save(checkpoint(9, pack(2, {"t": b"new", "u": b"tri"}, first_slot=1)))
    assert [each.number for _, each in store.packs("default")] == [1, 2]
    assert memories(store, "default") == {"s": b"one", "t": b"new", "u": b"tri"}
    assert store.positions() == {("events", 0): 9}


def test_packs_that_are_dropped_are_gone(store: StateStore) -> None:
    store.save(checkpoint(7, pack(1, {"s": b"one"}), pack(2, {"t": b"two"}, first_slot=1)))
    store.save(checkpoint(8, pack(3, {"s": b"new"}), dropped=[1]))
    assert [each.number for _, each in store.packs("default")] == [2, 3]
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
    assert store.idle("default", ["u", "t"]) == [Idle("t", ("a", "b"), b"two")]
    store.save(idle_checkpoint({"t": b"new"}, returned=["s", "t"]))
    assert store.idle_count("default") == 1
    assert store.idle("default", ["s"]) == []
    assert store.idle("default", ["s", "t"]) == [Idle("t", ("a", "b"), b"new")]


def test_idle_memories_are_listed_by_name(store: StateStore) -> None:
    """By prefix, which is a text and no pattern, and page by page."""
    store.save(idle_checkpoint(dict.fromkeys(("b%", "a", "b", "bb", "é"), b"row")))
    names = [one.stream for one in store.idle_after("default", "", "", 10)]
    assert names == ["a", "b", "b%", "bb", "é"]
    assert [one.stream for one in store.idle_after("default", "a", "b", 2)] == ["b", "b%"]
    assert [one.stream for one in store.idle_after("default", "", "b%", 10)] == ["b%"]


def test_detectors_do_not_see_each_others_memories(store: StateStore) -> None:
    one = replace(left({"i": b"ii1"}), packs=[pack(1, {"s": b"111"})])
    two = replace(left({"i": b"ii2"}), packs=[pack(1, {"s": b"222"})])
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


def stored(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "wakeful.db")


@pytest.mark.parametrize("size", [0, 5, 8])
def test_a_file_that_was_cut_is_not_misread(tmp_path: Path, size: int) -> None:
    """The pack is named, and the file, and what to do is said."""
    with closing(stored(tmp_path)) as made:
        made.save(checkpoint(7, pack(4, {"s": b"one", "t": b"two", "u": b"tri"})))
        os.truncate(tmp_path / "default.3.rows", size)
        with pytest.raises(StateError, match=r"pack 4 .* is damaged in .*default\.3\.rows"):
            list(made.packs("default"))


def test_a_changed_byte_is_not_misread(tmp_path: Path) -> None:
    """Of a stream that is in the arena, nor of one that is idle."""
    with closing(stored(tmp_path)) as made:
        made.save(checkpoint(7, pack(4, {"s": b"one"})))
        made.save(idle_checkpoint({"t": b"two"}))
        (tmp_path / "default.3.rows").write_bytes(b"onEtwO")
        with pytest.raises(StateError, match="pack 4 of its memories is damaged"):
            list(made.packs("default"))
        with pytest.raises(StateError, match="memory of 't' is damaged"):
            made.idle("default", ["t"])


def test_a_row_that_only_moved_is_not_written_again(tmp_path: Path) -> None:
    """The database says where it lies."""
    with closing(stored(tmp_path)) as made:
        made.save(checkpoint(7, pack(1, {"s": b"one", "t": b"two"})))
        made.save(checkpoint(8, pack(2, {"s": b"???", "t": b"new"}, moved=["s"]), dropped=[1]))
        assert memories(made, "default") == {"s": b"one", "t": b"new"}
        assert (tmp_path / "default.3.rows").read_bytes() == b"onetwonew"
    with closing(stored(tmp_path)) as again:
        assert memories(again, "default") == {"s": b"one", "t": b"new"}


class Failing:
    """A call that fails at its nth time."""

    def __init__(self, call: Callable[..., Any], nth: int) -> None:
        self._call, self._left = call, nth

    def __call__(self, *arguments: Any) -> Any:
        self._left -= 1
        if self._left == 0:
            raise OSError(ENOSPC, "No space left on device")
        return self._call(*arguments)


@pytest.mark.parametrize(("name", "nth"), [("os.pwrite", 1), ("os.pwrite", 2), (SYNC, 1)])
def test_a_full_disk_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, nth: int
) -> None:
    """What was there is there, and the next checkpoint goes as if nothing had been."""
    with closing(stored(tmp_path)) as made:
        made.save(checkpoint(7, pack(1, {"s": b"one", "t": b"two"})))
        next_one = checkpoint(
            8, pack(2, {"s": b"new"}), pack(3, {"u": b"tri"}, first_slot=2), dropped=[1]
        )
        with monkeypatch.context() as patched:
            patched.setattr(name, Failing(resolve_name(name), nth))
            with pytest.raises(Unavailable, match="No space left"):
                made.save(next_one)
        with closing(stored(tmp_path)) as crashed:
            assert memories(crashed, "default") == {"s": b"one", "t": b"two"}
            assert crashed.positions() == {("events", 0): 7}
        made.save(next_one)
        assert memories(made, "default") == {"s": b"new", "u": b"tri"}


def test_what_a_checkpoint_refers_to_is_not_written_over_before_the_next_one_counts(
    tmp_path: Path,
) -> None:
    """A crash after rows were written, and before the database says so, leaves the last ones."""
    with closing(stored(tmp_path)) as made:
        made.save(checkpoint(7, pack(1, {"s": b"one", "t": b"two"})))
        made.save(checkpoint(8, pack(2, {"s": b"ONE"})))
        next_one = checkpoint(9, pack(3, {"s": b"xxx", "t": b"yyy"}), dropped=[1, 2])
        blocker = sqlite3.connect(tmp_path / "wakeful.db", timeout=0.0, isolation_level=None)
        made._connection.execute("PRAGMA busy_timeout = 1")
        blocker.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked"):
            made.save(next_one)
        blocker.close()
        with closing(stored(tmp_path)) as crashed:
            assert memories(crashed, "default") == {"s": b"ONE", "t": b"two"}
            assert crashed.positions() == {("events", 0): 8}
        made.save(next_one)
        assert memories(made, "default") == {"s": b"xxx", "t": b"yyy"}


class Commits:
    """A connection whose next commit counts, though it says that it does not."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._failing = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, statement: str, *parameters: Any) -> Any:
        done = self._connection.execute(statement, *parameters)
        if statement == "COMMIT" and self._failing:
            self._failing = False
            raise sqlite3.OperationalError("disk I/O error")
        return done


def test_what_a_failed_commit_refers_to_is_kept_until_another_one_counts(tmp_path: Path) -> None:
    """It may be there after a crash."""
    with closing(stored(tmp_path)) as made:
        made.save(checkpoint(7, pack(1, {"s": b"one", "t": b"two"})))
        made._connection = Commits(made._connection)  # type: ignore[assignment]
        with pytest.raises(Unavailable, match="disk I/O error"):
            made.save(checkpoint(8, pack(2, {"s": b"new"})))
        shelves = made._of("default")
        rows = np.frombuffer(b"xxxyyy", np.uint8).reshape(2, 3)
        shelves.file(3).write(shelves.file(3).take(2), rows)  # and then a crash
    with closing(stored(tmp_path)) as crashed:
        assert memories(crashed, "default") == {"s": b"new", "t": b"two"}
        assert crashed.positions() == {("events", 0): 8}


def test_the_file_of_rows_does_not_grow_where_streams_do_not(tmp_path: Path) -> None:
    """Places that nothing refers to are used again: twice the rows at most."""
    with closing(stored(tmp_path)) as made:
        for number in range(1, 20):
            rows = {f"s{n}": b"%03d" % (number + n) for n in range(50)}
            made.save(checkpoint(number, pack(number, rows), dropped=[number - 1]))
        assert (tmp_path / "default.3.rows").stat().st_size == 2 * 50 * 3
        assert memories(made, "default") == rows


def test_rows_of_another_size_leave_no_file_behind(tmp_path: Path) -> None:
    """Once no idle memory is of the old size either."""
    wider = Shape("00ff", ("a", "b", "c"))
    with closing(stored(tmp_path)) as made:
        made.save(checkpoint(7, pack(1, {"s": b"one"})))
        made.save(idle_checkpoint({"i": b"two"}))
        wide = Pack(
            1, np.arange(1), Names.of(["s"]), np.arange(1), np.full((1, 8), 7, np.uint8),
            np.ones(1, np.bool_),
        )  # fmt: skip
        made.save(checkpoint(8, wide, shape=wider, replace_all=True))
        assert memories(made, "default") == {"s": b"\x07" * 8, "i": b"two"}
        made.save(Checkpoint({}, {"default": left({"j": b"12345678"}, ["i"], wider)}))
        assert [path.name for path in tmp_path.glob("*.rows")] == ["default.8.rows"]
    (tmp_path / "default.3.rows").write_bytes(b"left behind by a crash")
    with closing(stored(tmp_path)) as again:
        assert memories(again, "default") == {"s": b"\x07" * 8, "j": b"12345678"}
        assert [path.name for path in tmp_path.glob("*.rows")] == ["default.8.rows"]


places = st.lists(st.integers(0, 40), unique=True).map(sorted)


@given(places, st.lists(st.integers(0, 30), max_size=5))
def test_rows_are_written_where_nothing_is_and_read_again(
    used: list[int], counts: list[int]
) -> None:
    """At the lowest places that are free, and again once they are."""
    with TemporaryDirectory() as folder:
        file = RowFile(Path(folder) / "d.8.rows", 8, np.array(used, np.int64))
        with closing(file):
            for turn, count in enumerate(counts):
                rows = np.full((count, 8), turn, np.uint8)
                taken = file.take(count)
                file.write(taken, rows)
                free = [place for place in range(100) if place not in used]
                assert taken.tolist() == free[:count]
                assert np.array_equal(file.read(taken), rows)
                file.free(taken)
            assert file.empty == (not used)
