"""What it costs to keep what every stream was like."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from service.bench.checkpoints import NEVER, feed, pipeline_of
from service.bench.result import Result, by_turns
from service.bench.stages import BATCH
from service.bench.workload import Workload
from service.blocks.history import HEAD_VALUES, StreamHistory
from service.records import RawBatch

ROOM = 2**40  # nothing is thinned
FLUSH_SECONDS = 0.5
HEADS = 5  # that become blocks; the last one when there is nothing else to do


def cost_of_history(work: Workload, streams: int, repeats: int) -> list[Result]:
    """Events a second, decoded and scored, with what streams were like written to disk, until the
    last block is written; beside none kept. And bytes on the disk for each value."""
    events = HEADS * HEAD_VALUES // len(work.features)
    batches = work.batches(events, streams, BATCH)
    sizes: list[float] = []

    def kept() -> float:
        with tempfile.TemporaryDirectory() as folder:
            history = StreamHistory(Path(folder), ["default"], ROOM, NEVER)
            result = _events_per_second(work, batches, history)
            sizes.append(sum(file.stat().st_size for file in Path(folder).rglob("*.block")))
        return result

    often, never = by_turns(repeats, kept, lambda: _events_per_second(work, batches))
    values = events * len(work.features)
    name = f"{work.name}: {streams:,} streams"
    return [
        Result(f"with_history_vs_none_{work.name}", often, "events/s", "without history", never),
        Result(f"history_bytes_{work.name}", float(np.median(sizes)) / values, "B/value", name),
    ]


def _events_per_second(
    work: Workload, batches: Sequence[RawBatch], history: StreamHistory | None = None
) -> float:
    with pipeline_of(work, NEVER, [history] if history else []) as pipeline:
        started = flushed = time.perf_counter()
        for raw in batches:
            feed(pipeline, raw)
            if history and time.perf_counter() > flushed + FLUSH_SECONDS:
                history.flush()
                flushed = time.perf_counter()
        if history:
            history.finish()
        return sum(map(len, batches)) / (time.perf_counter() - started)
