"""What a person said of a stream's anomalies, as one number of its memory: its tolerance.

- "This was no anomaly": from then on an event alarms by itself only where its score is more than
  TWICE that of what was marked. The third anomalous event alarms as before, where each came less
  than SOON events after the one before it: what comes once is what people call a false alarm, what
  comes again is not. An event that is anomalous for what was known already, as the events within
  one step of a coarse view are, does not count again.
- "You missed one": the stream's threshold is lowered so that the same event would pass it. Where
  the event did pass it, and was tolerated, the stream tolerates less again.

Scores are those that events would have without any feedback. All of it is a function of what was
said, in its order: what is taken back leaves no trace.
"""

import math
from collections.abc import Iterable
from typing import Literal, NamedTuple

import numpy as np

from model.compiled import inlined
from model.elementary import LN2, exp

Kind = Literal["false", "missed"]

TWICE = 2.0
TOGETHER = 3  # anomalous events, of which the last alarms as if nothing was said
SOON = 200  # events, within which each of those follows the one before
PER_OCTAVE = 8.0  # steps of a score that is tolerated
FINER = 32.0  # steps of a threshold that is lowered
MOST = 127  # steps: 2^15.75 times the threshold, or a sixteenth of it
SURELY_EASED = 0.95  # of a threshold: it moves by itself a little, with the stream's pace
SURELY = 0.98  # of a score that was missed: it is kept to 2 %


class Said(NamedTuple):
    """Of an event with this score."""

    kind: Kind
    score: float


def tolerance_of(said: Iterable[Said]) -> int:
    """-MOST to MOST, 0 where nothing was said."""
    tolerance = 0
    for kind, score in said:
        if kind == "false":
            tolerance = max(tolerance, _tolerating(TWICE * score))
        elif score >= 1.0:
            tolerance = min(tolerance, max(0, _tolerating(SURELY * score) - 1))
        else:
            tolerance = min(tolerance, -_easing(SURELY * score))
    return tolerance


def easing_of(unaided: float, told: float) -> int:
    """The tolerance at which a threshold was told, where it is another one unaided (both tail
    probabilities); 0 where nothing was missed, or the two differ by no more than a memory does that
    was made again."""
    if not 0.0 < unaided < 1.0 or not 0.0 < told < 1.0:
        return 0
    factor = math.log(told) / math.log(unaided)
    return -_easing(factor) if factor < SURELY_EASED else 0


def _tolerating(score: float) -> int:
    """The least steps that tolerate this score."""
    return min(MOST, 1 + math.ceil(PER_OCTAVE * math.log2(max(score, 1.0))))


def _easing(score: float) -> int:
    """The least steps after which this score would pass the threshold."""
    return min(MOST, math.ceil(-FINER * math.log2(max(score, 1e-9))))


@inlined
def follow_repeats(row: np.void, anomalous: bool, news: bool) -> None:
    """Count a stream's anomalous events that come soon after one another, whatever was said.

    news: whether the view that is loudest has said something new with this event.
    """
    row["apart"] = min(row["apart"] + 1, SOON)
    if not anomalous:
        return
    before = row["repeats"] if row["apart"] < SOON else 0
    row["repeats"] = min(before + news, TOGETHER)
    row["apart"] = 0


@inlined
def tolerated(tolerance: int) -> float:
    """The score up to which a single event does not alarm; 0 where nothing is tolerated."""
    return exp((tolerance - 1) * LN2 / PER_OCTAVE) if tolerance > 0 else 0.0


@inlined
def eased(tolerance: int) -> float:
    """What a stream's threshold is multiplied with, 1 where nothing was missed."""
    return exp(tolerance * LN2 / FINER) if tolerance < 0 else 1.0
