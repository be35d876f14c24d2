"""Forgets what the history has kept for long enough, now and then, in a thread of its own."""

import threading

from service.clock import now
from service.errors import Unavailable
from service.sinks.history import History
from service.sinks.outbox import Outbox
from service.telemetry.logging import log
from service.telemetry.metrics import Metrics

FIRST_SECONDS, EVERY_SECONDS = 60.0, 3600.0
DAY_SECONDS = 86_400.0


class Retention:
    """Anomalies, closed episodes and what receivers were told of them, dead letters and the audit
    log, for so many days; feedback that counts for ever."""

    def __init__(self, history: History, outbox: Outbox, days: float, metrics: Metrics) -> None:
        self._history = history
        self._outbox = outbox
        self._days = days
        self._metrics = metrics
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        wait = FIRST_SECONDS
        while not self._ending.wait(wait):
            self.trim()
            wait = EVERY_SECONDS

    def trim(self) -> None:
        before = now() - self._days * DAY_SECONDS
        try:
            gone = self._history.trim(before, lambda: not self._ending.is_set())
            given_up = self._outbox.give_up()
            for target, rows in given_up.items():
                self._metrics.notifications.labels(target, "dead").inc(rows)
            self._outbox.trim(before)
        except Exception as error:  # noqa: BLE001 - or nothing would be forgotten any more
            known = isinstance(error, Unavailable)
            log.warning(
                "old history stays for now", error=str(error), exc_info=None if known else error
            )
        else:
            log.info("history", rows_forgotten=gone, notifications_given_up=given_up.total())
