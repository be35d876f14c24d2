"""Hands results to those who wait for the scores of events that they sent."""

import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from service.errors import Unavailable
from service.records import Delivery, Partition, result_of

Outcome = dict[str, Any]
"""A result, or `{"rejected": reason, "detail": …}`."""


@dataclass(slots=True)
class Wait:
    """One request's records: outcomes arrive in any number of deliveries."""

    partition: Partition
    offsets: range
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    done: "Future[list[Outcome]]" = field(default_factory=Future)


class Replies:
    """A sink that answers waiting requests; nothing is kept for those who do not wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waits: list[Wait] = []

    def expect(self, partition: Partition, offsets: range) -> "Future[list[Outcome]]":
        """A future of the outcomes of these records, in order; from any thread.

        Call it before the records can be read, or their outcomes may have passed by.
        """
        wait = Wait(partition, offsets)
        wait.done.set_running_or_notify_cancel()  # whoever gives up forgets it, never cancels it
        if not offsets:
            wait.done.set_result([])
            return wait.done
        with self._lock:
            self._waits.append(wait)
        return wait.done

    def forget(self, done: "Future[list[Outcome]]") -> None:
        """Whoever waited has gone."""
        with self._lock:
            self._waits = [wait for wait in self._waits if wait.done is not done]

    def deliver(self, delivery: Delivery) -> None:
        with self._lock:
            waits = [wait for wait in self._waits if wait.partition == delivery.raw.partition]
        for wait in waits:
            wait.outcomes |= outcomes_of(delivery, wait.offsets)
            if len(wait.outcomes) == len(wait.offsets):
                self.forget(wait.done)
                wait.done.set_result([wait.outcomes[offset] for offset in wait.offsets])

    def flush(self, wait: bool = True) -> None:
        """Nothing is buffered."""

    def close(self) -> None:
        with self._lock:
            for wait in self._waits:
                wait.done.set_exception(Unavailable("the pipeline has ended"))
            self._waits = []


def outcomes_of(delivery: Delivery, offsets: range) -> dict[int, Outcome]:
    """What came of some records, by offset."""
    scored = delivery.scored
    first, stop = scored.offsets.searchsorted([offsets.start, offsets.stop])
    outcomes = {int(scored.offsets[i]): result_of(scored, i) for i in range(int(first), int(stop))}
    for letter in delivery.dead_letters:
        if letter.offset in offsets:
            outcomes[letter.offset] = {"rejected": letter.reason, "detail": letter.detail}
    return outcomes
