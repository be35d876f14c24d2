"""What a demo plays: series side by side, in the order of time, again and again without an end."""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from itertools import count, islice
from typing import NamedTuple

import msgspec

from service.clock import format_time

HISTORY = 0.9  # of the first lap's events, played as fast as they are scored

Values = Mapping[str, float | str]


class Series(NamedTuple):
    """One stream's events, in order of time; they begin again `lap_seconds` after they began."""

    stream: str
    events: Sequence[tuple[float, Values]]
    lap_seconds: float


class Event(NamedTuple):
    time: float
    stream: str
    values: Values

    def record(self) -> bytes:
        """As JSON."""
        body = {"stream": self.stream, "time": format_time(self.time), **self.values}
        return msgspec.json.encode(body)


def play(series: Sequence[Series], start: int = 0) -> Iterator[Event]:
    """The endless play from its event number `start` on."""
    whole = heapq.merge(*map(_laps, series), key=lambda event: (event.time, event.stream))
    return islice(whole, start, None)


def history_events(series: Sequence[Series]) -> int:
    """How many come at once; what follows is live."""
    return int(HISTORY * sum(len(one.events) for one in series))


def _laps(series: Series) -> Iterator[Event]:
    for lap in count():
        moved = lap * series.lap_seconds
        for time, values in series.events:
            yield Event(time + moved, series.stream, values)
