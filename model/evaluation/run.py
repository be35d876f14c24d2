"""Run detectors over sets: pure, in one process or several; the figures are the same."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from model.evaluation.detector import Detector, Options, Outputs
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
    """A detector's metrics on one set."""

    name: str
    metrics: dict[str, float]


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
    detectors = [d for d in (build(name, options) for name in names) if _asked(d, tasks)]
    running = {
        pool.submit(score, d.name, options, task): (d.name, task)
        for d in detectors
        for task in tasks
    }
    outputs: dict[str, dict[int, Outputs]] = {d.name: {} for d in detectors}
    for done in as_completed(running):
        name, task = running[done]
        outputs[name].update(zip(task.places, done.result(), strict=True))
        progress(task.events)
    measuring = [
        pool.submit(measure, labelled, outputs[d.name], d.promised_per_day) for d in detectors
    ]
    return [Measured(d.name, m.result()) for d, m in zip(detectors, measuring, strict=True)]


def score(name: str, options: Options, task: Task) -> list[Outputs]:
    """One detector on one task: what a worker does."""
    return build(name, options).score(task.series, task.training)


def _asked(detector: Detector, tasks: Sequence[Task]) -> bool:
    return not detector.trained_only or all(task.training for task in tasks)
