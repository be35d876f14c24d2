"""When the next checkpoint is due."""

from dataclasses import dataclass

SHARE = 1.0 / 30.0  # of the time that there is something to do, at most, goes into checkpoints


@dataclass(slots=True)
class Pace:
    """Each `interval` seconds; later where the last one took so long that scoring would suffer.

    Times are those of a monotonic clock, in seconds.
    """

    interval: float
    _last: float = 0.0
    _took: float = 0.0
    _idle: float = 0.0
    _at_once: bool = True

    def done(self, now: float, took: float = 0.0) -> None:
        """There was one, which took so many seconds."""
        self._last, self._took, self._idle, self._at_once = now, took, 0.0, False

    def idle(self, seconds: float) -> None:
        """There was nothing to do meanwhile; a checkpoint then costs nothing."""
        self._idle += seconds

    def hurry(self) -> None:
        """The next one is due at once."""
        self._at_once = True

    def due(self, now: float) -> bool:
        passed = now - self._last
        earned = self._idle + SHARE * (passed - self._idle)
        return self._at_once or (passed >= self.interval and earned >= self._took)
