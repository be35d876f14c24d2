"""What it costs to keep memories: checkpoints of many rows, and taking them back."""

import itertools
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from io import FileIO
from pathlib import Path

import numpy as np

from service.bench.result import Result, by_turns
from service.bench.stages import BATCH, with_streams
from service.bench.workload import Workload
from service.bootstrap import DATABASE
from service.detector import Detector
from service.memory.rowfile import SYNC
from service.memory.sqlite import SqliteStore
from service.memory.store import Checkpoint
from service.pipeline import Pipeline
from service.records import RawBatch
from service.sinks.sink import Sink
from service.sources.memory import MemorySource
from service.telemetry.metrics import Metrics

SECONDS_BETWEEN = 5.0  # checkpoints, as by default
INTERVALS = 2  # that are measured
NEVER = 1e9  # seconds
WARM_UP = 3  # checkpoints
CHUNK = bytes(1 << 18)


def saving_and_restoring(work: Workload, changed: int, rows: int, repeats: int) -> list[Result]:
    """Seconds to checkpoint so many changed rows, of as many and at random of `rows`, and to take
    all of these back. The files lie where temporary ones do, and are read from the page cache."""
    with tempfile.TemporaryDirectory() as few, tempfile.TemporaryDirectory() as many:
        return [
            _saving(work, changed, changed, repeats, Path(few) / DATABASE),
            _saving(work, changed, rows, repeats, Path(many) / DATABASE),
            _restoring(work, rows, repeats, Path(many) / DATABASE),
        ]


def _saving(work: Workload, changed: int, rows: int, repeats: int, file: Path) -> Result:
    detector, random = with_streams(work, rows), np.random.default_rng(4)
    size = changed * detector.arena.layout.row_bytes
    with closing(SqliteStore(file)) as store:
        detector.arena.mark(np.arange(rows))
        save(detector, store)

        def saved() -> float:
            detector.arena.mark(random.permutation(rows)[:changed])
            return save(detector, store)

        for _ in range(WARM_UP):  # until packs have turned over
            saved()
        seconds, plain = by_turns(repeats, saved, partial(written, file.parent, size))
    name = f"checkpoint_of_{changed}" + (f"_among_{rows}" if rows > changed else "")
    about = "as many bytes written over others in a file, and synced"
    return Result(name, seconds, "s", about, plain)


def _restoring(work: Workload, rows: int, repeats: int, file: Path) -> Result:
    size = rows * work.detector().arena.layout.row_bytes
    path = next(file.parent.glob("*.rows"))
    seconds, plain = by_turns(repeats, partial(restored, work, file), partial(read, path, size))
    return Result(f"restore_of_{rows}", seconds, "s", "as many bytes read", plain)


def save(detector: Detector, store: SqliteStore) -> float:
    """Seconds that a checkpoint of what changed takes."""
    started = time.perf_counter()
    saving = detector.changed()
    store.save(Checkpoint({}, {detector.name: saving.changed}))
    detector.saved(saving)
    return time.perf_counter() - started


def restored(work: Workload, file: Path) -> float:
    """Seconds from opening the store until the memories are back."""
    detector = work.detector()
    started = time.perf_counter()
    with closing(SqliteStore(file)) as store:
        detector.restore(store)
    return time.perf_counter() - started


def written(folder: Path, size: int) -> float:
    """Seconds to write so many bytes over others in a file, durably."""
    with (folder / "plain").open("w+b", buffering=0) as file:
        _fill(file, size)
        started = time.perf_counter()
        _fill(file, size)
        return time.perf_counter() - started


def _fill(file: FileIO, size: int) -> None:
    file.seek(0)
    for _ in range(0, size, len(CHUNK)):
        file.write(CHUNK)
    SYNC(file.fileno())


def read(path: Path, size: int) -> float:
    """Seconds to read so many bytes of a file."""
    buffer, left = bytearray(len(CHUNK)), size
    started = time.perf_counter()
    with path.open("rb", buffering=0) as file:
        while left > 0 and (got := file.readinto(buffer)):
            left -= got
    return time.perf_counter() - started


def cost_of_checkpoints(work: Workload, streams: int, repeats: int) -> Result:
    """Events a second with a checkpoint each five seconds, beside none, all streams changing."""
    often, never = by_turns(
        repeats,
        partial(events_per_second, work, streams, SECONDS_BETWEEN),
        partial(events_per_second, work, streams, NEVER),
    )
    return Result("with_checkpoints_vs_none", often, "events/s", "without checkpoints", never)


def events_per_second(work: Workload, streams: int, interval_seconds: float) -> float:
    """Of a pipeline from records in memory: from the end of one checkpoint to that of another, some
    intervals later; or as long without one."""
    with pipeline_of(work, interval_seconds) as pipeline:
        batches = endless(work, streams)
        for raw in itertools.islice(batches, streams // BATCH + 1):  # every stream is there
            feed(pipeline, raw)
        pipeline.checkpoint()
        last = checkpoints_of(pipeline) + INTERVALS
        events, started = 0, time.perf_counter()
        while checkpoints_of(pipeline) < last:
            raw = next(batches)
            feed(pipeline, raw)
            events += len(raw)
            past = time.perf_counter() - started
            if interval_seconds == NEVER and past > INTERVALS * SECONDS_BETWEEN:
                break
        return events / (time.perf_counter() - started)


def checkpoints_of(pipeline: Pipeline) -> float:
    """How many were saved."""
    return pipeline.metrics.registry.get_sample_value("wakeful_checkpoints_total") or 0.0


@contextmanager
def pipeline_of(
    work: Workload, interval_seconds: float, sinks: Sequence[Sink] = ()
) -> Iterator[Pipeline]:
    """A pipeline with a SQLite store, and without outputs but these."""
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(SqliteStore(Path(folder) / DATABASE)) as store,
    ):
        detector = work.detector()
        pipeline = Pipeline(
            MemorySource([]), [detector], {detector.name: ["bench"]}, store, sinks, Metrics(),
            interval_seconds,
        )  # fmt: skip
        pipeline.restore()
        yield pipeline


def endless(work: Workload, streams: int) -> Iterator[RawBatch]:
    """The same records again and again, as if they were new: events without a time of their own."""
    bodies = [value.partition(b",")[2] for _, value in work.records(streams, streams)]
    keys = [f"stream-{n}".encode() for n in range(streams)]
    values = [b"{" + body for body in bodies]
    parts = [
        RawBatch.of(
            ("bench", 0), np.arange(first, first + len(keys[first : first + BATCH])),
            np.zeros(len(keys[first : first + BATCH])), keys[first : first + BATCH],
            values[first : first + BATCH],
        )
        for first in range(0, streams, BATCH)
    ]  # fmt: skip
    for turn in itertools.count():
        for part in parts:
            yield replace(
                part,
                offsets=part.offsets + turn * streams,
                timestamps=np.full(len(part), 1.75e9 + 10.0 * turn),
            )


def feed(pipeline: Pipeline, raw: RawBatch) -> None:
    """Have it read a batch."""
    pipeline.source = MemorySource([raw])
    pipeline.run_once()
