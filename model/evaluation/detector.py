"""What is compared: detectors that see events without labels, and what they say of each event.

A detector never receives a label, and no threshold of its own is picked with one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from model.evaluation.intervals import F64, I64, Bools
from model.series import Series

LEVEL_WEIGHT = 0.08
"""Of the newest score in a baseline's level: a mean over about 25 events."""


@dataclass(frozen=True, slots=True)
class Events:
    """The events of one series, in the order of their times, as a detector sees them.

    times: (T,) Unix seconds. values: (T, F), NaN where missing. streams: (T,), the number of the
    stream that each event belongs to, from 0. directions: (F,), which deviation counts, by its
    sign; 0 for both. warm_up: how many first events a detector may learn from that must be trained
    where nothing else is there to learn from; one that starts untrained has no use for it.
    """

    name: str
    features: tuple[str, ...]
    times: F64
    values: F64
    streams: I64
    directions: npt.NDArray[np.int8]
    warm_up: int

    def __len__(self) -> int:
        return len(self.times)

    def rows_of_streams(self) -> list[I64]:
        """The rows of each stream, in order."""
        order = np.argsort(self.streams, kind="stable")
        ends = np.flatnonzero(np.diff(self.streams[order])) + 1
        return np.split(order, ends) if len(order) else []


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a detector says of T events, each said before the next one is seen.

    score: (T,), for the moment. level: (T,), smoothed, high throughout a long anomaly.
    anomalous, alarm: (T,), by the detector's own threshold; an alarm is what would wake somebody.
    seconds: processor time that scoring took, training left out. predictor: what the detector chose
    to predict with, where it has a choice.
    """

    score: F64
    level: F64
    anomalous: Bools
    alarm: Bools
    seconds: float
    predictor: str | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """artifact: of the detector `wakeful`, where it is not to choose one itself."""

    artifact: Path | None = None
    seed: int = 0


class Detector(Protocol):
    """Scores series; each of its streams starts fresh.

    `trained_only`: it is not to be asked where there is nothing to train on.
    `promised_per_day`: false alarms that a stream's operator has to expect; NaN if none is said.
    """

    @property
    def name(self) -> str: ...

    @property
    def trained_only(self) -> bool: ...

    @property
    def promised_per_day(self) -> float: ...

    def score(self, series: Sequence[Events], training: Sequence[Series]) -> list[Outputs]:
        """Outputs for each series; what is learned from `training` is learned once, for all."""
        ...
