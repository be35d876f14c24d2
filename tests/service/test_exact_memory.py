"""A memory of a million events, stopped and restored at random points."""

import hashlib
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from service.memory.sqlite import SqliteStore
from service.memory.store import memories
from service.records import RawBatch
from tests.base import MEMORIES
from tests.service.parts import events, make_pipeline, raw_batch

STEPS = 1_000_000
STOPS = 25
LONGEST_BATCH = 4000


def values_between(start: int, stop: int) -> list[bytes]:
    """A slowly changing noisy cycle with gaps and spikes; event n is always the same."""
    n = np.arange(start, stop)
    noise = np.sin(n * 12.9898) * 43758.5453 % 1.0
    value = 10 * np.sin(n / (20 + n / STEPS)) + noise + np.where(noise > 0.9995, 30.0, 0.0)
    times = 1.7e9 + 30.0 * n + noise * 20
    return events(
        [{"stream": "s", "time": t, "value": v} for t, v in zip(times, value, strict=True)]
    )


def batches(first: int, seed: int) -> Iterator[RawBatch]:
    """Everything from event `first` on, cut at random."""
    random = np.random.default_rng(seed)
    while first < STEPS:
        stop = min(STEPS, first + int(random.integers(1, LONGEST_BATCH)))
        yield raw_batch(values_between(first, stop), first)
        first = stop


def run(folder: Path, stops: list[int]) -> tuple[bytes, int, str]:
    """Run to the end, stopping near each of `stops`; (the row, anomalies, their digest).

    Half of the stops come between checkpoints, so that events are scored again.
    """
    file = folder / "wakeful.db"
    found: dict[str, str] = {}
    for turn, stop in enumerate([*stops, STEPS]):
        store = SqliteStore(file)
        first = sum(store.positions().values())
        pipeline, collected = make_pipeline([], store)
        pipeline.restore()
        for batch in batches(first, turn):
            if batch.offsets[0] >= stop:
                break
            pipeline.source = type(pipeline.source)([batch])  # type: ignore[call-arg]
            pipeline.run_once()
            if batch.offsets[0] % 7 == 0:
                pipeline.checkpoint()
        if turn % 2 or stop == STEPS:
            pipeline.checkpoint()
        found.update({anomaly["id"]: repr(anomaly) for anomaly in collected.anomalies})
        store.close()
    store = SqliteStore(file)
    (row,) = memories(store, MEMORIES).values()
    store.close()
    digest = hashlib.sha256("".join(found[name] for name in sorted(found)).encode()).hexdigest()
    return row, len(found), digest


def test_a_million_steps_end_in_the_same_bits_however_often_they_were_stopped(
    tmp_path: Path,
) -> None:
    random = np.random.default_rng(5)
    stops = sorted(int(stop) for stop in random.integers(1, STEPS, STOPS))
    folders = [tmp_path / "whole", tmp_path / "stopped"]
    for folder in folders:
        folder.mkdir()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        whole, stopped = pool.map(run, folders, [[], stops])
    assert stopped == whole
    assert whole[1] > 20
