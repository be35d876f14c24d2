"""Small real parts for tests: a pipeline over records in memory, batches of JSON."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from service.bootstrap import build_detectors
from service.decoding.json import Unpack
from service.memory.store import InMemoryStore, StateStore
from service.mutes import Mutes
from service.pipeline import Pipeline
from service.records import Delivery, RawBatch
from service.settings.detector import DetectorSettings
from service.settings.limits import LimitSettings
from service.sources.memory import MemorySource
from service.telemetry.metrics import Metrics

STORED = 1.75e9
"""Unix seconds stored with the records of tests."""


def raw_batch(
    values: Sequence[bytes | None],
    first_offset: int = 0,
    keys: Sequence[bytes | None] | None = None,
    topic: str = "events",
    stored: float = STORED,
) -> RawBatch:
    n = len(values)
    return RawBatch.of(
        partition=(topic, 0),
        offsets=np.arange(first_offset, first_offset + n),
        timestamps=np.full(n, stored),
        keys=list(keys) if keys else [None] * n,
        values=list(values),
    )


def events(rows: Sequence[dict[str, Any]]) -> list[bytes]:
    return [json.dumps(row).encode() for row in rows]


def wave(
    n: int, stream: str = "s", start: float = 1.7e9, spikes: Sequence[int] = ()
) -> list[bytes]:
    """A noisy sine of one stream, a value a minute."""
    random = np.random.default_rng(n)
    values = 10 * np.sin(np.arange(n) / 9) + random.normal(0, 0.4, n)
    values[list(spikes)] += 40.0
    return events(
        [{"stream": stream, "time": start + 60 * i, "value": v} for i, v in enumerate(values)]
    )


@dataclass
class Collected:
    """A sink that keeps what it was given."""

    deliveries: list[Delivery] = field(default_factory=list)

    def deliver(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)

    def flush(self, wait: bool = True) -> None:
        pass

    def close(self) -> None:
        pass

    @property
    def anomalies(self) -> list[dict[str, Any]]:
        return [dict(anomaly) for one in self.deliveries for anomaly in one.anomalies]

    @property
    def reasons(self) -> list[str]:
        return [letter.reason for one in self.deliveries for letter in one.dead_letters]

    @property
    def scored_offsets(self) -> set[int]:
        return {int(offset) for one in self.deliveries for offset in one.scored.offsets}

    @property
    def rejected_offsets(self) -> set[int]:
        return {letter.offset for one in self.deliveries for letter in one.dead_letters}

    @property
    def scored(self) -> int:
        return sum(len(one.scored) for one in self.deliveries)


def make_pipeline(
    batches: Sequence[RawBatch],
    store: StateStore | None = None,
    settings: DetectorSettings | None = None,
    interval_seconds: float = 3600.0,
    limits: LimitSettings | None = None,
    mutes: Mutes | None = None,
    unpack: Unpack | None = None,
) -> tuple[Pipeline, Collected]:
    collected = Collected()
    detectors = build_detectors(
        {"default": settings or DetectorSettings()}, limits or LimitSettings(), mutes, unpack
    )
    pipeline = Pipeline(
        MemorySource(batches),
        detectors,
        {"default": ["events"]},
        store if store is not None else InMemoryStore(),
        [collected],
        Metrics(),
        interval_seconds,
        mutes=mutes,
    )
    return pipeline, collected
