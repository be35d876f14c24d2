"""What the loop promises."""

import math
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.admission import LATE_RUN
from service import pipeline as module
from service.clock import parse_time
from service.errors import StateError, Unavailable
from service.memory.sqlite import SqliteStore
from service.memory.store import Checkpoint, InMemoryStore, StateStore, memories
from service.records import Delivery, RawBatch
from service.settings.detector import DetectorSettings
from tests.base import FINGERPRINT, MEMORIES
from tests.service.parts import Collected, events, make_pipeline, raw_batch, wave

EVENTS = wave(120, "s", spikes=[90]) + wave(40, "t") + [b"{", b'{"value": 1}']


def batches(cuts: list[int], values: list[bytes] = EVENTS) -> list[RawBatch]:
    """The same records cut into batches at these places."""
    edges = [0, *sorted(set(cuts)), len(values)]
    return [raw_batch(values[a:b], a) for a, b in pairwise(edges) if a < b]


def rows(store: StateStore) -> dict[str, bytes]:
    return memories(store, MEMORIES)


def test_every_record_is_scored_or_rejected_with_a_reason() -> None:
    pipeline, collected = make_pipeline(batches([50, 100]))
    pipeline.run()
    assert collected.scored == 160
    assert collected.reasons == ["malformed_json", "missing_key"]


@settings(deadline=None, max_examples=20)
@given(
    cuts=st.lists(st.integers(1, len(EVENTS) - 1), max_size=8),
    crash_after=st.integers(0, 8),
)
def test_a_crash_anywhere_and_a_restart_end_in_the_same_memories_and_anomalies(
    cuts: list[int], crash_after: int
) -> None:
    whole_store, store = InMemoryStore(), InMemoryStore()
    whole, expected = make_pipeline(batches([]), whole_store)
    whole.run()

    crashed, before = make_pipeline(batches(cuts), store)
    crashed.restore()
    for turn in range(crash_after):
        crashed.run_once()
        if turn % 2:
            crashed.checkpoint()  # what came after the last one is lost with the process
    restarted, after = make_pipeline(batches(cuts), store)
    restarted.run()

    assert rows(store) == rows(whole_store)
    found = {anomaly["id"]: anomaly for anomaly in before.anomalies + after.anomalies}
    assert found == {anomaly["id"]: anomaly for anomaly in expected.anomalies}
    assert expected.anomalies


def test_records_below_a_memorys_offset_change_nothing_though_the_position_was_lost() -> None:
    store = InMemoryStore()
    first, _ = make_pipeline(batches([]), store)
    first.run()
    kept = rows(store)
    torn = InMemoryStore()  # a torn checkpoint: the memories without their position
    detector = first.detectors["default"]
    detector.arena.mark(np.arange(len(detector.arena)))
    torn.save(Checkpoint({}, {detector.memory: detector.changed().changed}))
    again, collected = make_pipeline(batches([30]), torn)
    again.run()
    assert rows(torn) == kept
    assert collected.scored == 0
    assert sum(delivery.replayed for delivery in collected.deliveries) == 160


def test_memories_and_positions_are_saved_together_and_the_source_is_told_after() -> None:
    store = InMemoryStore()
    pipeline, _ = make_pipeline(batches([]), store)
    pipeline.run()
    assert store.positions() == {("events", 0): len(EVENTS)}
    assert pipeline.source.committed == store.positions()  # type: ignore[attr-defined]


@dataclass
class Away(Collected):
    """A sink that is away for its first calls."""

    failures: int = 2
    tried: list[str] = field(default_factory=list)

    def deliver(self, delivery: Delivery) -> None:
        self.tried.append("deliver")
        if len(self.tried) <= self.failures:
            raise Unavailable("away")
        super().deliver(delivery)


def test_while_a_sink_is_away_nothing_is_dropped() -> None:
    pipeline, collected = make_pipeline(batches([]))
    away = Away()
    pipeline.sinks = [away]
    pipeline.run()
    assert collected.deliveries == []
    assert away.scored == 160
    assert len(away.tried) == away.failures + 1


class Unflushable(Collected):
    def flush(self, wait: bool = True) -> None:
        raise Unavailable("away")


