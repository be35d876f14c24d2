"""Forgets what the history has kept for long enough, now and then, in a thread of its own."""

import threading

from service.clock import now
from service.errors import Unavailable
from service.sinks.history import History
from service.sinks.outbox import Outbox
from service.telemetry.logging import log

EVERY_SECONDS = 3600.0
DAY_SECONDS = 86_400.0


class Retention:
    """Anomalies, closed episodes, dead letters and what receivers were told, for so many days."""

    def __init__(self, history: History, outbox: Outbox, days: float) -> None:
        self._history = history
        self._outbox = outbox
        self._days = days
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._ending.wait(EVERY_SECONDS):
            self.trim()

    def trim(self) -> None:
        before = now() - self._days * DAY_SECONDS
        try:
            gone = self._history.trim(before)
            self._outbox.trim(before)
        except Unavailable as error:
            log.warning("old history stays for now", error=str(error))
        else:
            log.info("history", rows_forgotten=gone)
