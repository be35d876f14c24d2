"""Runs of rows: anomalies as intervals."""

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


def intervals_of(flags: Bools) -> I64:
    """(K, 2): first row, and the row behind the last, of each run of True in `flags` (T,)."""
    padded = np.zeros(len(flags) + 2, np.int8)
    padded[1:-1] = flags
    edges = np.flatnonzero(np.diff(padded))
    return edges.reshape(-1, 2).astype(np.int64)


def rows_of(intervals: I64, rows: int) -> Bools:
    """(rows,): True within an interval; the inverse of `intervals_of`."""
    steps = np.zeros(rows + 1, np.int64)
    np.add.at(steps, intervals[:, 0], 1)
    np.add.at(steps, intervals[:, 1], -1)
    return steps[:-1].cumsum() > 0


def sums_within(intervals: I64, amounts: F64) -> F64:
    """(K,): the sum of `amounts` (T,) over each interval's rows."""
    before = np.concatenate([[0.0], np.cumsum(amounts)])
    return before[intervals[:, 1]] - before[intervals[:, 0]]
