"""Memories of idle streams wait in the store and come back exact: limits.max_resident_streams."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import service.detector as detector_module
import service.pipeline as pipeline_module
from service.errors import Unavailable
from service.memory import arena as arena_module
from service.memory.sqlite import SqliteStore
from service.memory.store import Checkpoint, Idle, InMemoryStore, StateStore, memories
from service.pipeline import Pipeline
from service.records import RawBatch
from service.settings.detector import DetectorSettings
from service.settings.limits import LimitSettings
from tests.base import MEMORIES
from tests.service.parts import Collected, events, make_pipeline, raw_batch

STREAMS, EVENTS = 40, 600
RESIDENT = 10


def values(seed: int, first: int = 0, features: tuple[str, ...] = ("value",)) -> list[bytes]:
    """Events of STREAMS streams in any order, some of them again and again."""
    random = np.random.default_rng(seed)
    names = (STREAMS * random.random(EVENTS) ** 2).astype(int)
    spikes = np.where(random.random(EVENTS) < 0.01, 50.0, 0.0)
    rows: list[dict[str, Any]] = [
        {"stream": f"s{name}", "time": 1.7e9 + first + i}
        | dict.fromkeys(features, float(random.normal() + spikes[i]))
        for i, name in enumerate(names)
    ]
    return events(rows)


def batches(values: list[bytes], size: int = RESIDENT) -> list[RawBatch]:
    return [raw_batch(values[a : a + size], a) for a in range(0, len(values), size)]


def bounded(
    made: list[RawBatch], store: StateStore, most: int = RESIDENT
) -> tuple[Pipeline, Collected]:
    return make_pipeline(made, store, limits=LimitSettings(max_resident_streams=most))


def resident(pipeline: Pipeline) -> int:
    return len(pipeline.detectors["default"].arena)


def gauge(pipeline: Pipeline, name: str) -> float | None:
    return pipeline.metrics.registry.get_sample_value(name, {"detector": "default"})


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@settings(deadline=None, max_examples=10)
@given(
    st.integers(0, 1 << 30),
    st.integers(1, 40),
    st.integers(0, EVENTS // RESIDENT),
    st.integers(1, 9),
)
def test_scores_and_memories_are_those_of_streams_that_never_left(
    kind: str, seed: int, most: int, crash: int, every: int
) -> None:
    """To the bit, however few may stay, wherever it crashes and whenever it checkpoints."""
    with TemporaryDirectory() as folder:
        stores: Iterator[StateStore] = repeat(InMemoryStore())
        if kind == "sqlite":
            stores = (SqliteStore(Path(folder) / "wakeful.db") for _ in range(2))
        crash_and_go_on(stores, seed, most, crash, every)


def crash_and_go_on(
    stores: Iterator[StateStore], seed: int, most: int, crash: int, every: int
) -> None:
    whole_store, store = InMemoryStore(), next(stores)
    whole, expected = make_pipeline(batches(values(seed)), whole_store)
    whole.run()
    cut = batches(values(seed), min(most, RESIDENT))
    crashed, before = bounded(cut[:crash], store, most)
    crashed.restore()
    for k in range(len(cut[:crash])):
        crashed.run_once()
        assert resident(crashed) <= most
        if k % every == 0:
            crashed.checkpoint()
    store.close()
    store = next(stores)
    position = store.positions().get(("events", 0), 0)
    again, after = bounded([batch for batch in cut if batch.next_offset > position], store, most)
    again.run()
    assert memories(store, MEMORIES) == memories(whole_store, MEMORIES)
    found = {each["id"]: each for each in before.anomalies + after.anomalies}
    assert found == {each["id"]: each for each in expected.anomalies}
    store.close()


def test_idle_streams_are_counted_listed_and_shown(tmp_path: Path) -> None:
    """A reader does not see where a memory is, and looking at one does not move it."""
    made = values(1)
    whole, _ = make_pipeline(batches(made))
    whole.run()
    store = SqliteStore(tmp_path / "wakeful.db")
    pipeline, _ = bounded(batches(made), store)
    pipeline.run()
    all_there, some = whole.detectors["default"], pipeline.detectors["default"]
    count = len(all_there.arena)
    assert some.streams(None, 100) == all_there.streams(None, 100)
    assert some.streams("s2", 3, "s2") == all_there.streams("s2", 3, "s2")
    names = [each["stream"] for each in all_there.streams(None, 100)]
    assert [some.stream(name) for name in names] == [all_there.stream(name) for name in names]
    assert some.stream("nobody") is None
    assert resident(pipeline) + some.idle == count == gauge(pipeline, "wakeful_streams")
    assert gauge(pipeline, "wakeful_resident_streams") == resident(pipeline) <= RESIDENT
    evicted = gauge(pipeline, "wakeful_evicted_total") or 0.0
    assert evicted - (gauge(pipeline, "wakeful_recalled_total") or 0.0) == some.idle > 0
    store.close()


def test_a_stream_that_was_reset_and_is_idle_keeps_no_other_from_being_listed() -> None:
    made = [one(n, name, value=1.0) for n, name in enumerate("abcd")]
    pipeline, _ = bounded(made, InMemoryStore(), 1)
    pipeline.restore()
    for _ in "abc":
        pipeline.run_once()
    assert pipeline.reset("default", "a")
    pipeline.run_once()
    detector = pipeline.detectors["default"]
    assert detector.idle == 3
    assert [each["stream"] for each in detector.streams(None, 2)] == ["b", "c"]
    assert [each["stream"] for each in detector.streams("b", 2)] == ["c", "d"]


def test_where_a_feature_makes_rows_larger_some_leave_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a bound of its own a detector takes half of the machine's memory."""
    for module in (detector_module, arena_module):
        monkeypatch.setattr(module, "machine_memory", lambda: 60 * 3072)
    made = values(6)
    whole_store, store = InMemoryStore(), InMemoryStore()
    wide = events([{"stream": "wide", "time": 1.7e9, "value": 1.0, "other": 2.0}])
    pipeline, _ = make_pipeline([*batches(made), raw_batch(wide, len(made))], store)
    pipeline.run()
    row_bytes = pipeline.detectors["default"].arena.layout.row_bytes
    assert resident(pipeline) * row_bytes <= 30 * 3072
    monkeypatch.undo()
    whole, _ = make_pipeline([*batches(made), raw_batch(wide, len(made))], whole_store)
    whole.run()
    all_there, some = whole.detectors["default"], pipeline.detectors["default"]
    assert len(all_there.arena) > resident(pipeline)
    for each in all_there.streams(None, 100):
        assert some.stream(each["stream"]) == all_there.stream(each["stream"])


