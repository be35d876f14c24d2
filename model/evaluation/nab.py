"""The score of the Numenta Anomaly Benchmark (Lavin and Ahmad 2015), as published results count.

Each window of a stream earns credit for its first alarm, more the earlier that alarm comes; each
alarm outside every window costs, less the closer it follows the window before it; each window
without an alarm costs. Both credit and cost follow one sigmoid of the position relative to the
window: 1 at its first row, 0 past its last, -1 far behind it or before any window. The three are
weighted by a profile. Rows of the probation period count for nothing, nor does a window within it.

A corpus' score is the sum over its streams, placed between the detector that stays silent (0) and
the one that alarms on the first row of every window and nowhere else (100).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.evaluation.intervals import F64, I64, Bools

PROBATION_SHARE = 0.15
PROBATION_ROWS_AT_MOST = 750
STEEPNESS = 5.0  # of the sigmoid
FAR_BEHIND = 3.0  # widths past a window, from where on an alarm costs in full
OUTSIDE = -1


@dataclass(frozen=True, slots=True)
class Profile:
    """What a detected window earns, what a false alarm and a missed window cost at most."""

    detected: float
    false_alarm: float
    missed: float


PROFILES = {
    "standard": Profile(detected=1.0, false_alarm=0.11, missed=1.0),
    "reward_low_FP_rate": Profile(detected=1.0, false_alarm=0.22, missed=1.0),
    "reward_low_FN_rate": Profile(detected=1.0, false_alarm=0.11, missed=2.0),
}

HALVES = 400  # that are drawn


@dataclass(frozen=True, slots=True)
class Chosen:
    """A threshold on the scores, and the corpus' score there, 0 to 100 or less than 0."""

    threshold: float
    score: float


def probation_rows(rows: int) -> int:
    """How many first rows of a stream count for nothing."""
    return min(int(PROBATION_SHARE * rows), PROBATION_ROWS_AT_MOST)


def raw_score(alarms: Bools, windows: I64, profile: Profile) -> float:
    """The score of one stream before it is normalised: alarms (T,), windows (K, 2)."""
    counted = alarms.copy()
    counted[: probation_rows(len(alarms))] = False
    worth = row_worths(len(alarms), windows, profile)
    home = _window_of_rows(len(alarms), windows)
    total = float(worth[counted & (home == OUTSIDE)].sum())
    for k in _counted_windows(len(alarms), windows):
        hits = worth[counted & (home == k)]
        total += float(hits.max()) if len(hits) else -profile.missed
    return total


def corpus_score(
    alarms: Sequence[Bools], windows: Sequence[I64], profile: Profile = PROFILES["standard"]
) -> float:
    """The score of a corpus at most 100: for each stream alarms (T,) and windows (K, 2)."""
    raw = sum(raw_score(a, w, profile) for a, w in zip(alarms, windows, strict=True))
    lengths = [len(one) for one in alarms]
    return _normalised(raw, _window_count(lengths, windows), profile)


