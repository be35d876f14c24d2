"""What a measurement comes to."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Result:
    """One figure, in `unit`, and that of what it is held `against`, of the same run and events.

    `baseline` and `ratio` (value over baseline) are None where a figure stands alone.
    """

    name: str
    value: float
    unit: str
    against: str | None = None
    baseline: float | None = None

    @property
    def ratio(self) -> float | None:
        return self.value / self.baseline if self.baseline else None

    def to_json(self) -> dict[str, float | str | None]:
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "baseline": self.baseline,
            "ratio": self.ratio,
            "against": self.against,
        }


def by_turns(repeats: int, *measured: Callable[[], float]) -> list[float]:
    """The medians of several measurements, taken by turns so that all meet the same machine."""
    taken = [[measure() for measure in measured] for _ in range(repeats)]
    return [median(column) for column in zip(*taken, strict=True)]


def rate(events: int, run: Callable[[], object]) -> float:
    """Events a second of a call that takes so many."""
    started = time.perf_counter()
    run()
    return events / (time.perf_counter() - started)
