"""Times of a stream's past that were like its newest ones, whatever their scale and level.

Windows are held against each other by the distance of their z-normalised values, as a matrix
profile is made of (Yeh et al. 2016, Matrix Profile I: All Pairs Similarity Joins for Time Series,
ICDM); for one window each distance is taken as it is defined.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FLAT = 1e-9  # of its largest value: a window that moves less does not move

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Like:
    """A window: where it starts, and its distance, from 0 (the same form) over 1.41 (nothing in
    common) to 2 (upside down)."""

    start: int
    distance: float


def most_alike(values: F64, length: int, most: int, furthest: float) -> list[Like]:
    """Windows of so many values (n,) that are most like the last one, the nearest first; no two of
    them, nor one of them and the last, have a value in common."""
    last = len(values) - length
    if last < length:
        return []
    windows = _normalised(np.lib.stride_tricks.sliding_window_view(values, length))
    distances = np.sqrt(np.mean((windows - windows[last]) ** 2, axis=1))
    distances[last - length + 1 :] = np.inf
    found: list[Like] = []
    while len(found) < most:
        nearest = int(np.argmin(distances))
        if not distances[nearest] <= furthest:
            break
        found.append(Like(nearest, float(distances[nearest])))
        distances[max(0, nearest - length + 1) : nearest + length] = np.inf
    return found


def _normalised(windows: F64) -> F64:
    """Each of mean 0 and standard deviation 1; all 0 where it does not move."""
    size = np.abs(windows).max(axis=1, keepdims=True)
    scaled = windows / np.where(size > 0.0, size, 1.0)
    centred = scaled - scaled.mean(axis=1, keepdims=True)
    spread = centred.std(axis=1, keepdims=True)
    return np.where(spread > FLAT, centred / np.maximum(spread, FLAT), 0.0)
