"""What a person's word is worth: the first false alarm of each stream is marked, what follows is
held against the same streams with nothing said.

The labels stand for the person, and decide one thing: which alarm is marked. The detector sees no
other.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.artifact import Artifact
from model.evaluation.intervals import I64, Bools
from model.evaluation.labelled import LabelledSeries
from model.evaluation.nab import probation_rows
from model.evaluation.wakeful import BUDGET_PER_WEEK, ORIGIN, SKEW_SECONDS, columns_read
from model.feedback import Said, tolerance_of
from model.row import RowTable
from model.scorer import Scorer

F64 = npt.NDArray[np.float64]
PIECE = 512  # events; where one of them is marked, those up to it are scored once more


@dataclass(frozen=True, slots=True)
class Alarms:
    """rows: of the alarms that count; marked: the row that a person marked, None for nobody."""

    rows: I64
    marked: int | None


@dataclass(frozen=True, slots=True)
class Worth:
    """With nothing said, and how many fewer there are: false alarms behind the marked ones; all
    true ones; `windows`, those of labelled anomalies in which an alarm is raised."""

    false: int
    false_removed: int
    true: int
    true_removed: int
    windows: int
    windows_lost: int

    def to_text(self) -> str:
        return (
            f"the first false alarm of each stream marked: {self.false_removed} of {self.false} "
            f"later false alarms fewer, {self.true_removed} of all {self.true} true ones, "
            f"{self.windows_lost} of {self.windows} anomalies no longer told"
        )


def worth_of(artifact: Artifact, series: Iterable[LabelledSeries]) -> Worth:
    """Over all series of one feature set each, one stream each."""
    figures = np.zeros(6, np.int64)
    for one in series:
        before, after = (alarms_of(artifact, one, mark) for mark in (False, True))
        inside = np.zeros(len(one), np.bool_)
        for start, stop in one.windows:
            inside[start:stop] = True
        first = len(one) if after.marked is None else after.marked + 1
        later, left = (
            rows.rows[~inside[rows.rows] & (rows.rows >= first)] for rows in (before, after)
        )
        hits, kept = (rows.rows[inside[rows.rows]] for rows in (before, after))
        told, still = (_told(one, rows) for rows in (hits, kept))
        figures += [
            len(later), len(later) - len(left), len(hits), len(hits) - len(kept),
            int(told.sum()), int((told & ~still).sum()),
        ]  # fmt: skip
    return Worth(*figures.tolist())


def alarms_of(artifact: Artifact, series: LabelledSeries, mark: bool) -> Alarms:
    """Of one stream, whose first false alarm is marked or not."""
    columns = columns_read(artifact, series.name, series.features)
    values = np.ascontiguousarray(series.values[:, columns])
    features = len(columns)
    scorer = Scorer(artifact, np.zeros(features, np.int8), BUDGET_PER_WEEK, SKEW_SECONDS)
    table = RowTable.copies(artifact.fresh_rows(features), artifact.layout(features), 1)
    inside = np.zeros(len(series), np.bool_)
    for start, stop in series.windows:
        inside[start:stop] = True
    counted = np.arange(len(series)) >= probation_rows(len(series))
    rows: list[int] = []
    marked: int | None = None
    start = 0
    while start < len(series):
        stop = min(start + PIECE, len(series))
        kept = table.bytes.copy()
        alarms = _alarms(scorer, table, series.times, values, slice(start, stop), counted)
        false = [row for row, _ in alarms if not inside[row]]
        if mark and marked is None and false:
            marked = false[0]
            table.bytes[:] = kept
            stop = marked + 1
            alarms = _alarms(scorer, table, series.times, values, slice(start, stop), counted)
            table.head["tolerance"] = tolerance_of([Said("false", alarms[-1][1])])
        rows += [row for row, _ in alarms]
        start = stop
    return Alarms(np.array(rows, np.int64), marked)


def _alarms(
    scorer: Scorer, table: RowTable, times: F64, values: F64, at: slice, counted: Bools
) -> list[tuple[int, float]]:
    """Row and score of each that counts."""
    offsets = np.arange(len(times))[at]
    n = len(offsets)
    scored = scorer.score(
        table, np.zeros(n, np.int64), offsets, ORIGIN, times[at], np.ones(n, np.bool_), values[at]
    )
    rows = offsets[scored.admitted]
    chosen = scored.scores["alarm"] & counted[rows]
    scores = scored.scores["score"][chosen].tolist()
    return list(zip(rows[chosen].tolist(), scores, strict=True))


def _told(series: LabelledSeries, rows: I64) -> Bools:
    """(K,), whether there is an alarm in each of the windows."""
    return np.array([((rows >= a) & (rows < b)).any() for a, b in series.windows], np.bool_)
