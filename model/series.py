"""Series for training: what the network would have read of them, and what it should give back."""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.config import VALUE_CHANNELS, ModelConfig
from model.fresh import fresh_table
from model.normalise import Events, Reading, observe
from model.observed import Observed
from model.population import Population
from model.row import RowTable

WARM_UP = 40  # first events, not trained on: scales are still guesses; a quarter of a short stream

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Series:
    """One stream's events: times (T,) Unix seconds, values (T, F) with NaN where missing.

    categories: (T, C), the buckets of what is no number, None where there is none.
    """

    name: str
    times: F64
    values: F64
    categories: I64 | None = None

    def __len__(self) -> int:
        return len(self.times)

    def first(self, events: int) -> "Series":
        """The same of the first events, or of all where there are no more."""
        return self._part(slice(events))

    def last(self, events: int) -> "Series":
        """The same of the last events, or of all where there are no more."""
        return self._part(slice(-events, None))

    def _part(self, at: slice) -> "Series":
        categories = None if self.categories is None else self.categories[at]
        return Series(self.name, self.times[at], self.values[at], categories)

    @property
    def pace(self) -> float:
        """Mean seconds between events."""
        return float(np.ptp(self.times)) / max(len(self) - 1, 1)


@dataclass(frozen=True, slots=True)
class Described:
    """What the network reads, and should give back, at each event of one run.

    inputs: (T, D). targets: (T, W, targets), the normalised value just read and, for each horizon,
    how far the value moves until then, in the present unit. weights: the same shape, 0 where there
    is nothing to learn.
    """

    inputs: F32
    targets: F32
    weights: F32


def describe(
    config: ModelConfig, series: Series, population: Population | None = None
) -> list[Described]:
    """Run the serving normaliser over a series, at the finest resolution.

    One Described for each run of the network; T counts the steps in which a value came.
    """
    _, seen = _observed(config, series, population)
    features = series.values.shape[1]
    ended = ~np.isnan(seen.steps[:, 0]).all(axis=1)
    steps, units = seen.steps[ended, 0], seen.units[ended, 0]
    inputs = seen.inputs[ended, 0]
    targets, weights = _targets(config, steps, units, _seen(config, inputs, features))
    if config.joint:
        return [Described(inputs[:, 0], targets, weights)]
    return [
        Described(inputs[:, f], targets[:, f : f + 1], weights[:, f : f + 1])
        for f in range(features)
    ]


def learned_of(config: ModelConfig, series: Series) -> npt.NDArray[np.void]:
    """(F,) of FEATURE: what the normaliser knows at a series' end, at the finest resolution."""
    return _observed(config, series, None)[0].features[0, 0].copy()


def _observed(
    config: ModelConfig, series: Series, population: Population | None
) -> tuple[RowTable, Observed]:
    """The memory at the end, and what was said of each event."""
    n, features = series.values.shape
    table = fresh_table(config, {}, population, features)
    seen = Observed.of(config, table.layout, n)
    events = Events(
        np.zeros(n, np.int64), np.arange(n), np.uint64(1), series.times, np.zeros(n, np.bool_),
        series.values,
    )  # fmt: skip
    reading = Reading.of(config, np.inf)
    observe(table.head, table.features, table.profiles, events, reading, seen)
    seen.read_categories(config, series.categories)
    return table, seen


def _seen(config: ModelConfig, inputs: F32, features: int) -> F32:
    """(T, F): the normalised values, as the network reads them."""
    if config.joint:
        return inputs[:, 0, : features * VALUE_CHANNELS : VALUE_CHANNELS]
    return inputs[:, :, 0]


def _targets(config: ModelConfig, steps: F64, units: F64, seen: F32) -> tuple[F32, F32]:
    n, features = steps.shape
    targets = np.zeros((n, features, config.targets), np.float32)
    weights = np.zeros_like(targets)
    present = ~np.isnan(steps)
    targets[:, :, 0] = seen
    weights[:, :, 0] = present
    for j, h in enumerate(config.horizons, 1):
        if n <= h:
            continue
        with np.errstate(over="ignore"):
            moved = (steps[h:] - steps[:-h]) / np.maximum(units[:-h], 1e-30)
        targets[:-h, :, j] = np.clip(np.nan_to_num(moved), -1e6, 1e6)
        weights[:-h, :, j] = present[:-h] & present[h:] & (units[:-h] > 0.0)
    weights[: min(WARM_UP, n // 4)] = 0.0
    return targets, weights


def fingerprint(series: list[Series]) -> str:
    """A digest of the training data: names, times and values."""
    digest = hashlib.sha256()
    for one in series:
        digest.update(one.name.encode())
        digest.update(np.ascontiguousarray(one.times).tobytes())
        digest.update(np.ascontiguousarray(one.values).tobytes())
        if one.categories is not None:
            digest.update(np.ascontiguousarray(one.categories).tobytes())
    return digest.hexdigest()
