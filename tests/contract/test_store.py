"""What every state store promises."""

from pathlib import Path

import pytest

from service.memory.sqlite import SqliteStore
from service.memory.store import Changed, Checkpoint, InMemoryStore, Shape, StateStore

SHAPE = Shape("00ff", ("a", "b"))


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> StateStore:
    if request.param == "memory":
        return InMemoryStore()
    made = SqliteStore(tmp_path / "wakeful.db")
    request.addfinalizer(made.close)
    return made


def checkpoint(
    rows: dict[str, bytes], offset: int, shape: Shape = SHAPE, replace_all: bool = False
) -> Checkpoint:
    changed = Changed(shape, list(rows), list(rows.values()), replace_all)
    return Checkpoint({("events", 0): offset}, {"default": changed})


def test_an_empty_store_says_that_it_has_nothing(store: StateStore) -> None:
    assert store.positions() == {}
    assert store.shape("default") is None
    assert list(store.memories("default")) == []


def test_memories_come_back_with_the_position_and_the_shape_that_they_were_saved_with(
    store: StateStore,
) -> None:
    store.save(checkpoint({"s": b"one", "t": b"two"}, 7))
    assert store.positions() == {("events", 0): 7}
    assert store.shape("default") == SHAPE
    assert list(store.memories("default")) == [("s", b"one"), ("t", b"two")]


def test_a_later_checkpoint_replaces_what_changed_and_keeps_the_rest(store: StateStore) -> None:
    store.save(checkpoint({"s": b"one", "t": b"two"}, 7))
    store.save(checkpoint({"t": b"new", "u": b"three"}, 9))
    assert dict(store.memories("default")) == {"s": b"one", "t": b"new", "u": b"three"}
    assert store.positions() == {("events", 0): 9}


def test_positions_of_other_partitions_stay(store: StateStore) -> None:
    store.save(Checkpoint({("events", 0): 7, ("events", 1): 1}, {}))
    store.save(Checkpoint({("events", 1): 5}, {}))
    assert store.positions() == {("events", 0): 7, ("events", 1): 5}


def test_rows_of_another_shape_replace_all_that_were_there(store: StateStore) -> None:
    store.save(checkpoint({"s": b"one", "t": b"two"}, 7))
    wider = Shape("00ff", ("a", "b", "c"))
    store.save(checkpoint({"s": b"wide"}, 8, wider, replace_all=True))
    assert store.shape("default") == wider
    assert list(store.memories("default")) == [("s", b"wide")]


def test_detectors_do_not_see_each_others_memories(store: StateStore) -> None:
    one, two = Changed(SHAPE, ["s"], [b"1"]), Changed(SHAPE, ["s"], [b"2"])
    store.save(Checkpoint({}, {"one": one, "two": two}))
    assert list(store.memories("one")) == [("s", b"1")]
    assert list(store.memories("two")) == [("s", b"2")]


def test_sqlite_memories_outlive_the_process_that_wrote_them(tmp_path: Path) -> None:
    file = tmp_path / "wakeful.db"
    first = SqliteStore(file)
    first.save(checkpoint({"s": b"one"}, 7))
    first.close()
    second = SqliteStore(file)
    assert list(second.memories("default")) == [("s", b"one")]
    assert second.positions() == {("events", 0): 7}
    second.close()
