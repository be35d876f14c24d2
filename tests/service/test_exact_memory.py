"""A memory of very many events, stopped and restored at random points."""

import hashlib
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from service.memory.sqlite import SqliteStore
from service.memory.store import memories
from service.records import RawBatch
from tests.base import MEMORIES
from tests.service.parts import events, make_pipeline, raw_batch

SHORT, LONG = 50_000, 1_000_000  # steps
STOPS = 25
LONGEST_BATCH = 4000


def values_between(start: int, stop: int, steps: int) -> list[bytes]:
    """A slowly changing noisy cycle with gaps and spikes; event n is always the same."""
    n = np.arange(start, stop)
    noise = np.sin(n * 12.9898) * 43758.5453 % 1.0
    value = 10 * np.sin(n / (20 + n / steps)) + noise + np.where(noise > 0.9995, 30.0, 0.0)
    times = 1.7e9 + 30.0 * n + noise * 20
    return events(
        [{"stream": "s", "time": t, "value": v} for t, v in zip(times, value, strict=True)]
    )


def batches(first: int, seed: int, steps: int) -> Iterator[RawBatch]:
    """Everything from event `first` on, cut at random."""
    random = np.random.default_rng(seed)
    while first < steps:
        stop = min(steps, first + int(random.integers(1, LONGEST_BATCH)))
        yield raw_batch(values_between(first, stop, steps), first)
        first = stop


def run(folder: Path, stops: list[int], steps: int) -> tuple[bytes, int, str]:
    """Run to the end, stopping near each of `stops`; (the row, anomalies, their digest).

    Half of the stops come between checkpoints, so that events are scored again.
    """
    file = folder / "wakeful.db"
    found: dict[str, str] = {}
    for turn, stop in enumerate([*stops, steps]):
        store = SqliteStore(file)
        first = sum(store.positions().values())
        pipeline, collected = make_pipeline([], store)
        pipeline.restore()
        for batch in batches(first, turn, steps):
            if batch.offsets[0] >= stop:
                break
            pipeline.source = type(pipeline.source)([batch])  # type: ignore[call-arg]
            pipeline.run_once()
            if batch.offsets[0] % 7 == 0:
                pipeline.checkpoint()
        if turn % 2 or stop == steps:
            pipeline.checkpoint()
        found.update({anomaly["id"]: repr(anomaly) for anomaly in collected.anomalies})
        store.close()
    store = SqliteStore(file)
    (row,) = memories(store, MEMORIES).values()
    store.close()
    digest = hashlib.sha256("".join(found[name] for name in sorted(found)).encode()).hexdigest()
    return row, len(found), digest


def test_many_steps_end_in_the_same_bits_however_often_they_were_stopped(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A million in the long form."""
    steps = LONG if request.config.getoption("--long") else SHORT
    random = np.random.default_rng(5)
    stops = sorted(int(stop) for stop in random.integers(1, steps, STOPS))
    folders = [tmp_path / "whole", tmp_path / "stopped"]
    for folder in folders:
        folder.mkdir()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        whole, stopped = pool.map(run, folders, [[], stops], [steps, steps])
    assert stopped == whole
    assert whole[1] > 10
