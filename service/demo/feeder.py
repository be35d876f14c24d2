"""The demo's producer: a preset played into the embedded log, fast at first, then live.

What to send next follows from how many events the log was ever given, so a demo that is started
again goes on where it was.
"""

import threading
from collections.abc import Callable
from itertools import islice

from service.bootstrap import Service
from service.demo.play import history_events, play
from service.demo.presets import Preset
from service.errors import Unavailable
from service.telemetry.logging import log

BATCH_EVENTS = 500
READY_SECONDS = 0.1  # between two looks at whether events are read
MOST_WAITING = 2000  # events in the log that are not read yet: then the feeder waits


class Feeder(threading.Thread):
    """Plays the preset until `stop`; `ready` is called before the first event."""

    def __init__(self, service: Service, preset: Preset, ready: Callable[[], None]) -> None:
        super().__init__(name="demo-feeder", daemon=True)
        if service.log is None:
            raise ValueError("the demo feeds the embedded log")
        self._preset = preset
        self._log = service.log
        self._pipeline = service.pipeline
        self._ready = ready
        self._stopping = threading.Event()

    def run(self) -> None:
        series = self._preset.series()
        history, sent = history_events(series), self._log.next_offset
        coming = play(series, sent)
        records: list[bytes] = []
        self._wait_until_ready()
        if not self._stopping.is_set():
            self._ready()
        while not self._stopping.is_set():
            live = sent >= history
            size = 1 if live else min(BATCH_EVENTS, history - sent)
            records = records or [event.record() for event in islice(coming, size)]
            if self._log.lag() < MOST_WAITING and self._send(records):
                sent += len(records)
                records = []
            self._stopping.wait(1.0 / self._preset.live_events_per_second if live else 0.01)

    def _wait_until_ready(self) -> None:
        """While the pipeline compiles its loops, or takes its memories back."""
        while not (self._pipeline.ready or self._stopping.is_set()):
            self._stopping.wait(READY_SECONDS)

    def _send(self, records: list[bytes]) -> bool:
        """Whether the log has them."""
        try:
            self._log.append("default", records)
        except Unavailable as error:
            log.warning("the demo waits", error=str(error))
            self._stopping.wait(1.0)
            return False
        return True

    def stop(self) -> None:
        self._stopping.set()
        if self.is_alive():
            self.join()
