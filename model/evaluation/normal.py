"""How often normal data raise an alarm, beside the promise: `python -m model.evaluation.normal`.

On plain generated streams, and on the rows of labelled series that are said to be normal: those to
train on, or all where a series has no anomaly. The base artifact scores each series as a new
stream, at budgets of one false alarm a day and one a week.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from model.artifact import BASE, Artifact
from model.evaluation.labelled import LabelledSeries, read_set
from model.row import RowTable
from model.scorer import Scorer, directions_of
from model.series import Series

BUDGETS = {"one a day": 7.0, "one a week": 1.0}  # false alarms a week
PACES = 60.0, 300.0, 1800.0  # seconds between events
EVENTS, STREAMS = 12_000, 8  # of each kind at each pace
START = 1.7e9
WEEK = 604800.0

F64 = npt.NDArray[np.float64]
Kind = Callable[[np.random.Generator, F64], F64]

KINDS: dict[str, Kind] = {
    "white noise": lambda random, times: random.normal(10.0, 1.0, len(times)),
    "heavy-tailed noise": lambda random, times: random.standard_t(3.0, len(times)),
    "noise with a memory": lambda random, times: _autoregressive(random, len(times)),
    "counts": lambda random, times: random.poisson(20.0, len(times)).astype(float),
    "a daily shape": lambda random, times: (
        3.0 * np.sin(2.0 * np.pi * times / 86400.0) + random.normal(0.0, 0.5, len(times))
    ),
}


@dataclass(frozen=True, slots=True)
class Achieved:
    """Alarms that were raised, and how many the budget promised at most."""

    alarms: int
    promised: float

    def __str__(self) -> str:
        ratio = self.alarms / self.promised if self.promised else 0.0
        return f"{self.alarms} of {self.promised:.1f} ({ratio:.2f})"


def generated(kind: str, pace: float, seed: int, events: int = EVENTS) -> Series:
    """One plain stream without any anomaly."""
    times = START + pace * np.arange(events, dtype=np.float64)
    values = KINDS[kind](np.random.default_rng(seed), times)
    return Series(f"{kind}-{seed}", times, values[:, None])


def achieved(artifact: Artifact, streams: Sequence[Series], budget_per_week: float) -> Achieved:
    """What the streams raise, each scored from a fresh memory."""
    alarms, promised = 0, 0.0
    for stream in streams:
        n, features = stream.values.shape
        table = RowTable.copies(artifact.fresh_rows(features), artifact.layout(features), 1)
        names = tuple(f"f{f}" for f in range(features))
        scorer = Scorer(artifact, directions_of(names, {}), budget_per_week, np.inf)
        scored = scorer.score(
            table, np.zeros(n, np.int64), np.arange(n), 1, stream.times, np.zeros(n, np.bool_),
            stream.values,
        )  # fmt: skip
        alarms += int(scored.scores["alarm"].sum())
        promised += budget_per_week * float(np.ptp(stream.times)) / WEEK
    return Achieved(alarms, promised)


def normal_rows(series: LabelledSeries) -> Series | None:
    """The rows that are said to be normal, None where there are too few to tell."""
    kept = series.training if series.labels.any() else np.ones(len(series), np.bool_)
    if kept.sum() < 1000:
        return None
    return Series(series.name, series.times[kept], np.ascontiguousarray(series.values[kept]))


def _autoregressive(random: np.random.Generator, events: int) -> F64:
    values, last = np.empty(events), 0.0
    for t, shock in enumerate(random.normal(size=events)):
        values[t] = last = 0.95 * last + shock
    return values


def _show(what: str, artifact: Artifact, streams: Sequence[Series]) -> None:
    told = [f"{name}: {achieved(artifact, streams, each)}" for name, each in BUDGETS.items()]
    print(f"{what:40} {len(streams):3} streams   {'   '.join(told)}", flush=True)  # noqa: T201


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", nargs="*", type=Path, help="folders of labelled series")
    folders = parser.parse_args().folders
    artifact = Artifact(BASE)
    for kind in KINDS:
        for pace in PACES:
            streams = [generated(kind, pace, seed) for seed in range(STREAMS)]
            _show(f"{kind}, every {pace:g} s", artifact, streams)
    for folder in folders:
        rows = [normal_rows(series) for series in read_set(folder)]
        _show(folder.name, artifact, [one for one in rows if one is not None])


if __name__ == "__main__":
    main()
