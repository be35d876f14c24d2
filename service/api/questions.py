"""Questions to the pipeline: memories belong to its thread, which answers between two batches."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from service.api.problems import ProblemError
from service.bootstrap import Service
from service.detector import Detector

T = TypeVar("T")

ANSWER_SECONDS = 10.0


async def ask(service: Service, question: Callable[[], T]) -> T:
    """What `question` returns, called in the pipeline's thread."""
    answer = service.pipeline.ask(question)
    try:
        return await asyncio.wait_for(asyncio.wrap_future(answer), ANSWER_SECONDS)
    except TimeoutError:
        raise _late(answer) from None


def ask_in_thread(service: Service, question: Callable[[], T]) -> T:
    """The same, for a route that has a thread of its own."""
    answer = service.pipeline.ask(question)
    try:
        return answer.result(ANSWER_SECONDS)
    except TimeoutError:
        raise _late(answer) from None


def find_detector(service: Service, name: str | None) -> Detector:
    """The named detector; without a name `default`, or the only one."""
    detectors = service.pipeline.detectors
    if name is None:
        name = "default" if "default" in detectors or len(detectors) > 1 else next(iter(detectors))
    if name not in detectors:
        raise ProblemError(404, f"no detector {name!r}; there are {', '.join(detectors)}")
    return detectors[name]


def unknown(service: Service, detector: str, stream: str) -> ProblemError:
    """Nobody knows the stream, or nobody can know yet."""
    waiting = service.pipeline.waiting_for
    if waiting is not None:
        return ProblemError(503, f"not every memory is here yet, it waits for {waiting}; try again")
    return ProblemError(404, f"detector {detector} has no stream {stream!r}")


def _late(answer: Future[Any]) -> ProblemError:
    """No answer in time: one that waits is not asked any more, one that has begun goes on."""
    if answer.cancel():
        return ProblemError(503, "the pipeline is busy or restoring; try again")
    return ProblemError(503, "it has begun and takes long: look before you ask again")
