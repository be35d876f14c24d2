"""Whether the highest score falls on the anomaly: how the UCR Anomaly Archive is scored.

Its series hold one anomaly each (Wu and Keogh 2021). The accuracy on the archive is the share of
its series whose peak is found.
"""

import numpy as np

from model.evaluation.intervals import F64, Bools, intervals_of

MARGIN_ROWS = 100


def peak_found(scores: F64, labels: Bools, test: Bools, margin_rows: int = MARGIN_ROWS) -> bool:
    """The highest score of the test rows lies at most `margin_rows` outside an anomaly.

    scores, labels, test: (T,). Of equal peaks the first counts.
    """
    rows = np.flatnonzero(test)
    peak = int(rows[np.argmax(scores[rows])])
    anomalies = intervals_of(labels)
    near = (peak >= anomalies[:, 0] - margin_rows) & (peak < anomalies[:, 1] + margin_rows)
    return bool(near.any())


def peak_accuracy(found: list[bool]) -> float:
    """The share of series whose peak was found; NaN of none."""
    return sum(found) / len(found) if found else float("nan")
