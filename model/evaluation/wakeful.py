"""The product's own detectors, through the scorer that serves.

`wakeful` does what the product would: it trains on training rows where there are any, chooses among
its predictors, and takes the base artifact otherwise. Its controls are the same scoring on one
predictor each: what a network is worth is told by those without one, and by one that was never
trained. This is the one place in which evaluation meets training and serving.
"""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model.artifact import BASE, Artifact
from model.config import Cell
from model.errors import EvaluationError, TrainingDataError
from model.evaluation.detector import Events, Outputs
from model.evaluation.intervals import I64
from model.row import RowTable
from model.scorer import Scorer
from model.series import Series

BUDGET_PER_WEEK = 1.0  # false alarms: the settings' default
SKEW_SECONDS = 604800.0  # the same
BATCH_EVENTS = 4096  # the same
ORIGIN = 1
CONTROL_STREAMS, CONTROL_STEPS = 128, 2400  # generated, for a control of the base artifact

Structured = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class WakefulDetector:
    """A Detector.

    trains: whether it learns from training rows; else it takes the artifact as it is. cell: of the
    predictor, None for the one that training chooses. updates: of its weights, None for as many as
    training makes.
    """

    name: str
    trains: bool = True
    cell: Cell | None = None
    updates: int | None = None
    artifact: Path = BASE
    seed: int = 0
    promised_per_day: float = BUDGET_PER_WEEK / 7.0

    def score(self, series: Sequence[Events], training: Sequence[Series]) -> list[Outputs]:
        """Each series from fresh memories, all with one artifact."""
        artifact = self._artifact(training, series[0].features)
        chose = self.trains and training and not self.cell
        chosen = artifact.config.cell if chose else None
        return [replace(score_events(artifact, one), predictor=chosen) for one in series]

    @property
    def trained_only(self) -> bool:
        """There is a base artifact of one network alone; what needs none has one in seconds."""
        return self.cell in {"gru", "rnn"}

    def _artifact(self, training: Sequence[Series], features: tuple[str, ...]) -> Artifact:
        if self.trains and training:
            return self._trained(training, features)
        return self._untrained()

    def _untrained(self) -> Artifact:
        """What needs no training rows: the base artifact, or a control of it."""
        if self.cell and (self.updates == 0 or self.cell in {"linear", "mean"}):
            return generated_control(self.cell, self.seed)
        return Artifact(self.artifact)

    def _trained(self, training: Sequence[Series], features: tuple[str, ...]) -> Artifact:
        """Where there is too little to train on, the base one, as training itself advises."""
        from model.trainer import train_artifact
        from model.training import TrainingSettings

        settings = TrainingSettings(seed=self.seed)
        if self.updates is not None:
            settings = replace(settings, updates=self.updates)
        with tempfile.TemporaryDirectory() as folder:
            try:
                return train_artifact(training, features, Path(folder), settings, self.cell)
            except TrainingDataError:
                return self._untrained()


@cache
def generated_control(cell: Cell, seed: int) -> Artifact:
    """A control of the base artifact: of generated signals, as it is, without an update."""
    from model.base import SETTINGS, train_base

    settings = replace(SETTINGS, updates=0, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        return train_base(CONTROL_STREAMS, CONTROL_STEPS, settings, Path(folder), cell, quiet=True)


def score_events(artifact: Artifact, events: Events) -> Outputs:
    """One causal pass over all streams of a series.

    An event that is refused, as one that is its stream's last again, stands as the last did.
    """
    columns = columns_read(artifact, events.name, events.features)
    names = tuple(events.features[f] for f in columns)
    values = np.ascontiguousarray(events.values[:, columns])
    scorer = Scorer(artifact, events.directions[columns], BUDGET_PER_WEEK, SKEW_SECONDS)
    streams = int(events.streams.max()) + 1
    fresh, layout = artifact.fresh_rows(len(names)), artifact.layout(len(names))
    table = RowTable.copies(fresh, layout, streams)
    _score(scorer, RowTable.copies(fresh, layout, streams), events, values, slice(0, 1))  # compiles
    started = time.process_time()
    parts = [
        _score(scorer, table, events, values, slice(start, start + BATCH_EVENTS))
        for start in range(0, len(events), BATCH_EVENTS)
    ]
    seconds = time.process_time() - started
    admitted = np.concatenate([part[0] for part in parts])
    return _said(events, admitted, np.concatenate([part[1] for part in parts]), seconds)


def columns_read(artifact: Artifact, series: str, features: tuple[str, ...]) -> list[int]:
    """Which of a series' features are read: those that the artifact was trained on, or all."""
    if artifact.config.categories:
        raise EvaluationError(
            f"{artifact.folder} reads {', '.join(artifact.config.categories)}; labelled series "
            "have numbers alone: measure it with `wakeful replay`"
        )
    wanted = artifact.config.features or features
    if missing := set(wanted) - set(features):
        raise EvaluationError(
            f"{series} has no {', '.join(sorted(missing))}, which {artifact.folder} "
            "was trained on: evaluate it on series like those, or leave --artifact out"
        )
    return [features.index(name) for name in wanted]


def _score(
    scorer: Scorer, table: RowTable, events: Events, values: npt.NDArray[Any], at: slice
) -> tuple[I64, Structured]:
    """The rows admitted of a slice (m,), and their scores (m,) of SCORE."""
    offsets = np.arange(len(events))[at]
    timed = np.ones(len(offsets), np.bool_)
    scored = scorer.score(
        table, events.streams[at], offsets, ORIGIN, events.times[at], timed, values[at]
    )
    return offsets[scored.admitted], scored.scores


def _said(events: Events, admitted: I64, scores: Structured, seconds: float) -> Outputs:
    """Scores (m,) of the admitted rows to outputs of all T, stream by stream."""
    place = np.full(len(events), -1)
    place[admitted] = np.arange(len(admitted))
    for rows in events.rows_of_streams():
        place[rows] = np.maximum.accumulate(place[rows])
    known = place >= 0
    alarm = np.zeros(len(events), np.bool_)
    alarm[admitted] = scores["alarm"]
    score = np.where(known, scores["score"][place], 0.0)
    level = np.where(known, scores["level"][place], 0.0)
    return Outputs(score, level, score >= 1.0, alarm, seconds)