def test_nothing_is_saved_or_committed_before_the_sinks_are_flushed() -> None:
    store = InMemoryStore()
    pipeline, _ = make_pipeline(batches([]), store)
    pipeline.sinks = [Unflushable()]
    pipeline.restore()
    pipeline.run_once()
    with pytest.raises(Unavailable):
        pipeline.checkpoint()
    assert store.positions() == {}
    assert rows(store) == {}
    assert pipeline.source.committed == {}  # type: ignore[attr-defined]


def test_a_lag_that_nobody_looked_at_for_a_while_is_not_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipeline, _ = make_pipeline(batches([100]))
    lag: int | None = pipeline.lag_records
    assert lag is None
    pipeline.restore()
    pipeline.run_once()
    assert pipeline.lag_records == told_lag(pipeline) == len(EVENTS) - 100
    monkeypatch.setattr(module, "HEARD_SECONDS", -1.0)
    assert pipeline.lag_records is None
    assert math.isnan(told_lag(pipeline))


def told_lag(pipeline: module.Pipeline) -> float:
    value = pipeline.metrics.registry.get_sample_value("wakeful_source_lag_records")
    assert value is not None
    return value


class FullStore(InMemoryStore):
    def save(self, checkpoint: Checkpoint) -> None:
        raise Unavailable("disk full")


def test_the_source_is_not_told_before_the_memories_are_saved() -> None:
    pipeline, _ = make_pipeline(batches([]), FullStore())
    pipeline.restore()
    pipeline.run_once()
    with pytest.raises(Unavailable):
        pipeline.checkpoint()
    assert pipeline.source.committed == {}  # type: ignore[attr-defined]


class Broken(Collected):
    def deliver(self, delivery: Delivery) -> None:
        raise RuntimeError("a broken invariant")


def test_a_batch_that_was_scored_and_not_delivered_is_in_no_checkpoint() -> None:
    store = InMemoryStore()
    pipeline, _ = make_pipeline(batches([]), store)
    pipeline.sinks = [Broken()]
    with pytest.raises(RuntimeError):
        pipeline.run()
    with pytest.raises(Unavailable):
        pipeline.checkpoint()  # as a client does that revokes partitions when it is closed
    assert rows(store) == {}
    again, collected = make_pipeline(batches([]), store)
    again.run()
    assert collected.anomalies


@pytest.mark.parametrize("stored", [-1.0, 1e13, 1e300])
def test_a_record_stored_at_an_impossible_time_does_not_stop_the_stream(stored: float) -> None:
    untimed = events([{"stream": "s", "value": 1}])
    pipeline, collected = make_pipeline([raw_batch(untimed, stored=stored), raw_batch(EVENTS, 1)])
    pipeline.run()
    assert collected.reasons[0] == "bad_time"
    assert collected.scored == 160


def test_events_of_a_detector_that_is_gone_are_not_passed_over() -> None:
    batch = replace(raw_batch(EVENTS), detector="gone")
    pipeline, _ = make_pipeline([batch])
    with pytest.raises(StateError, match="'gone'"):
        pipeline.run()


def test_new_features_are_discovered_and_old_memories_go_on() -> None:
    one = events([{"stream": "s", "time": 1.7e9 + i, "a": i % 7} for i in range(60)])
    two = events([{"stream": "s", "time": 1.7e9 + i, "a": i % 7, "b": 5} for i in range(60, 90)])
    store = InMemoryStore()
    pipeline, _ = make_pipeline([raw_batch(one), raw_batch(two, 60)], store)
    pipeline.run()
    detail = pipeline.detectors["default"].stream("s")
    assert detail is not None
    assert {name: f["count"] for name, f in detail["features"].items()} == {"a": 90, "b": 30}
    assert store.shape(MEMORIES) == pipeline.detectors["default"].shape

    alone, _ = make_pipeline([raw_batch(one)])
    alone.run()
    kept = alone.detectors["default"].arena.row("s")
    assert kept is not None
    reader, _ = make_pipeline([raw_batch(one), raw_batch(two[:1], 60)])
    reader.restore()
    reader.run_once()
    reader.detectors["default"].decode(raw_batch(two[:1], 60))
    widened = reader.detectors["default"].arena.row("s")
    assert widened is not None
    assert np.array_equal(widened.states[0, :, 0], kept.states[0, :, 0])
    assert np.array_equal(widened.features[0, :, 0], kept.features[0, :, 0])
    again, _ = make_pipeline([], store)
    again.run()
    assert again.detectors["default"].stream("s") == detail


