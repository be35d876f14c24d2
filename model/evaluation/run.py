"""Run detectors over sets: pure, in one process or several; the figures are the same."""

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from model.evaluation.detector import Options, Outputs
from model.evaluation.detectors import build
from model.evaluation.measure import measure
from model.evaluation.sets import LabelledSet, Task

R = TypeVar("R")
Progress = Callable[[int], None]
"""Told after each task how many events it scored."""


class Workers(Protocol):
    """Runs calls, here or in other processes."""

    def submit(self, function: Callable[..., R], /, *given: Any) -> Future[R]: ...


class Here:
    """Workers that are none: each call is done when it is submitted."""

    def submit(self, function: Callable[..., R], /, *given: Any) -> Future[R]:
        future: Future[R] = Future()
        future.set_result(function(*given))
        return future


@dataclass(frozen=True, slots=True)
class Measured:
    """A detector's metrics on one set, and on how many series it chose each predictor."""

    name: str
    metrics: dict[str, float]
    predictors: Mapping[str, int] = field(default_factory=dict)


@contextmanager
def workers(jobs: int) -> Iterator[Workers]:
    """`jobs` processes, started anew rather than forked: threads of libraries do not survive that.

    What was not begun when something fails is given up.
    """
    if jobs <= 1:
        yield Here()
        return
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def run_set(
    labelled: LabelledSet,
    tasks: Sequence[Task],
    names: Sequence[str],
    options: Options,
    pool: Workers,
    progress: Progress = lambda _: None,
) -> list[Measured]:
    """Every detector that can be asked, on every task of a set; metrics in the order of names."""
    detectors = [build(name, options) for name in asked(names, options, tasks)]
    running = [[_submitted(pool, d.name, options, t, progress) for t in tasks] for d in detectors]
    said = (_gathered(tasks, futures) for futures in running)
    measuring = [
        (d.name, pool.submit(measure, labelled, outputs, d.promised_per_day), _predictors(outputs))
        for d, outputs in zip(detectors, said, strict=True)
    ]
    return [Measured(name, metrics.result(), chosen) for name, metrics, chosen in measuring]


def _predictors(outputs: Mapping[int, Outputs]) -> Counter[str]:
    return Counter(one.predictor for one in outputs.values() if one.predictor)


def score(name: str, options: Options, task: Task) -> list[Outputs]:
    """One detector on one task: what a worker does."""
    return build(name, options).score(task.series, task.training)


def _submitted(
    pool: Workers, name: str, options: Options, task: Task, progress: Progress
) -> Future[list[Outputs]]:
    future = pool.submit(score, name, options, task)
    future.add_done_callback(lambda _: progress(task.events))
    return future


def _gathered(
    tasks: Sequence[Task], futures: Sequence[Future[list[Outputs]]]
) -> dict[int, Outputs]:
    """Outputs by the number of their series in the set."""
    return {
        place: outputs
        for task, future in zip(tasks, futures, strict=True)
        for place, outputs in zip(task.places, future.result(), strict=True)
    }


def asked(names: Sequence[str], options: Options, tasks: Sequence[Task]) -> list[str]:
    """Without those that only make sense trained, where there is nothing to train on."""
    trained = all(task.training for task in tasks)
    return [name for name in names if trained or not build(name, options).trained_only]
