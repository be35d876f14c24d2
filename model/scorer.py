"""From events to scores: admit and describe, step the network in waves, judge.

A batch may hold several events of one stream. The compiled loops take them in arrival order; the
network takes waves of distinct streams, each wave one batched call. Nothing here depends on how
events were cut into batches.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from model.artifact import LARGEST_BATCH, Artifact
from model.normalise import ADMITTED, observe
from model.row import RowTable
from model.surprise import BOTH, SCORE, judge

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Structured = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Scored:
    """Verdicts on n events, and the scores of the m admitted ones.

    verdicts: (n,), see `model.normalise`. admitted: (m,), indices into the n events.
    scores: (m,) of SCORE. expected, spread, surprise: (m, F), NaN where not known.
    """

    verdicts: npt.NDArray[np.uint8]
    admitted: I64
    scores: Structured
    expected: F64
    spread: F64
    surprise: F64


class Scorer:
    """Scores events of streams whose memories are rows of a RowTable.

    `budget_per_week` is the false alarms that one stream may raise in a week of event time; `skew`
    the seconds that an event may be behind its stream's newest one.
    """

    def __init__(
        self,
        artifact: Artifact,
        directions: npt.NDArray[np.int8],
        budget_per_week: float,
        skew: float,
    ) -> None:
        self.artifact = artifact
        self.directions = directions
        self.budget_per_week = budget_per_week
        self.skew = skew

    def score(
        self,
        table: RowTable,
        slots: I64,
        offsets: I64,
        origin: int,
        times: F64,
        timed: npt.NDArray[np.bool_],
        values: F64,
    ) -> Scored:
        """Score n events in arrival order; the rows named by `slots` move on.

        slots, offsets, times (Unix seconds), timed: (n,); values: (n, F), NaN where missing;
        origin: a hash of the topic and partition that the offsets belong to.
        """
        n, features = values.shape
        joint = self.artifact.config.joint
        verdicts = np.empty(n, np.uint8)
        inputs = np.empty((n, table.layout.runs, self.artifact.config.inputs), np.float32)
        units, scales = np.ones((n, features)), np.ones((n, features))
        paces = np.ones(n)
        observe(
            table.head, table.features, slots, offsets, np.uint64(origin), times, timed, values,
            self.skew, joint, verdicts, inputs, units, scales, paces,
        )  # fmt: skip
        admitted = np.flatnonzero(verdicts == ADMITTED)
        slots, values, inputs = slots[admitted], values[admitted], inputs[admitted]
        outputs = self._step(table, slots, values, inputs)
        m = len(admitted)
        scores = np.zeros(m, SCORE)
        expected, spread, surprise = (np.empty((m, features)) for _ in range(3))
        judge(
            table.head, table.features, table.tails, table.maxima, slots, values, inputs,
            units[admitted], scales[admitted], paces[admitted], outputs, joint,
            self.directions, self.budget_per_week, scores, expected, spread, surprise,
        )  # fmt: skip
        return Scored(verdicts, admitted, scores, expected, spread, surprise)

    def _step(self, table: RowTable, slots: I64, values: F64, inputs: F32) -> F32:
        """Run the network over every event, wave by wave; (m, runs, O)."""
        m, runs = inputs.shape[:2]
        outputs = np.zeros((m, runs, self.artifact.config.outputs), np.float32)
        present = np.ones((m, 1), np.bool_) if self.artifact.config.joint else ~np.isnan(values)
        event, run = np.nonzero(present)
        turn = turns(slots)[event]
        order = np.argsort(turn, kind="stable")
        event, run = event[order], run[order]
        row, read = slots[event], inputs[event, run]  # in the order in which they are run
        given = np.empty((len(event), outputs.shape[2]), np.float32)
        for part in _calls(turn[order]):
            at = row[part], run[part]
            given[part], table.states[at] = self.artifact.step(read[part], table.states[at])
        outputs[event, run] = given
        return outputs


def _calls(turn: I64) -> Iterator[slice]:
    """Slices of equal turns, none longer than LARGEST_BATCH; `turn` is in rising order."""
    ends = np.flatnonzero(np.diff(turn)) + 1
    for start, end in pairwise([0, *ends.tolist(), len(turn)]):
        for first in range(start, end, LARGEST_BATCH):
            yield slice(first, min(first + LARGEST_BATCH, end))


def turns(slots: I64) -> I64:
    """(n,): how many events of the same stream came before, for each event.

    Events of equal turn are of distinct streams: a wave, that one batched call may step.

    >>> turns(np.array([7, 8, 7, 7])).tolist()
    [0, 0, 1, 2]
    """
    turn = np.zeros(len(slots), np.int64)
    if len(slots) == 0:
        return turn
    order = np.argsort(slots, kind="stable")
    ordered = slots[order]
    first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    lengths = np.diff(np.r_[first, len(slots)])
    turn[order] = np.arange(len(slots)) - np.repeat(first, lengths)
    return turn


def directions_of(features: tuple[str, ...], declared: dict[str, int]) -> npt.NDArray[np.int8]:
    """(F,) of LOW, BOTH, HIGH for `model.surprise.judge`."""
    return np.array([declared.get(name, BOTH) for name in features], np.int8)
