"""What is told as it happens, to those who listen now."""

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from service.records import Delivery

KEPT = 1000  # events that whoever comes back can still be told
RATE_SECONDS = 10
MOST_LISTENERS = 200


@dataclass(frozen=True, slots=True)
class Event:
    """`number` goes on by one from event to event."""

    number: int
    name: str
    body: Mapping[str, Any]


class Live:
    """A sink that keeps the newest anomalies and changes of episodes for those who listen.

    Numbers begin anew with each process: `run` tells one from the other.
    """

    def __init__(self) -> None:
        self.run = uuid.uuid4().hex[:8]
        self.closed = False
        self._lock = threading.Lock()
        self._events: deque[Event] = deque(maxlen=KEPT)
        self._next = 1
        self._listeners: set[Callable[[], None]] = set()
        self._scored: deque[tuple[int, int]] = deque(maxlen=RATE_SECONDS + 1)  # second, events

    def deliver(self, delivery: Delivery) -> None:
        self._count(len(delivery.scored))
        told = [("anomaly", anomaly) for anomaly in delivery.anomalies]
        told += [("episode", change) for change in delivery.episodes]
        if told:
            self.tell(told)

    def flush(self, wait: bool = True) -> None:
        """Nothing is buffered."""

    def close(self) -> None:
        """Let those who listen go."""
        self.closed = True
        self._wake()

    @property
    def full(self) -> bool:
        """Whether as many listen as can be told."""
        return len(self._listeners) >= MOST_LISTENERS

    def listen(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever there is something new, from any thread, until it leaves."""
        with self._lock:
            self._listeners.add(wake)

    def leave(self, wake: Callable[[], None]) -> None:
        with self._lock:
            self._listeners.discard(wake)

    def newest(self) -> int:
        """The number of the last event, 0 before the first."""
        return self._next - 1

    def since(self, number: int) -> list[Event] | None:
        """The events behind this number; None where some of them are not kept any more."""
        with self._lock:
            first = self._events[0].number if self._events else self._next
            if number + 1 < first or number >= self._next:
                return None
            return [event for event in self._events if event.number > number]

    def events_per_second(self) -> float:
        """Scored, over the last whole seconds."""
        present = int(time.monotonic())
        counted = [n for second, n in list(self._scored) if 0 < present - second <= RATE_SECONDS]
        return sum(counted) / RATE_SECONDS

    def _count(self, events: int) -> None:
        second = int(time.monotonic())
        if self._scored and self._scored[-1][0] == second:
            self._scored[-1] = second, self._scored[-1][1] + events
        else:
            self._scored.append((second, events))

    def tell(self, told: list[tuple[str, Mapping[str, Any]]]) -> None:
        """Names and bodies, to all who listen; from any thread."""
        with self._lock:
            for name, body in told:
                self._events.append(Event(self._next, name, body))
                self._next += 1
        self._wake()

    def _wake(self) -> None:
        with self._lock:
            listeners = list(self._listeners)
        for wake in listeners:
            wake()
