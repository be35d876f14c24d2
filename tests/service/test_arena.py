"""The memories in one buffer."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from model.row import RowLayout, RowTable
from service.errors import StateError, Unavailable
from service.kafka.transactions import Message
from service.memory.arena import LEAST_CAPACITY, Arena, feature_of, relaid
from service.memory.changelog import Changelog
from service.memory.packs import Pack
from service.memory.sqlite import SqliteStore
from service.memory.store import (
    Changed,
    Checkpoint,
    InMemoryStore,
    Positions,
    Shape,
    StateStore,
    memories,
)
from service.records import Names

LAYOUT = RowLayout(
    features=1, resolutions=2, runs=1, memory=4, pending=3, views=2, blocks=80, profiled=True
)  # fmt: skip

NONE = np.empty(0, np.int64)
NOBODY = Names.of([])


def arena() -> Arena:
    fresh = np.arange(LAYOUT.row_bytes, dtype=np.uint8)[None] % 7
    return Arena(LAYOUT, fresh)


@settings(deadline=None)  # the first run compiles
@given(st.lists(st.text(min_size=1, max_size=3), max_size=300))
def test_each_stream_keeps_one_slot_however_much_the_arena_grows(streams: list[str]) -> None:
    made = arena()
    slots, born = made.slots_of(Names.of(streams))
    again, none = made.slots_of(Names.of(streams))
    assert np.array_equal(slots, again)
    assert list(dict.fromkeys(slots.tolist())) == born.tolist()
    assert not len(none)
    assert len(made) == len(set(streams)) == len(set(slots.tolist()))
    assert list(made.names.of(slots)) == streams
    assert list(made.names) == list(dict.fromkeys(streams))
    assert [made.names.find(stream) for stream in streams] == slots.tolist()


def test_rows_survive_growth_and_new_ones_start_fresh() -> None:
    made = arena()
    ((slot,), _) = made.slots_of(Names.of(["first"]))
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
    slots, _ = made.slots_of(Names.of(["a", "b", "c"]))
    made.mark(slots[:2])
    plan = made.plan(NONE)
    assert plan.slots.tolist() == slots[:2].tolist()
    assert made.plan(NONE).slots.tolist() == plan.slots.tolist()
    made.saved(plan)
    assert not len(made.plan(NONE).slots)
    assert made.row("nobody") is None
    row = made.row("b")
    assert row is not None
    assert np.array_equal(row.bytes, made.fresh)


@pytest.mark.parametrize(("most", "left"), [(4, ["a"]), (3, ["a", "b"]), (5, [])])
def test_the_longest_idle_make_room(most: int, left: list[str]) -> None:
    """As many as it takes, and never one that has an event now."""
    made = arena()
    for name in "abcd":
        made.mark(made.slots_of(Names.of([name]))[0])
    made.mark(made.slots_of(Names.of(["c"]))[0])
    slots = made.longest_idle(Names.of(["d", "new", "new"]), most, 0.0)
    assert sorted(made.names.of(slots)) == left


def test_who_waited_longest_is_known_after_a_start_and_in_another_layout() -> None:
    """Also of rows that only moved from one pack to another."""
    made, store = arena(), InMemoryStore()
    made._packing.rows = 4
    for names in (["a", "b", "c", "d"], ["e"], ["a", "b", "d"]):
        made.mark(made.slots_of(Names.of(names))[0])
        plan = made.plan(NONE)
        packs = list(made.packs(plan))
        store.save(Checkpoint({}, {MEMORY: Changed(Shape("f", ()), 1, packs, plan.dropped)}))
        made.saved(plan)
    again, other = arena(), arena()
    again.restore(pack for _, pack in store.packs(MEMORY))
    for streams, used, table in made.parts(2):
        other.take_over(streams, used, table.bytes)
    for each in (made, again, other):
        assert list(each.names.of(each.longest_idle(NOBODY, 4, 0))) == ["c"]
        assert sorted(each.names.of(each.longest_idle(NOBODY, 3, 0))) == ["c", "e"]


def test_at_least_a_share_of_all_leaves_at_once() -> None:
    """So that a checkpoint makes room for many new streams, not for one."""
    made = arena()
    made.mark(made.slots_of(Names.of([f"s{n}" for n in range(100)]))[0])
    assert len(made.longest_idle(Names.of(["new"]), 100, 0.25)) == 25


MEMORY = "d:f:t:0"


class ArenaInMemory(RuleBasedStateMachine):
    """An arena, its store, and plain dictionaries that say what both should hold: of the streams
    that are here, and of those that left."""

    streams = st.lists(st.sampled_from([f"s{n}" for n in range(60)]), min_size=1)

    def __init__(self) -> None:
        super().__init__()
        self.store = self.opened()
        self.arena = self.empty()
        self.shape = Shape("0", ())
        self.returned: list[str] = []
        self.now: tuple[dict[str, bytes], dict[str, bytes]] = {}, {}
        self.saved: tuple[dict[str, bytes], dict[str, bytes]] = {}, {}

    def opened(self) -> StateStore:
        return InMemoryStore()

    def opened_again(self) -> StateStore:
        return self.store

    def empty(self) -> Arena:
        made = arena()
        made._packing.rows = 4  # as if a pack were small
        return made

    @rule(streams=streams, seed=st.integers(0, 1 << 30))
    def events(self, streams: list[str], seed: int) -> None:
        """Some streams have events, and those come back that had left."""
        slots, born = self.arena.slots_of(Names.of(streams))
        here, left = self.now
        back = self.store.idle(MEMORY, list(self.arena.names.of(born))) if left else []
        assert {idle.stream: idle.row for idle in back} == {
            name: left.pop(name) for name in set(streams) if name in left
        }
        self.returned += [idle.stream for idle in back]
        rows = np.random.default_rng(seed).integers(0, 256, (len(slots), LAYOUT.row_bytes))
        self.arena.table.bytes[slots] = rows
        self.arena.mark(slots)
        here |= dict(zip(streams, map(bytes, self.arena.table.bytes[slots]), strict=True))

    @rule(share=st.sampled_from([0.0, 0.0, 0.3, 1.0]))
    def checkpoint(self, share: float) -> None:
        """Some leave."""
        most = max(1, int((1 - share) * len(self.arena)))
        plan = self.arena.plan(self.arena.longest_idle(NOBODY, most, 0))
        gone = list(self.arena.names.of(plan.leaving))
        changed = Changed(
            self.shape, 1, self.arena.packs(plan), plan.dropped, gone,
            self.arena.table.bytes[plan.leaving], returned=self.returned,
        )  # fmt: skip
        self.store.save(Checkpoint({}, {MEMORY: changed}))
        self.arena.saved(plan)
        self.returned = []
        here, left = self.now
        left |= {name: here.pop(name) for name in gone}
        self.saved = dict(here), dict(left)

    @rule()
    def reshape(self) -> None:
        """Rows are of another shape now: all of them are written."""
        old, self.arena = self.arena, self.empty()
        for streams, used, table in old.parts(7):
            self.arena.take_over(streams, used, table.bytes)
        self.shape = Shape(str(int(self.shape.fingerprint) + 1), ())
        plan = self.arena.plan(NONE)
        changed = Changed(
            self.shape, 1, self.arena.packs(plan), returned=self.returned, replace_all=True
        )
        self.store.save(Checkpoint({}, {MEMORY: changed}))
        self.arena.saved(plan)
        self.returned = []
        here, left = self.now
        self.saved = dict(here), dict(left)

    @rule()
    def crash(self) -> None:
        self.arena, self.store = self.empty(), self.opened_again()
        for _, packs in groupby(self.store.packs(MEMORY), itemgetter(0)):
            self.arena = self.empty()
            self.arena.restore(pack for _, pack in packs)
        self.arena.require_whole()
        self.now, self.returned = (dict(self.saved[0]), dict(self.saved[1])), []

    @invariant()
    def every_memory_is_there(self) -> None:
        assert sorted(self.arena.names) == sorted(self.now[0])
        for name, row in self.now[0].items():
            table = self.arena.row(name)
            assert table is not None
            assert table.bytes.tobytes() == row
        assert memories(self.store, MEMORY) == self.saved[0] | self.saved[1]

    @invariant()
    def the_store_says_little_more(self) -> None:
        """At most twice what the arena has slots."""
        stored = sum(len(pack.slots) for _, pack in self.store.packs(MEMORY))
        assert stored <= 2 * self.arena.names.top


class ArenaInSqlite(ArenaInMemory):
    """The same; a crash opens the files again."""

    def __init__(self) -> None:
        self.folder = TemporaryDirectory()
        super().__init__()

    def opened(self) -> StateStore:
        return SqliteStore(Path(self.folder.name) / "wakeful.db")

    def opened_again(self) -> StateStore:
        self.store.close()
        return self.opened()

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    @invariant()
    def the_file_holds_little_more(self) -> None:
        """The rows of three times the streams that there are, at most."""
        for path in Path(self.folder.name).glob("*.rows"):
            assert path.stat().st_size <= 3 * 60 * LAYOUT.row_bytes


@dataclass
class Log:
    """Messages as a compacted topic has them, in the place of Kafka's transactions."""

    messages: list[Message] = field(default_factory=list)
    doubtful: bool = False

    def commit(
        self,
        messages: Iterable[Message],
        offsets: Positions,
        counted: Callable[[], None],
    ) -> None:
        self.messages += messages
        if self.doubtful:
            raise Unavailable("there is no answer")
        counted()

    def compact(self, until: int) -> None:
        """Of the messages before this one, those go that a later one replaces."""
        later: dict[bytes | None, int] = {}
        for at, message in enumerate(self.messages):
            later[message.key] = at
        self.messages = [
            message
            for at, message in enumerate(self.messages)
            if at >= until or later[message.key] == at
        ]

    def close(self) -> None:
        pass


