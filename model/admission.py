"""Whether an event is new to its stream, and the stream's clock.

An event's time may be behind its stream's newest one by the allowed skew; further behind it is
refused, until so many come in a row that the clock must have been wrong.
"""

import math

import numpy as np
import numpy.typing as npt

from model.compiled import compiled

ADMITTED = 0
REPLAYED = 1  # at or below the offset that the memory has seen: changes nothing
LATE = 2  # further behind the stream's newest time than the allowed skew; not the 10th in a row
REPEATED = 3  # the same time and the same values as the stream's last event

GAP_WEIGHT = 0.02
PACE_CLIP = 20.0  # mean gaps: a longer silence counts as so many
SHORTEST_GAP = 1e-3  # seconds
LATE_RUN = 10  # late events in a row that turn the stream's clock back

F64 = npt.NDArray[np.float64]
Structured = npt.NDArray[np.void]


@compiled
def admit(
    row: np.void,
    features: Structured,
    origin: np.uint64,
    offset: int,
    time: float,
    timed: bool,
    values: F64,
    skew: float,
) -> int:
    """Verdict on one event; its offset is seen from now on. `features`: (F,) of FEATURE."""
    if row["origin"] == origin and offset <= row["offset"]:
        return REPLAYED
    row["origin"] = origin
    row["offset"] = offset
    if row["events"] > 0 and time < row["time"] - skew:
        row["late_run"] += np.uint8(1)
        if row["late_run"] < LATE_RUN:
            return LATE
        row["time"] = time  # so many in a row: the clock was wrong, not the events
        row["first_time"] = min(row["first_time"], time)  # a stream's age is never negative
    row["late_run"] = 0
    if timed and repeats(row, features, time, values):
        return REPEATED
    return ADMITTED


@compiled
def repeats(row: np.void, features: Structured, time: float, values: F64) -> bool:
    """Whether an event is its stream's last one again."""
    if row["events"] == 0 or time != row["last_time"]:
        return False
    for f in range(values.shape[0]):
        was_there = features[f]["event"] == row["events"]
        if was_there == math.isnan(values[f]):
            return False
        if was_there and features[f]["last"] != values[f]:
            return False
    return True


@compiled
def advance_clock(row: np.void, time: float) -> float:
    """Count the event and move the stream's time forward; return the gap in seconds."""
    gap = 0.0
    if row["events"] == 0:
        row["first_time"] = time
        row["time"] = time
    else:
        gap = max(0.0, time - row["time"])
        backlog = time < row["time"] - row["pace"]
        if time < row["time"]:
            row["late"] += np.uint32(1)
        row["time"] = max(row["time"], time)
        if not backlog:  # those are of another time
            follow_gap(row, gap)
    row["last_time"] = time
    row["events"] += np.uint64(1)
    return gap


@compiled
def follow_gap(row: np.void, gap: float) -> None:
    """The usual gap, a geometric mean: what is long once does not count much; and the pace."""
    seconds = max(gap, SHORTEST_GAP)
    weight = max(GAP_WEIGHT, 1.0 / row["events"])
    if row["gap"] == 0.0:
        row["gap"] = seconds
    else:
        row["gap"] = row["gap"] * math.exp(weight * math.log(seconds / row["gap"]))
    follow_pace(row, gap, weight)


@compiled
def follow_pace(row: np.void, gap: float, weight: float) -> None:
    """The arithmetic mean, for a rate: events that share a time share the gap behind them.

    One long silence is no pace; the stream's whole past tells it from the pause between bursts.
    """
    row["waiting"] += np.uint32(1)
    if gap == 0.0:
        return
    mean = gap / row["waiting"]
    if row["pace"] > 0.0:
        overall = (row["time"] - gap - row["first_time"]) / row["events"]
        mean = min(mean, PACE_CLIP * max(row["pace"], overall, SHORTEST_GAP))
        row["pace"] += (1.0 - (1.0 - weight) ** row["waiting"]) * (mean - row["pace"])
    else:
        row["pace"] = mean
    row["waiting"] = 0
