"""The demo's producer: real series played into the embedded log, fast at first, then live.

What to send next follows from how many events the log was ever given, so a demo that is started
again goes on where it was. After the last event the series begin again, later in time.
"""

import csv
import gzip
import threading
from pathlib import Path

import msgspec

from service.bootstrap import Service
from service.clock import format_time
from service.errors import Unavailable
from service.telemetry.logging import log

DATA = Path(__file__).parent / "data"
HISTORY = 0.9  # of the events, played as fast as they are scored
BATCH_EVENTS = 500
MOST_WAITING = 2000  # events in the log that are not read yet: then the feeder waits
LIVE_EVENTS_PER_SECOND = 10.0
LAP_GAP_SECONDS = 3600.0

Event = tuple[float, str, float]


def load_events() -> tuple[list[Event], float]:
    """(time, stream, value) of all shipped series, and the seconds from one lap to the next.

    The series are of different years and lengths; they run side by side from first to last event.
    """
    series = [_read(file) for file in sorted(DATA.glob("*.csv.gz"))]
    placed = [(n / len(events), event) for events in series for n, event in enumerate(events)]
    longest = max(events[-1][0] - events[0][0] for events in series)
    return [event for _, event in sorted(placed)], longest + LAP_GAP_SECONDS


def _read(file: Path) -> list[Event]:
    stream = file.name.removesuffix(".csv.gz")
    with gzip.open(file, "rt", encoding="utf-8", newline="") as text:
        return [
            (float(row["timestamp"]), stream, float(row["value"])) for row in csv.DictReader(text)
        ]


class Feeder(threading.Thread):
    """Plays the series until `stop`."""

    def __init__(self, service: Service) -> None:
        super().__init__(name="demo-feeder", daemon=True)
        if service.log is None:
            raise ValueError("the demo feeds the embedded log")
        self._service = service
        self._log = service.log
        self._stopping = threading.Event()

    def run(self) -> None:
        events, lap = load_events()
        history = int(len(events) * HISTORY)
        while not self._stopping.is_set():
            sent = self._log.next_offset
            live = sent >= history
            size = 1 if live else min(BATCH_EVENTS, history - sent)
            if self._log.lag() < MOST_WAITING:
                self._send([record(events, lap, n) for n in range(sent, sent + size)])
            self._stopping.wait(1.0 / LIVE_EVENTS_PER_SECOND if live else 0.01)

    def _send(self, records: list[bytes]) -> None:
        try:
            self._log.append("default", records)
        except Unavailable as error:
            log.warning("the demo waits", error=str(error))
            self._stopping.wait(1.0)

    def stop(self) -> None:
        self._stopping.set()
        if self.is_alive():
            self.join()


def record(events: list[Event], lap: float, n: int) -> bytes:
    """Event n of the endless play."""
    time, stream, value = events[n % len(events)]
    moved = time + lap * (n // len(events))
    return msgspec.json.encode({"stream": stream, "time": format_time(moved), "value": value})
