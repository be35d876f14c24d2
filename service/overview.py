"""What there is to say of many streams at once; all of it belongs to the pipeline's thread."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from service.detector import Detector

I64 = npt.NDArray[np.int64]

WEEK_SECONDS = 7 * 86_400.0


def alarms_per_stream_week(detectors: Iterable[Detector]) -> float | None:
    """Alarms of the memories that are here, by the event time that they span, in weeks; None where
    they span none."""
    alarms, seconds = 0, 0.0
    for detector in detectors:
        head, slots = detector.arena.table.head, _scored(detector)
        alarms += int(head["alarms"][slots].sum())  # a field alone: rows are large
        seconds += float(np.maximum(head["time"][slots] - head["first_time"][slots], 0.0).sum())
    return alarms / (seconds / WEEK_SECONDS) if seconds > 0.0 else None


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
