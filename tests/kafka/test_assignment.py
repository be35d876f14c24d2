"""Partitions that come while others' events are scored, with a real broker."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

import pytest

from service.assignment import Assignment
from service.bootstrap import build_detectors
from service.kafka.transactions import Transactions
from service.memory.changelog import Changelog
from service.memory.kept import Left
from service.memory.store import owner_of
from service.pipeline import Pipeline
from service.records import RawBatch
from service.settings.detector import DetectorSettings
from service.settings.limits import LimitSettings
from service.sinks.kafka import KafkaSink
from service.sources.memory import MemorySource
from service.telemetry.metrics import Metrics
from tests.kafka.changelogs import positions
from tests.kafka.topics import Names, made_topics
from tests.service.parts import events, raw_batch


@pytest.fixture
def names(bootstrap_servers: str) -> Iterator[Names]:
    with made_topics(bootstrap_servers, f"a{uuid.uuid4().hex[:10]}", 2) as made:
        yield made


@contextmanager
def worker(
    names: Names,
    batches: Sequence[RawBatch],
    features: list[str],
    left: Mapping[str, Left] = MappingProxyType({}),
) -> Iterator[tuple[Pipeline, Assignment]]:
    """One that is alone in its group, of whose streams two may be resident; it stops without a last
    checkpoint. `left` is of one that still is there."""
    with TemporaryDirectory() as folder:
        group, servers = names.events, [names.servers]
        transactions = Transactions(servers, {}, f"{group}.test", lambda: group)
        store = Changelog(
            servers, {}, group, lambda _: names.memory, transactions, Path(folder) / "idle",
            left=left,
        )  # fmt: skip
        settings = {"default": DetectorSettings(features=features)}
        detectors = build_detectors(settings, LimitSettings(max_resident_streams=2))
        sink = KafkaSink(transactions, names.anomalies, names.episodes, names.dead_letters)
        topics = {"default": [names.events]}
        assignment = Assignment(detectors, topics, store, transactions, sink)
        pipeline = Pipeline(
            MemorySource(batches), detectors, topics, store, [sink], Metrics(), 3600.0, assignment
        )
        try:
            pipeline.restore()
            yield pipeline, assignment
        finally:
            assignment.close()
            store.close()


def take(names: Names, pipeline: Pipeline, assignment: Assignment, *numbers: int) -> None:
    """Have partitions as a source has them come: all memories first, then one after the other."""
    assignment.take((names.events, number) for number in numbers)
    assignment._asked.put(None)  # behind what was asked for: the thread ends
    assert assignment._thread is not None
    assignment._thread.join()
    assignment._thread = None
    arrived = assignment.arrived()
    for partition in sorted(arrived):
        pipeline.begin(partition, arrived[partition] or 0)


def batch(names: Names, number: int, first: int, streams: str) -> RawBatch:
    rows = [{"stream": s, "time": 1.7e9 + n, "x": 1.0, "y": 2.0} for n, s in enumerate(streams)]
    return replace(raw_batch(events(rows), first), partition=(names.events, number))


def test_a_partition_that_comes_says_nothing_of_what_was_read_of_another(names: Names) -> None:
    """Its idle memories forget a feature, which is saved at once; what was scored of the other one
    since the last checkpoint is not, and is read again after a crash."""
    known = {(names.events, 0): 3, (names.events, 1): 2}
    first = [batch(names, 0, 0, "abc"), batch(names, 1, 0, "de")]
    with worker(names, first, ["x", "y"]) as (pipeline, assignment):
        save_both(names, pipeline, assignment)
    with worker(names, [batch(names, 0, 3, "c")], ["x"]) as (pipeline, assignment):
        take(names, pipeline, assignment, 0)
        pipeline.checkpoint()
        pipeline.run_once()
        assert pipeline.positions == {(names.events, 0): 4}
        take(names, pipeline, assignment, 1)
        (other,) = assignment.here[names.events, 1]
        assert [one.features for one in pipeline.store.idle(other.memory, ["d"])] == [("x",)]
        assert pipeline.store.positions() == known
        assert pipeline.positions == {**known, (names.events, 0): 4}
    assert positions(names.servers, names.events, names.events, 2, names.memory) == known


def streams(pipeline: Pipeline) -> dict[str, dict[str, bytes]]:
    """All memories, resident and idle, as they would be written."""
    found = {}
    for detector in pipeline.memories():
        summaries = detector.streams(None, 100)
        tables = {one["stream"]: detector._row(one["stream"]) for one in summaries}
        found[detector.memory] = {name: row.bytes.tobytes() for name, row in tables.items() if row}
    return found


def unread(*_: object) -> None:
    raise AssertionError("the topic of memories is read")


def save_both(names: Names, pipeline: Pipeline, assignment: Assignment) -> None:
    """Take both partitions, score a batch of each, and save."""
    take(names, pipeline, assignment, 0, 1)
    pipeline.run_once()
    pipeline.run_once()
    pipeline.checkpoint()


def test_what_is_left_need_not_be_read_again(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    first = [batch(names, 0, 0, "abc"), batch(names, 1, 0, "de")]
    then = [batch(names, 0, 3, "abca"), batch(names, 1, 2, "ed")]
    with worker(names, first, ["x", "y"]) as (pipeline, assignment):
        save_both(names, pipeline, assignment)
        before, left = streams(pipeline), assignment.leave()
        assert sorted(left) == sorted(before)
        with monkeypatch.context() as patched, worker(names, then, ["x", "y"], left) as given:
            patched.setattr(Changelog, "packs", unread)
            following, taken = given
            take(names, following, taken, 0, 1)
            assert streams(following) == before
            assert following.positions == {(names.events, 0): 3, (names.events, 1): 2}
            following.run_once()
            following.run_once()
            following.checkpoint()
            after = streams(following)
    with worker(names, [], ["x", "y"]) as (pipeline, assignment):
        take(names, pipeline, assignment, 0, 1)
        assert streams(pipeline) == after != before


def test_what_was_left_and_had_no_events_can_be_left_again(names: Names) -> None:
    first = [batch(names, 0, 0, "abc"), batch(names, 1, 0, "de")]
    with worker(names, first, ["x"]) as (pipeline, assignment):
        save_both(names, pipeline, assignment)
        left = assignment.leave()
        with worker(names, [], ["x"], left) as (following, taken):
            take(names, following, taken, 0, 1)
            assert {m: one.end for m, one in taken.leave().items()} == {
                m: one.end for m, one in left.items()
            }


def test_what_others_have_written_since_is_read(names: Names) -> None:
    first = [batch(names, 0, 0, "ab"), batch(names, 1, 0, "de")]
    with worker(names, first, ["x"]) as (pipeline, assignment):
        save_both(names, pipeline, assignment)
        left = assignment.leave()
        with worker(names, [batch(names, 0, 2, "a")], ["x"]) as (following, taken):
            take(names, following, taken, 0, 1)
            following.run_once()
            following.checkpoint()
            then = streams(following)
        with worker(names, [], ["x"], left) as (following, taken):
            take(names, following, taken, 0, 1)
            assert streams(following) == then
            assert following.positions == {(names.events, 0): 3, (names.events, 1): 2}


def test_memories_that_are_not_saved_are_not_left(names: Names) -> None:
    first = [batch(names, 0, 0, "ab"), batch(names, 1, 0, "de"), batch(names, 1, 2, "e")]
    with worker(names, first, ["x"]) as (pipeline, assignment):
        save_both(names, pipeline, assignment)
        pipeline.run_once()
        assert [owner_of(memory)[2] for memory in assignment.leave()] == [(names.events, 0)]


def test_what_is_left_of_a_partition_that_is_another_ones_now_is_let_go(names: Names) -> None:
    first = [batch(names, 0, 0, "abc"), batch(names, 1, 0, "def")]
    with worker(names, first, ["x"]) as (pipeline, assignment):
        save_both(names, pipeline, assignment)
        left = assignment.leave()
        folders = {one.kept.source[1]: one.kept.folder for one in left.values()}
        assert all(folder.is_dir() for folder in folders.values())  # of idle memories
        with worker(names, [], ["x"], left) as (following, taken):
            take(names, following, taken, 1)
            assert [folders[0].exists(), folders[1].exists()] == [False, True]


def test_what_is_left_to_who_is_given_nothing_is_let_go(names: Names) -> None:
    first = [batch(names, 0, 0, "abc"), batch(names, 1, 0, "def")]
    with worker(names, first, ["x"]) as (pipeline, assignment):
        save_both(names, pipeline, assignment)
        left = assignment.leave()
        with worker(names, [], ["x"], left):
            """The group has others."""
        assert not any(one.kept.folder.exists() for one in left.values())
