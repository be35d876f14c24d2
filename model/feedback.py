"""What a person said of a stream's anomalies, as one number of its memory: its tolerance.

- "This was no anomaly": from then on an event alarms by itself only where its score is more than
  TWICE that of what was marked. The third anomalous event of a block of 50 alarms as before:
  what comes once is what people call a false alarm, what lasts is not.
- "You missed one": the stream's threshold is lowered so that the same event would pass it. Where
  the event did pass it, and was tolerated, the stream tolerates less again.

Scores are those that events would have without any feedback. All of it is a function of what was
said, in its order: what is taken back leaves no trace.
"""

import math
from collections.abc import Iterable
from typing import Literal, NamedTuple

from model.compiled import inlined
from model.elementary import LN2, exp

Kind = Literal["false", "missed"]

TWICE = 2.0
TOGETHER = 3  # anomalous events of a block that alarm as if nothing was said
PER_OCTAVE = 8.0  # steps of a score that is tolerated
FINER = 32.0  # steps of a threshold that is lowered
MOST = 127  # steps: 2^15.75 times the threshold, or a sixteenth of it
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


def _tolerating(score: float) -> int:
    """The least steps that tolerate this score."""
    return min(MOST, 1 + math.ceil(PER_OCTAVE * math.log2(max(score, 1.0))))


def _easing(score: float) -> int:
    """The least steps after which this score would pass the threshold."""
    return min(MOST, math.ceil(-FINER * math.log2(max(score, 1e-9))))


@inlined
def tolerated(tolerance: int) -> float:
    """The score up to which a single event does not alarm; 0 where nothing is tolerated."""
    return exp((tolerance - 1) * LN2 / PER_OCTAVE) if tolerance > 0 else 0.0


@inlined
def eased(tolerance: int) -> float:
    """What a stream's threshold is multiplied with, 1 where nothing was missed."""
    return exp(tolerance * LN2 / FINER) if tolerance < 0 else 1.0