def scores_of_halves(
    alarms: Sequence[Bools], windows: Sequence[I64], profile: Profile = PROFILES["standard"]
) -> F64:
    """The scores of HALVES random halves of a corpus, those without any window left out: how much
    of its score is the choice of series."""
    raw = np.array([raw_score(a, w, profile) for a, w in zip(alarms, windows, strict=True)])
    held = np.array(
        [len(_counted_windows(len(a), w)) for a, w in zip(alarms, windows, strict=True)]
    )
    random = np.random.default_rng(0)
    halves = [random.permutation(len(raw))[: (len(raw) + 1) // 2] for _ in range(HALVES)]
    return np.array(
        [
            _normalised(raw[half].sum(), held[half].sum(), profile)
            for half in halves
            if held[half].any()
        ]
    )


def corpus_score_at(
    scores: Sequence[F64],
    windows: Sequence[I64],
    threshold: float,
    profile: Profile = PROFILES["standard"],
) -> float:
    """The score of a corpus at most 100, where rows alarm whose score reaches `threshold`."""
    return corpus_score([one >= threshold for one in scores], windows, profile)


def best_threshold(
    scores: Sequence[F64], windows: Sequence[I64], profile: Profile = PROFILES["standard"]
) -> Chosen:
    """The one threshold that suits a corpus best, chosen with its labels.

    Every score that occurs is tried. Of equals the highest wins: infinity, if silence does.
    """
    parts = [_gains(s, w, profile) for s, w in zip(scores, windows, strict=True)]
    reached = np.concatenate([part[0] for part in parts])
    gained = np.concatenate([part[1] for part in parts])
    order = np.argsort(-reached, kind="stable")
    reached, totals = reached[order], np.cumsum(gained[order])
    last = np.append(reached[1:] != reached[:-1], True)  # rows of one score alarm together
    thresholds = np.concatenate([[np.inf], reached[last]])
    totals = np.concatenate([[0.0], totals[last]])
    count = _window_count([len(one) for one in scores], windows)
    best = int(np.argmax(totals))
    raw = float(totals[best]) - count * profile.missed
    return Chosen(float(thresholds[best]), _normalised(raw, count, profile))


def row_worths(rows: int, windows: I64, profile: Profile) -> F64:
    """(rows,): what an alarm on a row is worth, were it its window's first; below 0 outside."""
    row = np.arange(rows)
    home = _window_of_rows(rows, windows)
    inside = home != OUTSIDE
    before = np.searchsorted(windows[:, 1], row, side="right") - 1  # the window that ended last
    past = np.full(rows, FAR_BEHIND)
    follows = before >= 0
    width = (windows[:, 1] - windows[:, 0])[before[follows]]
    behind = windows[before[follows], 1]
    past[follows] = (row[follows] - behind + 1) / np.maximum(width - 1, 1)
    worth = profile.false_alarm * scaled_sigmoid(past)
    start, stop = windows[home[inside], 0], windows[home[inside], 1]
    position = (row[inside] - stop) / (stop - start)
    worth[inside] = profile.detected * scaled_sigmoid(position) / scaled_sigmoid(np.array(-1.0))
    return worth


def scaled_sigmoid(position: F64) -> F64:
    """From near 1 at -1, a window's first row, through 0 to -1; shape kept."""
    return np.where(position >= FAR_BEHIND, -1.0, np.tanh(-0.5 * STEEPNESS * position))


def _gains(scores: F64, windows: I64, profile: Profile) -> tuple[F64, F64]:
    """Each row behind probation: its score, and what is gained as the threshold sinks to it.

    Before, silence: every window is missed. In a window, a row gains what it is worth above the
    best row that the threshold had reached already.
    """
    rows, first = len(scores), probation_rows(len(scores))
    gains = row_worths(rows, windows, profile)
    for k in _counted_windows(rows, windows):
        row = np.arange(max(windows[k, 0], first), windows[k, 1])
        row = row[np.argsort(-scores[row], kind="stable")]
        best = np.maximum.accumulate(gains[row])
        gains[row] = np.diff(best, prepend=-profile.missed)
    return scores[first:], gains[first:]


def _window_of_rows(rows: int, windows: I64) -> I64:
    """(rows,): the number of the window that a row lies in, or OUTSIDE."""
    home = np.full(rows, OUTSIDE, np.int64)
    for k, (start, stop) in enumerate(windows):
        home[start:stop] = k
    return home


def _counted_windows(rows: int, windows: I64) -> I64:
    """(K',): the windows that do not end within the probation period."""
    return np.flatnonzero(windows[:, 1] > probation_rows(rows))


def _window_count(lengths: list[int], windows: Sequence[I64]) -> int:
    return sum(len(_counted_windows(n, w)) for n, w in zip(lengths, windows, strict=True))


def _normalised(raw: float, windows: int, profile: Profile) -> float:
    """Between the silent detector, 0, and the perfect one, 100; NaN without any window."""
    silent, perfect = -windows * profile.missed, windows * profile.detected
    return 100.0 * (raw - silent) / (perfect - silent) if windows else float("nan")