class LogReader(Changelog):
    """The changelog of a log that is here."""

    def __init__(self, log: Log, folder: Path) -> None:
        super().__init__([], {}, "g", str, log, folder)  # type: ignore[arg-type]
        self._log = log

    def _records(self, place: object) -> Iterator[tuple[bytes, bytes | None, str]]:
        for at, message in enumerate(self._log.messages):
            assert message.key is not None
            yield message.key, message.value, f"message {at}"


class ArenaInChangelog(ArenaInMemory):
    """The same; what was written stays until it is compacted, as far as that goes."""

    def __init__(self) -> None:
        self.folder = TemporaryDirectory()
        self.log = Log()
        super().__init__()

    def opened(self) -> StateStore:
        return LogReader(self.log, Path(self.folder.name) / "idle")

    def opened_again(self) -> StateStore:
        self.store.close()
        return self.opened()

    @rule(share=st.floats(0.0, 1.0))
    def compact(self, share: float) -> None:
        self.log.compact(int(share * len(self.log.messages)))

    @rule()
    def doubtful_checkpoint(self) -> None:
        """It counts, and nobody knows: the next one writes all of it again."""
        self.log.doubtful = True
        changed = Changed(
            self.shape, 1, self.arena.packs(plan := self.arena.plan(NONE)), plan.dropped,
            returned=self.returned,
        )  # fmt: skip
        with pytest.raises(Unavailable):
            self.store.save(Checkpoint({}, {MEMORY: changed}))
        self.log.doubtful = False
        here, left = self.now
        self.saved = dict(here), dict(left)

    @invariant()
    def the_store_says_little_more(self) -> None:
        """At most twice what the arena has slots, once it is compacted."""
        compacted = Log(list(self.log.messages))
        compacted.compact(len(compacted.messages))
        rows = sum(len(m.value or b"") for m in compacted.messages) / LAYOUT.row_bytes
        assert rows <= 2 * (self.arena.names.top + 60) + 60

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()


