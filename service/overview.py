"""What there is to say of many streams at once; all of it belongs to the pipeline's thread."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from service.detector import Detector

I64 = npt.NDArray[np.int64]

WEEK_SECONDS = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class Lived:
    """What memories have been through: alarms, the event time that they span, and the newest time
    of an event, by the events' own clocks; None where there was none."""

    alarms: int
    seconds: float
    newest: float | None

    @property
    def alarms_per_stream_week(self) -> float | None:
        """None where they span less than a week together: a single alarm would make a rate."""
        weeks = self.seconds / WEEK_SECONDS
        return self.alarms / weeks if weeks >= 1.0 else None


def lived(detectors: Iterable[Detector]) -> Lived:
    """Of the streams in memory."""
    alarms, seconds, newest = 0, 0.0, -math.inf
    for detector in detectors:
        head, slots = detector.arena.table.head, _scored(detector)
        times = head["time"][slots]  # a field alone: rows are large
        alarms += int(head["alarms"][slots].sum())
        seconds += float(np.maximum(times - head["first_time"][slots], 0.0).sum())
        newest = float(times.max(initial=newest))
    return Lived(alarms, seconds, newest if newest > -math.inf else None)


def loudest(
    detector: Detector, limit: int, prefix: str = "", search: str = ""
) -> list[dict[str, Any]]:
    """Summaries of resident streams, those with the highest present score first."""
    slots = _scored(detector)
    scores = detector.arena.table.head["score"][slots]
    ordered = slots[np.argsort(-scores, kind="stable")]
    found: list[dict[str, Any]] = []
    for name in detector.arena.names.of(ordered):
        if name.startswith(prefix) and search in name.lower():
            row = detector.arena.row(name)
            found += [] if row is None else [detector.summary(name, row)]
        if len(found) == limit:
            break
    return found


def _scored(detector: Detector) -> I64:
    """Slots of streams that have had an event."""
    arena = detector.arena
    slots = np.flatnonzero(arena.names.taken())
    return slots[arena.table.head["scored"][slots] > 0]
