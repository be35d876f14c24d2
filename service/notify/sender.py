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
from service.sinks.outbox import DEAD, GIVE_UP_SECONDS, SENT, WAITING, Outbox, Waiting
from service.telemetry.logging import log
from service.telemetry.metrics import Metrics

LOOK_SECONDS = 0.5  # between looks for something to send
FIRST_WAIT, LONGEST_WAIT = 1.0, 600.0
CLOSE_SECONDS = 0.5
LONGEST_PAUSE = 5.0  # of a receiver that takes nothing, between two rows
MOST_DOUBLED = 10  # times: a receiver that is away for a day fails more often than a float doubles


@dataclass(slots=True)
class Sending:
    """One receiver: its name and kind, where it is, and where people look."""

    name: str
    kind: Kind
    receiver: Receiver
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
        """End. Who waits for a receiver that hangs is left to itself: until it has noted how that
        went nobody else sends the same, and scores shall not wait for it."""
        self._ending.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(CLOSE_SECONDS)

    def _run(self, to: Sending) -> None:
        failed = 0
        while not self._ending.is_set():
            wait = LOOK_SECONDS
            try:
                waiting = self._outbox.claim(to.name)
                if waiting is not None:
                    taken = self._send(to, waiting)
                    failed = 0 if taken else failed + 1
                    wait = 0.0 if taken else pause_after(failed)
                self._metrics.notifications_waiting.labels(to.name).set(
                    self._outbox.waiting(to.name)
                )
            except Unavailable as error:
                log.warning("notifications wait", target=to.name, error=str(error))
                wait = FIRST_WAIT
            except Exception as error:  # noqa: BLE001 - or nobody would be told any more
                to.trouble = f"an error of the service itself: {error}"
                log.error("notifications wait", target=to.name, error=str(error), exc_info=error)
                wait = LONGEST_PAUSE
            self._ending.wait(wait)

    def _send(self, to: Sending, waiting: Waiting) -> bool:
        """Whether it is done with: taken, or never to be."""
        link, secret = _link(to.page, waiting), to.receiver.secret
        about = About(waiting.id, waiting.change, now(), link, secret)
        try:
            post(to.receiver, message(to.kind, about))
        except RefusedError as error:
            self._dead(to, waiting, str(error))
        except AwayError as error:
            if now() <= waiting.made + GIVE_UP_SECONDS:
                self._later(to, waiting, error)
                return False
            self._dead(to, waiting, f"given up after a day: {error}")
        else:
            to.trouble = None
            self._outbox.settle(waiting, SENT)
            self._metrics.notifications.labels(to.name, "sent").inc()
        return True

    def _later(self, to: Sending, waiting: Waiting, error: AwayError) -> None:
        """Each try later than the last; others of the receiver's are tried meanwhile."""
        to.trouble = str(error)
        wait = min(FIRST_WAIT * 2.0**waiting.attempts, LONGEST_WAIT) * random.uniform(0.5, 1.5)  # noqa: S311
        wait = max(wait, error.seconds or 0.0)
        self._outbox.settle(waiting, WAITING, to.trouble, wait)
        self._metrics.notifications.labels(to.name, "retried").inc()
        log.warning("not told yet", target=to.name, error=to.trouble, seconds=round(wait, 1))

    def _dead(self, to: Sending, waiting: Waiting, said: str) -> None:
        to.trouble = said
        self._outbox.settle(waiting, DEAD, said)
        self._metrics.notifications.labels(to.name, "dead").inc()
        log.error("not told, and not tried again", target=to.name, id=waiting.id, error=said)


def pause_after(failed: int) -> float:
    """Seconds until a receiver's next row, after so many tries in a row that were not taken."""
    return min(FIRST_WAIT * 2.0 ** min(failed, MOST_DOUBLED), LONGEST_PAUSE)


def _link(page: str | None, waiting: Waiting) -> str | None:
    if page is None:
        return None
    return f"{page.rstrip('/')}/#/episodes/{quote(waiting.change['id'], safe='')}"