TestArenaInMemory = ArenaInMemory.TestCase
TestArenaInMemory.settings = settings(deadline=None, max_examples=50, stateful_step_count=30)
TestArenaInSqlite = ArenaInSqlite.TestCase
TestArenaInSqlite.settings = settings(deadline=None, max_examples=30, stateful_step_count=30)
TestArenaInChangelog = ArenaInChangelog.TestCase
TestArenaInChangelog.settings = settings(deadline=None, max_examples=50, stateful_step_count=30)


def pack(slot: int, row_bytes: int) -> Pack:
    """Of one stream."""
    rows = np.zeros((1, row_bytes), np.uint8)
    return Pack(1, np.full(1, slot), Names.of(["s"]), np.zeros(1, np.int64), rows, rows[:, 0] == 0)


def test_rows_of_another_size_are_refused() -> None:
    """Memories are not misread where a store is damaged."""
    one = pack(0, 7)
    with pytest.raises(StateError, match=f"7 bytes, expected {LAYOUT.row_bytes}"):
        arena().restore([one])


def test_more_memories_than_there_is_room_for_are_refused() -> None:
    """On a smaller machine than the one that stored them."""
    one = pack(LEAST_CAPACITY, LAYOUT.row_bytes)
    with pytest.raises(StateError, match="1,024 places that there is room for"):
        Arena(LAYOUT, arena().fresh, capacity=LEAST_CAPACITY).restore([one])


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
