"""What is measured: artifacts, streams of events, detectors."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from model.artifact import BASE
from service.bootstrap import build_detector
from service.detector import Detector
from service.errors import WakefulError
from service.records import RawBatch
from service.settings.detector import DetectorSettings
from service.settings.limits import LimitSettings

FEATURES = tuple(f"sensor_{n}" for n in range(8))
HIDDEN = 64
UPDATES = 40  # what weights it has changes nothing of how long a step takes
TRAINING_EVENTS = 4000
START = 1_750_000_000.0

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Workload:
    """Events of F features in many streams, for an artifact."""

    name: str
    artifact: Path
    features: tuple[str, ...]

    def detector(self) -> Detector:
        settings = DetectorSettings(artifact=self.artifact, features=list(self.features))
        return build_detector("default", settings, LimitSettings())

    def records(self, events: int, streams: int) -> Iterator[tuple[bytes, bytes]]:
        """(key, value) of so many events; the streams take turns."""
        turns = np.arange(events) // streams
        values = values_of(turns, len(self.features)).round(4).tolist()
        for n, row in enumerate(values):
            time = START + 10.0 * (n // streams)
            body = {"time": time, **dict(zip(self.features, row, strict=True))}
            yield f"stream-{n % streams}".encode(), json.dumps(body).encode()

    def batches(self, events: int, streams: int, size: int) -> list[RawBatch]:
        """The same in memory, in batches."""
        keys, values = zip(*self.records(events, streams), strict=True)
        return [
            RawBatch.of(
                ("bench", 0),
                np.arange(first, min(first + size, events)),
                np.full(min(size, events - first), START),
                keys[first : first + size],
                values[first : first + size],
            )
            for first in range(0, events, size)
        ]


def values_of(turns: I64, features: int) -> F64:
    """(n, features), of streams' events by their places (n,) in their streams: a slow swing that
    the features share, and noise."""
    random = np.random.default_rng(1)
    swing = 10.0 * np.sin(turns / 300.0)[:, None]
    shares = np.linspace(0.2, 1.0, features)
    return np.asarray(
        100.0 + swing * shares + random.normal(size=(len(turns), features)), np.float64
    )


def base() -> Workload:
    """The artifact that ships, on one feature."""
    return Workload("base", BASE, ("value",))


def joint(folder: Path) -> Workload:
    """An LSTM of 64 hidden units, trained on eight features together."""
    try:
        from model.series import Series  # noqa: PLC0415 - torch is an extra
        from model.trainer import train_artifact  # noqa: PLC0415
        from model.training import TrainingSettings  # noqa: PLC0415
    except ImportError as error:
        raise WakefulError(
            "to measure a trained artifact one is trained: .venv/bin/pip install -e '.[train]'"
        ) from error
    times = np.asarray(START + 10.0 * np.arange(TRAINING_EVENTS), np.float64)
    series = Series("training", times, values_of(np.arange(TRAINING_EVENTS), len(FEATURES)))
    settings = TrainingSettings(updates=UPDATES)
    train_artifact([series], FEATURES, folder, settings, "lstm", HIDDEN)
    return Workload("joint", folder, FEATURES)