def test_a_smaller_bound_is_kept_from_the_start(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "wakeful.db")
    first, _ = make_pipeline(batches(values(2)), store)
    first.run()
    before = memories(store, MEMORIES)
    pipeline, _ = bounded([], store, 3)
    pipeline.restore()
    assert resident(pipeline) == 3
    assert memories(store, MEMORIES) == before
    store.close()


def test_those_that_had_events_last_stay_at_a_start_with_a_smaller_bound() -> None:
    store = InMemoryStore()
    first, _ = make_pipeline([], store)
    first.restore()
    for k, name in enumerate("abcabd"):
        first.source = type(first.source)([raw_batch(events([{"stream": name, "v": 1}]), k)])  # type: ignore[call-arg]
        first.run_once()
        first.checkpoint()
    pipeline, _ = bounded([], store, 2)
    pipeline.restore()
    assert sorted(pipeline.detectors["default"].arena.names) == ["b", "d"]


def test_a_memory_that_was_away_while_a_feature_came_has_it_too() -> None:
    """As one that stayed: what the feature was not there for is missing."""
    made = [*values(3), *values(4, EVENTS, ("value", "other"))]
    whole_store, store = InMemoryStore(), InMemoryStore()
    whole, expected = make_pipeline(batches(made), whole_store)
    whole.run()
    pipeline, collected = bounded(batches(made), store)
    pipeline.run()
    assert collected.anomalies == expected.anomalies
    some, all_there = pipeline.detectors["default"], whole.detectors["default"]
    assert some.streams(None, 100) == all_there.streams(None, 100)
    for each in all_there.streams(None, 100):
        assert some.stream(each["stream"]) == all_there.stream(each["stream"])


def one(offset: int, stream: str, partition: int = 0, **values: float) -> RawBatch:
    body = events([{"stream": stream, "time": 1.7e9 + offset, **values}])
    return replace(raw_batch(body, offset), partition=("events", partition))


def test_a_feature_that_comes_while_nobody_is_resident_takes_nothing_away() -> None:
    """All had left, a crash came before the next checkpoint: what lies in the store counts."""
    whole_store, store = InMemoryStore(), InMemoryStore()
    records = [one(0, "a", x=1.0), one(1, "b", x=2.0), one(0, "c", 1, x=3.0, y=4.0)]
    crashed, _ = bounded(records[:2], store, 1)
    crashed.restore()
    crashed.run_once()
    crashed.checkpoint()
    crashed._make_room(
        crashed.detectors["default"], crashed.detectors["default"].decode(records[1])
    )
    assert resident(crashed) == 0
    for part in (records[2:], records[1:2], []):
        pipeline, _ = bounded(part, store, 1)
        pipeline.run()
        whole, _ = make_pipeline(part if whole_store.positions() else records, whole_store)
        whole.run()
    assert set(memories(store, MEMORIES)) == {"a", "b", "c"}
    for name in "abc":
        assert pipeline.detectors["default"].stream(name) == whole.detectors["default"].stream(name)


def test_a_feature_that_was_dropped_starts_fresh_where_it_is_watched_again() -> None:
    """Of streams that were away meanwhile, as of those that were not."""
    stores = InMemoryStore(), InMemoryStore()
    for features in (["x", "y"], ["x"], ["x", "y"]):
        settings = DetectorSettings(features=features)
        for store, most in zip(stores, (None, 1), strict=True):
            first = store.positions().get(("events", 0), 0)
            records = [one(first, "a", x=1.0, y=2.0), one(first + 1, "b", x=1.0, y=2.0)]
            made = records if "y" in features else records[1:]
            limits = LimitSettings(max_resident_streams=most)
            pipeline, _ = make_pipeline(made, store, settings, limits=limits)
            pipeline.run()
    found = [memories(store, MEMORIES) for store in stores]
    assert found[0] == found[1]


