"""What a change of the artifact costs whoever is on call: alarms after it, beside those before."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from service.bench.result import Result
from service.bench.workload import START
from service.bootstrap import build_detectors
from service.errors import StateError
from service.records import RawBatch
from service.settings.detector import DetectorSettings
from service.settings.limits import LimitSettings
from service.upgrade import told

STEP_SECONDS = 900.0
WEEK = round(7 * 86_400 / STEP_SECONDS)  # steps


def alarms_after_a_change(streams: int) -> list[Result]:
    """A week of the artifact that ships after a week of its own, then a week with `compact` put in
    its place, then a week of the way back; StateError where an event is not told of once."""
    there = DetectorSettings(artifact=Path("compact"), replaces=Path("base"), features=["value"])
    new, old = build_detectors({"default": there}, LimitSettings())
    batches = _batches(streams)
    rates = []
    for scoring in ([old], [old], [new, old], [old, new]):
        alarms = events = 0
        for raw in (next(batches) for _ in range(WEEK)):
            for part in told([(detector, detector.process(raw)) for detector in scoring]):
                alarms += int(part.delivery.scored.scores["alarm"].sum())
                events += len(part.delivery.scored)
        if events != WEEK * streams:
            raise StateError(f"{WEEK * streams - events} events were not told of, or twice")
        rates.append(alarms / streams)
    names, unit = ("upgrade_alarms", "way_back_alarms"), "a stream, a week"
    return [
        Result(name, rate, unit, "the week before the change", rates[1])
        for name, rate in zip(names, rates[2:], strict=True)
    ]


def _batches(streams: int) -> Iterator[RawBatch]:
    """An event of every stream, a quarter of an hour after the last one: a day's cycle of its own,
    noise that lingers, and a spike now and then."""
    random = np.random.default_rng(6)
    phases, lingering = random.uniform(0.0, 1.0, streams), random.uniform(0.0, 0.9, streams)
    swings, noise = random.uniform(0.0, 3.0, streams), np.zeros(streams)
    keys = [f"stream-{n}".encode() for n in range(streams)]
    step = 0
    while True:
        time = START + STEP_SECONDS * step
        noise = lingering * noise + random.normal(size=streams) * np.sqrt(1.0 - lingering**2)
        spikes = 10.0 * (random.random(streams) < 1.0 / 3000.0)
        values = swings * np.sin(2.0 * np.pi * (time / 86_400.0 + phases)) + noise + spikes
        records = [
            msgspec.json.encode({"time": time, "value": value})
            for value in values.round(4).tolist()
        ]
        offsets = np.arange(step * streams, (step + 1) * streams)
        yield RawBatch.of(("bench", 0), offsets, np.full(streams, time), keys, records)
        step += 1
