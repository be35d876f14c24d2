"""A stream's memory made again from its events, to ask it what others would come to."""

import numpy as np
import numpy.typing as npt

from model.artifact import Artifact
from model.normalise import usual_at
from model.row import RowTable
from model.scorer import Scorer

AT_ONCE = 500  # events: between two calls other threads have their turn

F64 = npt.NDArray[np.float64]
Structured = npt.NDArray[np.void]


class Again:
    """One memory, a fresh one at first, and a scorer of its own; it belongs to one thread."""

    def __init__(self, artifact: Artifact, scorer: Scorer) -> None:
        self._scorer = scorer
        features = len(scorer.directions)
        self._table = RowTable.copies(artifact.fresh_rows(features), artifact.layout(features), 1)
        self._seen = 0

    def follow(self, times: F64, values: F64) -> None:
        """Score events in the order in which they came; times (n,) Unix seconds, values (n, F)."""
        for at in range(0, len(times), AT_ONCE):
            part = times[at : at + AT_ONCE]
            slots = np.zeros(len(part), np.int64)
            self._score(self._table, slots, part, values[at : at + AT_ONCE])
            self._seen += len(part)

    def ease(self, tolerance: int) -> None:
        """From now on as if that had been said of its anomalies, see `model.feedback`."""
        self._table.head["tolerance"] = tolerance

    def supposed(self, time: float, values: F64) -> Structured:
        """(n,) of `model.judge.SCORE`: what each of n events (n, F) would come to, were it the next
        one; nothing changes. Its score is NaN where it would be refused."""
        n = len(values)
        copies = RowTable.copies(self._table.bytes[:1], self._table.layout, n)
        return self._score(copies, np.arange(n), np.full(n, time), values)

    def usual(self, time: float) -> F64:
        """(F, 2, 2), see `usual_at`: what values usually are at this time of day and of week."""
        out = np.empty((self._table.features.shape[2], 2, 2))
        usual_at(self._table.features[0, 0], self._table.profiles[0], time, out)
        return out

    def _score(
        self, table: RowTable, slots: npt.NDArray[np.int64], times: F64, values: F64
    ) -> Structured:
        n = len(slots)
        # Each was scored then: nobody asks again whether one repeats the one before it.
        timed = np.zeros(n, np.bool_)
        offsets = self._seen + (np.arange(n) if table is self._table else np.zeros(n, np.int64))
        found = self._scorer.score(table, slots, offsets, 0, times, timed, values)
        scores = np.zeros(n, found.scores.dtype)
        scores["score"] = np.nan
        scores[found.admitted] = found.scores
        return scores
