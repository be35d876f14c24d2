"""Sends what receivers are to be told: a thread for each, so that none waits for another."""

import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from service.clock import now
from service.errors import Unavailable
from service.notify.messages import About, Kind, message
from service.notify.post import AwayError, Receiver, RefusedError, post
from service.sinks.outbox import DEAD, SENT, WAITING, Outbox, Waiting
from service.telemetry.logging import log
from service.telemetry.metrics import Metrics

LOOK_SECONDS = 0.5  # between looks for something to send
FIRST_WAIT, LONGEST_WAIT = 1.0, 600.0
GIVE_UP_SECONDS = 24 * 3600.0


@dataclass(slots=True)
class Sending:
    """One receiver: its name, kind and secret, where it is, and where people look."""

    name: str
    kind: Kind
    receiver: Receiver
    secret: str | None
    page: str | None
    trouble: str | None = field(default=None)
    """Why the last try failed, until one does not."""


class Sender:
    """Takes from the outbox until `close`; what fails is tried again, ever later, for a day."""

    def __init__(self, outbox: Outbox, receivers: Sequence[Sending], metrics: Metrics) -> None:
        self.receivers = tuple(receivers)
        self._outbox = outbox
        self._metrics = metrics
        self._ending = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(one,), name=f"notify-{one.name}", daemon=True)
            for one in self.receivers
        ]

    def start(self) -> None:
        for one in self.receivers:
            for outcome in ("sent", "retried", "dead"):
                self._metrics.notifications.labels(one.name, outcome)
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._ending.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def _run(self, to: Sending) -> None:
        failed = 0
        while not self._ending.is_set():
            wait: float | None = LOOK_SECONDS
            try:
                waiting = self._outbox.claim(to.name)
                if waiting is not None:
                    wait = self._send(to, waiting, failed)
                    failed = 0 if wait is None else failed + 1
                self._count(to)
            except Unavailable as error:
                log.warning("notifications wait", target=to.name, error=str(error))
                wait = FIRST_WAIT
            if wait is not None:
                self._ending.wait(wait)

    def _send(self, to: Sending, waiting: Waiting, failed: int) -> float | None:
        """None where it was taken, or never will be; else the seconds until another try."""
        about = About(waiting.id, waiting.change, now(), _link(to.page, waiting), to.secret)
        try:
            post(to.receiver, message(to.kind, about))
        except RefusedError as error:
            self._dead(to, waiting, str(error))
            return None
        except AwayError as error:
            if now() > waiting.made + GIVE_UP_SECONDS:
                self._dead(to, waiting, f"given up after a day: {error}")
                return None
            to.trouble = str(error)
            self._outbox.settle(waiting, WAITING, to.trouble)
            self._metrics.notifications.labels(to.name, "retried").inc()
            wait = min(FIRST_WAIT * 2.0**failed, LONGEST_WAIT) * random.uniform(0.5, 1.5)  # noqa: S311
            wait = max(wait, error.seconds or 0.0)
            log.warning("not told yet", target=to.name, error=to.trouble, seconds=round(wait, 1))
            return wait
        to.trouble = None
        self._outbox.settle(waiting, SENT)
        self._metrics.notifications.labels(to.name, "sent").inc()
        return None

    def _dead(self, to: Sending, waiting: Waiting, said: str) -> None:
        to.trouble = said
        self._outbox.settle(waiting, DEAD, said)
        self._metrics.notifications.labels(to.name, "dead").inc()
        log.error("not told, and not tried again", target=to.name, id=waiting.id, error=said)

    def _count(self, to: Sending) -> None:
        waiting = self._outbox.counted().get((to.name, WAITING), 0)
        self._metrics.notifications_waiting.labels(to.name).set(waiting)


def _link(page: str | None, waiting: Waiting) -> str | None:
    if page is None:
        return None
    return f"{page.rstrip('/')}/#/episodes/{quote(waiting.change['id'], safe='')}"
