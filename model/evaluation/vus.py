"""Volume under the surface (Paparrizos et al. 2022): ranking quality that forgives small shifts.

Labels get a soft margin: a row d rows outside an anomaly, at most half a window w away, counts
sqrt(1 - d / w). For each w from 0 to the window, precision, recall and false-positive rate are
taken against the soft labels at thresholds spread evenly over the ranked scores; recall is
multiplied by the share of anomalies, with their margins, that hold any alarm. The volume is the
mean, over w, of the area under the curve.

This is the variant that the TSB-AD benchmark reports (Liu and Paparrizos 2024), with its way to
find the window. With a window of 0 it is not exactly the average precision: thresholds are sampled.
"""

from dataclasses import dataclass

import numpy as np

from model.evaluation.intervals import F64, I64, Bools, intervals_of

THRESHOLDS = 250
LAGS = 400
LAGS_SKIPPED = 3  # the shortest lags always correlate
LAG_OFFSET_LIMITS = (3, 300)
LENGTH_LIMIT = 20000  # rows that the window is found from
FALLBACK_WINDOW = 125


@dataclass(frozen=True, slots=True)
class Volumes:
    """VUS-PR and VUS-ROC."""

    precision_recall: float
    roc: float


@dataclass(frozen=True, slots=True)
class Levels:
    """Thresholds, highest first.

    reached: (T,), the first threshold that a row's score reaches. alarms: (J,), how many rows alarm
    at each.
    """

    reached: I64
    alarms: F64


def volumes(scores: F64, labels: Bools, window: int, thresholds: int = THRESHOLDS) -> Volumes:
    """Scores (T,) against labels (T,); `window` in rows. NaN unless both kinds of row occur."""
    if labels.all() or not labels.any():
        return Volumes(float("nan"), float("nan"))
    anomalies = intervals_of(labels)
    levels = _levels(scores, thresholds)
    areas = [_areas(labels, anomalies, levels, width) for width in range(window + 1)]
    precision_recall, roc = np.mean(areas, axis=0)
    return Volumes(float(precision_recall), float(roc))


def vus_pr(scores: F64, labels: Bools, window: int, thresholds: int = THRESHOLDS) -> float:
    """The volume under the precision-recall surface alone."""
    return volumes(scores, labels, window, thresholds).precision_recall


def sliding_window(values: F64) -> int:
    """The window in rows that fits a series (T,): the lag, up to 400, where it repeats itself best.

    Of several features, TSB-AD takes the first. Without a clear lag, 125.
    """
    correlation = _autocorrelation(values[:LENGTH_LIMIT])[LAGS_SKIPPED : LAGS + 1]
    inner = correlation[1:-1]
    peaks = np.flatnonzero((inner > correlation[:-2]) & (inner > correlation[2:])) + 1
    if len(peaks) == 0:
        return FALLBACK_WINDOW
    best = int(peaks[np.argmax(correlation[peaks])])
    low, high = LAG_OFFSET_LIMITS
    return best + LAGS_SKIPPED if low <= best <= high else FALLBACK_WINDOW


def _autocorrelation(values: F64) -> F64:
    """(T,), at lags 0 to T - 1, of the centred values; NaN for a constant."""
    centred = values - values.mean()
    spectrum = np.fft.rfft(centred, 2 * len(values))
    covariance = np.fft.irfft(spectrum * spectrum.conj())[: len(values)]
    if np.ptp(values) == 0.0:
        return np.full(len(values), np.nan)
    return covariance / covariance[0]


def _levels(scores: F64, thresholds: int) -> Levels:
    falling = -np.sort(-scores)
    chosen = falling[np.linspace(0, len(scores) - 1, thresholds).astype(np.int64)]
    reached = np.searchsorted(-chosen, -scores, side="left")
    alarms = np.cumsum(np.bincount(reached, minlength=thresholds)).astype(np.float64)
    return Levels(reached, alarms)


def _areas(labels: Bools, anomalies: I64, levels: Levels, width: int) -> tuple[float, float]:
    """The areas under the precision-recall and the ROC curve with margins of one width."""
    rows, count = len(labels), len(levels.alarms)
    soft = _soft_labels(labels, anomalies, width)
    true = _alarmed(levels.reached, soft, count)
    certain = _alarmed(levels.reached, labels.astype(np.float64), count)
    # Positives: halfway between the labelled rows and those with the margin that alarms lie in.
    positives = labels.sum() + 0.5 * (true - certain)
    recall = np.minimum(true / positives, 1.0) * _existence(anomalies, levels, rows, width)
    false_rate = (levels.alarms - true) / (rows - positives)
    precision = true / levels.alarms
    precision_recall = np.dot(np.diff(recall, prepend=0.0), precision)
    roc = np.trapezoid(
        np.concatenate([[0.0], recall, [1.0]]), np.concatenate([[0.0], false_rate, [1.0]])
    )
    return float(precision_recall), float(roc)


def _alarmed(reached: I64, weights: F64, thresholds: int) -> F64:
    """(J,): the sum of the weights (T,) of the rows that alarm at each threshold."""
    near = np.flatnonzero(weights)
    return np.cumsum(np.bincount(reached[near], weights[near], minlength=thresholds))


def _soft_labels(labels: Bools, anomalies: I64, width: int) -> F64:
    """(T,): 1 within an anomaly; in the margins, which add up, up to 1."""
    soft = labels.astype(np.float64)
    distance = np.arange(1, width // 2 + 1)
    if len(distance) == 0:
        return soft
    before = anomalies[:, :1] - distance  # (K, D)
    behind = anomalies[:, 1:] - 1 + distance
    near = np.concatenate([before, behind])
    weights = np.broadcast_to(np.sqrt(1.0 - distance / width), near.shape)
    present = (near >= 0) & (near < len(labels))
    soft += np.bincount(near[present], weights[present], minlength=len(labels))
    return np.minimum(soft, 1.0)


def _existence(anomalies: I64, levels: Levels, rows: int, width: int) -> F64:
    """(J,): the share of anomalies that hold an alarm; those whose margins touch are one."""
    margin = width // 2
    start = np.maximum(anomalies[:, 0] - margin, 0)
    stop = np.minimum(anomalies[:, 1] + margin, rows)
    apart = anomalies[1:, 0] - margin > anomalies[:-1, 1] - 1 + margin
    start, stop = start[np.append(True, apart)], stop[np.append(apart, True)]
    ends = np.column_stack([start, stop]).ravel()
    padded = np.append(levels.reached, len(levels.alarms))  # a stop may lie behind the last row
    first = np.minimum.reduceat(padded, ends)[::2]
    return np.cumsum(np.bincount(first, minlength=len(levels.alarms))) / len(start)
