"""What it costs to keep memories: checkpoints of many rows, and taking them back."""

import itertools
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from service.bench.result import Result, by_turns
from service.bench.stages import BATCH, with_streams
from service.bench.workload import Workload
from service.detector import Detector
from service.memory.sqlite import SqliteStore
from service.memory.store import Checkpoint
from service.pipeline import Pipeline
from service.records import RawBatch
from service.sources.memory import MemorySource
from service.telemetry.metrics import Metrics

SECONDS_BETWEEN = 5.0  # checkpoints, as by default
TURNS_BETWEEN = 2  # so many intervals are measured
NEVER = 1e9  # seconds


def saving_and_restoring(work: Workload, changed: int, rows: int, repeats: int) -> list[Result]:
    """Seconds to checkpoint so many changed rows in SQLite, and to take so many rows back."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "wakeful.db"
        return [
            _saving(work, changed, rows, repeats, file),
            _restoring(work, rows, repeats, file),
        ]


def _saving(work: Workload, changed: int, rows: int, repeats: int, file: Path) -> Result:
    detector, slots = with_streams(work, rows), np.arange(changed)
    size = changed * detector.arena.layout.row_bytes
    with closing(SqliteStore(file)) as store:
        detector.arena.mark_all()
        save(detector, store)

        def saved() -> float:
            detector.arena.mark(slots)
            return save(detector, store)

        seconds, plain = by_turns(repeats, saved, partial(written, file.parent, size))
    about = "as many bytes written to a file and synced"
    return Result(f"checkpoint_of_{changed}", seconds, "s", about, plain)


def _restoring(work: Workload, rows: int, repeats: int, file: Path) -> Result:
    with closing(SqliteStore(file)) as store:
        seconds, plain = by_turns(
            repeats, partial(restored, work, store), partial(read, file.parent)
        )
    return Result(f"restore_of_{rows}", seconds, "s", "the files' bytes read", plain)


def save(detector: Detector, store: SqliteStore) -> float:
    """Seconds that a checkpoint of what changed takes."""
    started = time.perf_counter()
    saving = detector.changed()
    store.save(Checkpoint({}, {detector.name: saving.changed}))
    detector.saved(saving)
    return time.perf_counter() - started


def restored(work: Workload, store: SqliteStore) -> float:
    """Seconds until the memories are back."""
    detector = work.detector()
    started = time.perf_counter()
    detector.restore(store)
    return time.perf_counter() - started


def written(folder: Path, size: int) -> float:
    """Seconds to write so many bytes over a file of the same size, durably."""
    chunk = bytes(1 << 18)
    file = os.open(folder / "plain", os.O_RDWR | os.O_CREAT)
    try:
        os.posix_fallocate(file, 0, size)
        started = time.perf_counter()
        for offset in range(0, size, len(chunk)):
            os.pwrite(file, chunk, offset)
        os.fdatasync(file)
        return time.perf_counter() - started
    finally:
        os.close(file)


def read(folder: Path) -> float:
    """Seconds to read the files of rows."""
    buffer = bytearray(1 << 18)
    started = time.perf_counter()
    for path in folder.glob("*.rows"):
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
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
    """Of a pipeline from records in memory, over some intervals."""
    with pipeline_of(work, interval_seconds) as pipeline:
        batches = endless(work, streams)
        for raw in itertools.islice(batches, streams // BATCH + 1):  # every stream is there
            _feed(pipeline, raw)
        pipeline.checkpoint()
        events, started = 0, time.perf_counter()
        while time.perf_counter() - started < TURNS_BETWEEN * SECONDS_BETWEEN:
            raw = next(batches)
            _feed(pipeline, raw)
            events += len(raw)
        return events / (time.perf_counter() - started)


@contextmanager
def pipeline_of(work: Workload, interval_seconds: float) -> Iterator[Pipeline]:
    """A pipeline with a SQLite store and no outputs."""
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(SqliteStore(Path(folder) / "wakeful.db")) as store,
    ):
        detector = work.detector()
        pipeline = Pipeline(
            MemorySource([]), [detector], {detector.name: ["bench"]}, store, [], Metrics(),
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


def _feed(pipeline: Pipeline, raw: RawBatch) -> None:
    pipeline.source = MemorySource([raw])
    pipeline.run_once()
