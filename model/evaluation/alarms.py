"""What an operator notices of alarms: how late they come, and how many come for nothing.

Times are Unix seconds, not falling. An interval is a run of anomalous rows.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from model.evaluation.intervals import F64, I64, Bools, rows_of

DAY = 86400.0  # seconds


@dataclass(frozen=True, slots=True)
class Delays:
    """From each interval's start to the first alarm within it, (K,); NaN where none is."""

    rows: F64
    seconds: F64

    @property
    def share_detected(self) -> float:
        """The share of intervals that hold an alarm; NaN if there is no interval."""
        return float(np.mean(~np.isnan(self.rows))) if len(self.rows) else math.nan


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """Alarms outside every interval, and the normal time in which they could have been raised."""

    count: int
    normal_days: float
    promised_per_day: float  # NaN if no rate was promised

    @property
    def per_day(self) -> float:
        """The rate that was kept; NaN if there was no normal time."""
        return self.count / self.normal_days if self.normal_days > 0.0 else math.nan


def detection_delays(times: F64, alarms: Bools, intervals: I64) -> Delays:
    """times (T,), alarms (T,), intervals (K, 2): first row and the row behind the last."""
    rows = np.full(len(intervals), np.nan)
    seconds = np.full(len(intervals), np.nan)
    for k, (start, stop) in enumerate(intervals):
        hits = np.flatnonzero(alarms[start:stop])
        if len(hits):
            rows[k] = hits[0]
            seconds[k] = times[start + hits[0]] - times[start]
    return Delays(rows, seconds)


def false_alarms(
    times: F64,
    alarms: Bools,
    intervals: I64,
    *,
    margin_seconds: float = 0.0,
    promised_per_day: float = math.nan,
) -> FalseAlarms:
    """Count the alarms outside every interval; `margin_seconds` after one's end excuse them too.

    A row stands for the time until the next, the last for the median of those times. What the
    excused rows stand for is no normal time.
    """
    normal = ~_excused(times, intervals, margin_seconds)
    days = float(_durations(times)[normal].sum()) / DAY
    return FalseAlarms(int(np.sum(alarms & normal)), days, promised_per_day)


def pooled(parts: Iterable[FalseAlarms]) -> FalseAlarms:
    """Several streams as one; what was promised for each is kept, weighted by normal time."""
    given = list(parts)
    days = sum(part.normal_days for part in given)
    promised = sum(part.promised_per_day * part.normal_days for part in given)
    count = sum(part.count for part in given)
    return FalseAlarms(count, days, promised / days if days > 0.0 else math.nan)


def _excused(times: F64, intervals: I64, margin_seconds: float) -> Bools:
    """(T,): True within an interval, and for less than the margin after its last row."""
    last = times[intervals[:, 1] - 1]
    behind = np.searchsorted(times, last + margin_seconds, side="left")
    stretched = np.column_stack([intervals[:, 0], np.maximum(behind, intervals[:, 1])])
    return rows_of(stretched, len(times))


def _durations(times: F64) -> F64:
    """(T,) seconds."""
    gaps = np.diff(times)
    return np.append(gaps, np.median(gaps)) if len(gaps) else np.zeros(len(times))