def test_memories_of_another_artifact_are_refused_and_left_as_they_are() -> None:
    store = InMemoryStore()
    pipeline, _ = make_pipeline(batches([]), store)
    pipeline.run()
    kept = rows(store)
    other, _ = make_pipeline([], store, DetectorSettings(artifact=Path("compact")))
    with pytest.raises(StateError, match=f"made by artifact {FINGERPRINT}.*replaces"):
        other.run()
    assert rows(store) == kept


def test_a_declared_direction_ignores_the_other_one() -> None:
    down = [value.replace(b'"value": ', b'"value": -') for value in wave(300, spikes=[250])]
    down = [value.replace(b"--", b"") for value in down]
    low, of_low = make_pipeline(
        [raw_batch(down)], settings=DetectorSettings(direction={"value": "low"}, features=["value"])
    )
    low.run()
    high, of_high = make_pipeline(
        [raw_batch(down)],
        settings=DetectorSettings(direction={"value": "high"}, features=["value"]),
    )
    high.run()
    assert any(anomaly["offset"] == 250 for anomaly in of_low.anomalies)
    assert not any(anomaly["offset"] == 250 for anomaly in of_high.anomalies)


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        ({"time": 1.7e9, "value": 1.0}, "repeated"),
        ({"time": 1.7e9 - 8 * 86400, "value": 2.0}, "late"),
        ({"time": 1.75e9 + 8 * 86400, "value": 2.0}, "future"),
    ],
)
def test_repeated_late_and_future_events_are_rejected_by_name(
    second: dict[str, float], reason: str
) -> None:
    first = {"stream": "s", "time": 1.7e9, "value": 1.0}
    pipeline, collected = make_pipeline([raw_batch(events([first, {"stream": "s", **second}]))])
    pipeline.run()
    assert collected.reasons == [reason]
    assert collected.scored == 1


def test_one_wrong_time_does_not_silence_a_stream() -> None:
    wrong = {"stream": "s", "time": 1.75e9, "value": 0}
    good = [{"stream": "s", "time": 1.7e9 + 60 * n, "value": n % 5} for n in range(100)]
    pipeline, collected = make_pipeline([raw_batch(events([*good[:50], wrong, *good[50:]]))])
    pipeline.run()
    assert collected.reasons == ["late"] * (LATE_RUN - 1)
    assert collected.scored == 101 - (LATE_RUN - 1)
    detail = pipeline.detectors["default"].stream("s")
    assert detail is not None
    assert detail["time"] == "2023-11-14T23:52:20Z"


def test_an_event_a_little_out_of_order_is_scored_and_does_not_turn_the_clock_back() -> None:
    rows_in = [{"stream": "s", "time": 1.7e9 + t, "value": t} for t in (0, 60, 30, 90)]
    pipeline, collected = make_pipeline([raw_batch(events(rows_in))])
    pipeline.run()
    detail = pipeline.detectors["default"].stream("s")
    assert detail is not None
    assert (collected.scored, detail["late"], detail["age_seconds"]) == (4, 1, 90.0)


def test_a_sqlite_store_gives_the_same_memories_as_one_in_memory(tmp_path: Path) -> None:
    in_memory, sqlite = InMemoryStore(), SqliteStore(tmp_path / "wakeful.db")
    make_pipeline(batches([]), in_memory)[0].run()
    make_pipeline(batches([40]), sqlite, interval_seconds=0.0001)[0].run()
    assert rows(sqlite) == rows(in_memory)
    sqlite.close()


def test_the_second_day_begins_as_quietly_as_the_third() -> None:
    """What time of day means is said for the first time then, of all streams at once."""
    streams, day, random = 40, 96, np.random.default_rng(3)
    values = random.normal(size=(3 * day, streams)) + 5.0 * np.sin(np.arange(streams))
    made = [
        {"stream": f"s-{s}", "time": 1.7e9 + 900.0 * n, "value": value}
        for n, row in enumerate(values.tolist())
        for s, value in enumerate(row)
    ]
    pipeline, collected = make_pipeline([raw_batch(events(made))])
    pipeline.run()
    begins = 1.7e9 + 86_400.0
    alarms = [parse_time(one["time"]) - begins for one in collected.anomalies if one["alarm"]]
    second, third = (sum(d <= x / 86_400.0 < d + 0.5 for x in alarms) for d in (0.0, 1.0))
    assert second <= third + 5