def test_a_bound_that_memory_cannot_hold_is_memorys(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (detector_module, arena_module):
        monkeypatch.setattr(module, "machine_memory", lambda: 20 * 3072)
    pipeline, _ = bounded(batches(values(7)), InMemoryStore(), 1_000_000)
    pipeline.run()
    assert resident(pipeline) <= 20


class Away(InMemoryStore):
    """A store that does not answer now and then."""

    asked = 0

    def idle(self, detector: str, streams: Sequence[str]) -> list[Idle]:
        self.asked += 1
        if self.asked % 2:
            raise Unavailable("a disk that hangs")
        return super().idle(detector, streams)


class FullOnce(InMemoryStore):
    """A store whose disk is full when it is asked for the first time."""

    asked = 0

    def save(self, checkpoint: Checkpoint) -> None:
        self.asked += 1
        if self.asked == 1:
            raise Unavailable("disk full")
        super().save(checkpoint)


@pytest.mark.parametrize("store", [Away(), FullOnce()], ids=["cannot be read", "is full"])
def test_while_the_store_is_away_it_waits_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, store: Away | FullOnce
) -> None:
    monkeypatch.setattr(pipeline_module, "RETRY_SECONDS", (0.0,))
    whole_store = InMemoryStore()
    whole, _ = make_pipeline(batches(values(5)), whole_store)
    whole.run()
    pipeline, _ = bounded(batches(values(5)), store)
    pipeline.run()
    assert store.asked > 2
    assert memories(store, MEMORIES) == memories(whole_store, MEMORIES)


class AwayOnce(SqliteStore):
    """A store that does not answer when it is asked for the memories that these streams left in
    one name."""

    def __init__(
        self, file: Path, memory: str, streams: list[str], then: Callable[[], object]
    ) -> None:
        super().__init__(file)
        self.away, self.then = (memory, streams), then

    def idle(self, detector: str, streams: Sequence[str]) -> list[Idle]:
        if (detector, list(streams)) == self.away:
            self.away = ("", [])
            self.then()
            raise Unavailable("a disk that hangs")
        return super().idle(detector, streams)


@pytest.mark.parametrize("asked", ["d", "b"], ids=["of a resident stream", "of an idle one"])
def test_a_question_while_memories_are_on_their_way_back_loses_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, asked: str
) -> None:
    """One detector has them in hand, the other one waits for its own."""
    monkeypatch.setattr(pipeline_module, "RETRY_SECONDS", (0.0,))
    both = DetectorSettings(artifact=Path("compact"), replaces=Path("base"))
    made = [one(n, name, value=float(n)) for n, name in enumerate("abcdabcd")]
    whole_store = InMemoryStore()
    whole, _ = make_pipeline(made, whole_store, both)
    whole.run()
    told: list[Future[bool]] = []

    def ask() -> None:
        told.append(pipeline.ask(lambda: pipeline.tolerate("default", asked, 0)))

    store = AwayOnce(tmp_path / "wakeful.db", MEMORIES, ["a"], ask)
    pipeline, _ = make_pipeline(made, store, both, limits=LimitSettings(max_resident_streams=2))
    pipeline.run()
    assert [answer.result(0) for answer in told] == [True]
    for detector in pipeline.memories():
        assert memories(store, detector.memory) == memories(whole_store, detector.memory)
    store.close()


def test_a_memory_is_never_written_where_no_stream_is() -> None:
    store = InMemoryStore()
    pipeline, _ = bounded([one(0, "a", value=1.0), one(1, "b", value=1.0)], store, 1)
    pipeline.run()
    detector = pipeline.detectors["default"]
    detector.fetch(detector.decode(one(2, "a", value=1.0)))
    other = one(3, "b", value=1.0)
    with pytest.raises(AssertionError, match="no place"):
        detector.score(other, detector.decode(other))


@pytest.mark.parametrize(("most", "batch"), [(None, 4096), (10, 10), (10_000, 4096)])
def test_no_more_records_are_taken_at_once_than_streams_may_be_resident(
    most: int | None, batch: int
) -> None:
    assert LimitSettings(max_resident_streams=most).batch_events == batch


def test_a_batch_of_more_streams_than_may_stay_is_taken_in_parts() -> None:
    """As where partitions share the room among them."""
    made = values(3)
    whole, expected = make_pipeline(batches(made, 50))
    whole.run()
    store = InMemoryStore()
    pipeline, collected = bounded(batches(made, 50), store)
    pipeline.detectors["default"].share(3)
    pipeline.run()
    assert resident(pipeline) <= RESIDENT // 3
    assert collected.anomalies == expected.anomalies
    assert memories(store, MEMORIES) == memories(whole.store, MEMORIES)
