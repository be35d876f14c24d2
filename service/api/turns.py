"""Work that a request does in its own thread: one at a time, so that it does not take the machine
from scoring, nor all threads from other requests."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from service.api.problems import RETRY_SECONDS, ProblemError


class Turns:
    """One works; `waiting` others may wait for it, and whoever comes then is refused with 503, to
    come again after `retry_seconds`."""

    def __init__(self, what: str, waiting: int = 0, retry_seconds: int = RETRY_SECONDS) -> None:
        self._what, self._retry_seconds = what, retry_seconds
        self._places = threading.BoundedSemaphore(1 + waiting)
        self._working = threading.Lock()

    @contextmanager
    def turn(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            detail = f"{self._what} is under way for others; try again"
            raise ProblemError(503, detail, retry_seconds=self._retry_seconds)
        try:
            with self._working:
                yield
        finally:
            self._places.release()
