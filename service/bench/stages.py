"""In-process: where the microseconds go, and what a million streams change."""

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from model.row import RowTable
from service.bench.result import Result, by_turns, rate
from service.bench.workload import Workload
from service.detector import Detector
from service.records import Names, RawBatch

BATCH = 1024
THOUSAND, MILLION = 1_000, 1_000_000
MIB = 2**20


def cost_of_stages(work: Workload, events: int, repeats: int) -> list[Result]:
    """Microseconds an event of each stage between the socket and the score."""
    detector = work.detector()
    batches = work.batches(events, THOUSAND, BATCH)
    _run(detector, batches)
    decoded = [detector.decode(raw) for raw in batches]

    def decode() -> None:
        for raw in batches:
            detector.decode(raw)

    def find() -> None:
        for one in decoded:
            detector.arena.slots_of(one.events.streams)

    taken = by_turns(repeats, partial(_micros, events, decode), partial(_micros, events, find))
    whole = by_turns(repeats, lambda: _fresh_rate(work, batches, events))
    names = (f"{work.name}_decode", f"{work.name}_slots", f"{work.name}_all_stages")
    return [
        Result(name, value, "µs/event")
        for name, value in zip(names, [*taken, 1e6 / whole[0]], strict=True)
    ]


def _micros(events: int, run: Callable[[], None]) -> float:
    return 1e6 / rate(events, run)


def _fresh_rate(work: Workload, batches: list[RawBatch], events: int) -> float:
    detector = work.detector()
    detector.warm_up()
    return rate(events, lambda: _run(detector, batches))


def _run(detector: Detector, batches: list[RawBatch]) -> None:
    for raw in batches:
        detector.process(raw)


def million_vs_thousand(work: Workload, events: int, repeats: int, most: int = MILLION) -> Result:
    """Events a second from records in memory, at random over a million streams that have memories,
    and over a thousand."""
    detectors = {streams: with_streams(work, streams) for streams in (THOUSAND, most)}
    random = np.random.default_rng(2)
    records = list(work.records(events, THOUSAND))
    offset = 0

    def measured(streams: int) -> float:
        nonlocal offset
        drawn = random.integers(0, streams, events)
        keys = [f"stream-{n}".encode() for n in drawn.tolist()]
        values = [value for _, value in records]
        batches = [
            RawBatch.of(
                ("bench", 0),
                offset + np.arange(first, first + len(keys[first : first + BATCH])),
                np.full(len(keys[first : first + BATCH]), 1.75e9),
                keys[first : first + BATCH],
                values[first : first + BATCH],
            )
            for first in range(0, events, BATCH)
        ]
        offset += events
        return rate(events, lambda: _run(detectors[streams], batches))

    few, many = by_turns(repeats, partial(measured, THOUSAND), partial(measured, most))
    name = "million_vs_thousand_streams" if most == MILLION else f"{most}_vs_thousand_streams"
    return Result(name, many, "events/s", "the same over a thousand streams", few)


def memory_of_streams(work: Workload, streams: int = MILLION) -> Result:
    """MiB of memory that a process takes for so many streams, beside their rows alone."""
    before = resident_bytes()
    detector = with_streams(work, streams)
    taken = resident_bytes() - before
    rows = streams * detector.arena.layout.row_bytes
    return Result("memory_of_streams", taken / MIB, "MiB", "the rows alone", rows / MIB)


def resident_bytes() -> int:
    """Of this process, as Linux counts it."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def with_streams(work: Workload, streams: int) -> Detector:
    """A detector that knows so many streams already."""
    detector = work.detector()
    detector.warm_up()
    for first in range(0, streams, 100_000):
        some = range(first, min(first + 100_000, streams))
        detector.arena.slots_of(Names.of([f"stream-{n}" for n in some]))
    return detector


def step_vs_gemm_peak(work: Workload, repeats: int, rows: int = MILLION) -> Result:
    """GFLOP/s of the network's step with its gather and scatter, over the rows of a million
    streams; against the largest product of matrices on the same thread."""
    detector = work.detector()
    artifact = detector.artifact
    layout = artifact.layout(len(work.features))
    table = RowTable.zeros(layout, rows)
    random = np.random.default_rng(3)
    inputs = random.normal(size=(BATCH, artifact.config.inputs)).astype(np.float32)
    turns = 64
    chosen = [random.choice(rows, BATCH, replace=False) for _ in range(turns)]
    flops = 2.0 * multiplications(detector) * BATCH * turns

    def step() -> float:
        started = time.perf_counter()
        for slots in chosen:
            _, table.states[slots, 0, 0] = artifact.step(inputs, table.states[slots, 0, 0])
        return flops / (time.perf_counter() - started) / 1e9

    step()
    ours, peak = by_turns(repeats, step, gemm_peak)
    return Result("step_vs_gemm_peak", ours, "GFLOP/s", "a product of 1024² matrices", peak)


def gemm_peak() -> float:
    """GFLOP/s of a product of two square matrices, one thread."""
    size = 1024
    a = np.ones((size, size), np.float32)
    a @ a
    started = time.perf_counter()
    for _ in range(8):
        a @ a
    return 8 * 2.0 * size**3 / (time.perf_counter() - started) / 1e9


def multiplications(detector: Detector) -> int:
    """Of one step of the network: the sizes of its matrices."""
    config = detector.artifact.config
    encoder = 4 * config.hidden * (config.embedded_inputs + config.hidden)
    decoder = 4 * config.decoder_hidden * (config.bottleneck + config.decoder_hidden)
    heads = config.outputs * (config.decoder_hidden + config.hidden + config.embedded_inputs)
    return encoder + config.hidden * config.bottleneck + decoder + heads
